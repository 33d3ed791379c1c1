//! The journal tells every moment of every policy: the property that other tests' oracles rest on.

mod common;

use busgrant_sim::{Change, Config, JournalEntry, JournalFilter, Operation, Sim, State, Writer};
use common::{MEMBER, OWNER, REGION, call, control, http};
use serde_json::{Value, json};

fn put(bus: &str, sid: &str) -> Value {
    json!({"EventBusName": bus, "Action": "events:PutEvents", "Principal": MEMBER, "StatementId": sid})
}

#[tokio::test]
async fn changes_chain_and_point_to_their_calls() {
    let sim = Sim::start(Config::default()).await.unwrap();
    assert_eq!(call(&sim, "PutPermission", &put("default", "a")).await.status, 200);
    assert_eq!(call(&sim, "PutPermission", &put("default", "a")).await.status, 200); // a no-op
    assert_eq!(call(&sim, "PutPermission", &put("default", "b")).await.status, 200);
    assert_eq!(call(&sim, "PutPermission", &put("nowhere", "c")).await.status, 400);
    assert!(sim.put_policy(OWNER, REGION, "default", Some(json!({"Statement": [{"Effect": "Allow"}]}))));
    let remove = json!({"RemoveAllPermissions": true});
    assert_eq!(call(&sim, "RemovePermission", &remove).await.status, 200);

    let (calls, changes) = (sim.journal(), sim.changes());
    let writers: Vec<Writer> = changes.iter().map(|change| change.writer).collect();
    let (first, third, last) = (&calls[0], &calls[2], &calls[4]);
    assert_eq!(writers, [Writer::Call(first.seq), Writer::Call(third.seq), Writer::Foreign, Writer::Call(last.seq)]);
    assert_eq!((first.account.as_str(), first.region.as_str(), first.bus.as_deref()), (OWNER, REGION, Some("default")));
    assert_eq!(first.input["StatementId"], "a");
    assert!(changes[0].policy_before.is_none() && changes[3].policy.is_none());
    for pair in changes.windows(2) {
        assert!(pair[0].seq < pair[1].seq);
        assert_eq!(pair[0].policy_after, pair[1].policy_before, "what one leaves, the next finds");
    }
    for (entry, change) in [(first, &changes[0]), (third, &changes[1]), (last, &changes[3])] {
        assert_eq!(entry.applied, Some(change.seq));
        assert!(entry.seq < change.seq && change.seq < entry.answered.unwrap(), "arrived, applied, answered");
        assert_eq!((&entry.policy_before, &entry.policy_after), (&change.policy_before, &change.policy_after));
    }
    assert_eq!(calls[1].policy_before, calls[1].policy_after, "a no-op");
    assert_eq!((calls[3].error.as_deref(), calls[3].applied), (Some("ResourceNotFoundException"), None));
    let text = changes[1].policy.as_ref().unwrap().to_string();
    assert_eq!(Some(State::policy_hash(&text)), changes[1].policy_after, "hashes can be computed outside");
}

#[tokio::test]
async fn filters_select_and_marks_divide() {
    let sim = Sim::start(Config::default()).await.unwrap();
    assert!(sim.create_bus(OWNER, REGION, "orders"));
    call(&sim, "PutPermission", &put("orders", "a")).await;
    let mark = sim.mark();
    call(&sim, "PutPermission", &put("default", "b")).await;
    call(&sim, "DescribeEventBus", &json!({"Name": "orders"})).await;
    assert_eq!(sim.journal_of(&JournalFilter::since(mark)).len(), 2);
    assert_eq!(sim.journal_of(&JournalFilter::operation(Operation::PutPermission)).len(), 2);
    let orders = JournalFilter { bus: Some("orders".to_owned()), ..JournalFilter::default() };
    assert_eq!((sim.journal_of(&orders).len(), sim.changes_of(&orders).len()), (2, 1));
    let last = JournalFilter { limit: Some(1), ..JournalFilter::default() };
    assert_eq!(sim.journal_of(&last)[0].operation, Operation::DescribeEventBus);
    let over_http = control(&sim, "GET", &format!("/_sim/journal?since={mark}&bus=default"), &Value::Null).await;
    assert_eq!(over_http["entries"].as_array().unwrap().len(), 1);
    assert_eq!(over_http["entries"][0]["input"]["StatementId"], "b");
    let changes = control(&sim, "GET", "/_sim/changes?account=123456789012&limit=1", &Value::Null).await;
    assert_eq!(changes["changes"][0]["policy"]["Statement"][0]["Sid"], "b");
    assert_eq!(http(&sim, "GET", "/_sim/journal?since=x", &[], "").await.unwrap().status, 400);
}

#[tokio::test]
async fn memory_is_bounded_by_entries_and_by_bytes() {
    let config = Config { journal_entries: 10, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    for index in 0..25 {
        call(&sim, "PutPermission", &put("default", &format!("s{index}"))).await;
    }
    let (calls, changes) = (sim.journal(), sim.changes());
    assert_eq!((calls.len(), changes.len()), (10, 10));
    assert_eq!(calls[9].input["StatementId"], "s24", "the latest are kept");

    let config = Config { journal_bytes: 100_000, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let long = json!({"Name": "x".repeat(10_000)});
    for _ in 0..20 {
        call(&sim, "DescribeEventBus", &long).await;
    }
    assert!((1..5).contains(&sim.journal().len()), "{}", sim.journal().len());
}

#[tokio::test]
async fn the_file_gets_every_call_and_change() {
    let path = std::env::temp_dir().join(format!("busgrant-sim-journal-{}.jsonl", std::process::id()));
    let config = Config { journal_file: Some(path.clone()), journal_entries: 1, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    for sid in ["a", "b", "c"] {
        call(&sim, "PutPermission", &put("default", sid)).await;
    }
    call(&sim, "DescribeEventBus", &json!({})).await;
    let lines: Vec<Value> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::remove_file(&path).unwrap();
    let changes = lines.iter().filter_map(|line| serde_json::from_value::<Change>(line.clone()).ok()).count();
    let calls = lines.iter().filter_map(|line| serde_json::from_value::<JournalEntry>(line.clone()).ok()).count();
    assert_eq!((changes, calls), (3, 4), "more than memory keeps");
}

#[tokio::test]
async fn the_control_api_reaches_the_state() {
    let sim = Sim::start(Config::default()).await.unwrap();
    control(&sim, "GET", "/_sim/health", &Value::Null).await;
    control(&sim, "PUT", "/_sim/buses/123456789012/us-east-1/orders", &Value::Null).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Sid": "theirs", "Effect": "Allow",
        "Principal": "*", "Action": "events:PutEvents", "Resource": "*"}]});
    let path = "/_sim/policy/123456789012/us-east-1/orders";
    control(&sim, "PUT", path, &policy).await;
    assert_eq!(control(&sim, "GET", path, &Value::Null).await, policy);
    let missing = http(&sim, "GET", "/_sim/policy/123456789012/us-east-1/missing", &[], "").await.unwrap();
    assert_eq!(missing.status, 404);
    let write = json!({"remove": {"sid": "theirs"}});
    control(&sim, "POST", "/_sim/foreign-write/123456789012/us-east-1/orders", &write).await;
    assert_eq!(control(&sim, "GET", path, &Value::Null).await, Value::Null);
    control(&sim, "PUT", "/_sim/settings", &json!({"policyQuota": 99})).await;
    assert_eq!(sim.settings().policy_quota, 99);
    assert_eq!(http(&sim, "PUT", "/_sim/settings", &[], r#"{"quota": 1}"#).await.unwrap().status, 400);
    control(&sim, "PUT", "/_sim/accounts/333333333333", &json!({"exists": false})).await;
    let role = json!({"arn": "arn:aws:iam::123456789012:role/r", "trust": [{"account": "123456789012"}]});
    let id = control(&sim, "PUT", "/_sim/principals", &role).await["uniqueId"].clone();
    assert!(id.as_str().unwrap().starts_with("AROA"));
    let arn = json!({"arn": role["arn"]});
    assert_eq!(control(&sim, "DELETE", "/_sim/principals", &arn).await["deleted"], true);
    let before = control(&sim, "POST", "/_sim/advance", &json!({"millis": 0})).await["nowMillis"].as_i64().unwrap();
    let after = control(&sim, "POST", "/_sim/advance", &json!({"millis": 60_000})).await["nowMillis"].as_i64().unwrap();
    assert!(after >= before + 60_000);
    let probe = json!({"account": OWNER, "region": REGION, "bus": "orders", "principal": MEMBER});
    assert_eq!(control(&sim, "POST", "/_sim/probe", &probe).await["allowed"], false);
    assert_eq!(http(&sim, "GET", "/_sim/nonsense", &[], "").await.unwrap().status, 404);
}
