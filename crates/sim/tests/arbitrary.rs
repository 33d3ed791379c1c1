//! Arbitrary requests: whatever is sent gets an answer of the protocol, and nothing panics. Bounded, for every test
//! run; `fuzz/` holds the unbounded one.
#![expect(clippy::unwrap_used, reason = "tests")]

use busgrant_sim::{Config, Sim};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::Value;

const OPERATIONS: [&str; 9] = [
    "CreateEventBus",
    "DeleteEventBus",
    "DescribeEventBus",
    "ListEventBuses",
    "PutPermission",
    "RemovePermission",
    "PutEvents",
    "PutRule",
    "DeleteRule",
];
const FIELDS: [&str; 14] = [
    "Name",
    "EventBusName",
    "Action",
    "Principal",
    "StatementId",
    "Condition",
    "Policy",
    "RemoveAllPermissions",
    "Entries",
    "NamePrefix",
    "NextToken",
    "Limit",
    "Statement",
    "Version",
];

/// JSON that is near enough to an input to get past the first checks.
fn input() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        Just("default".to_owned()),
        Just("*".to_owned()),
        Just("events:PutEvents".to_owned()),
        Just("222222222222".to_owned()),
        Just("arn:aws:events:us-east-1:123456789012:event-bus/default".to_owned()),
        Just(r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":"*"}]}"#.to_owned()),
        Just("sim1e9".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        texts.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name =
            prop_oneof![3 => proptest::sample::select(&FIELDS[..]).prop_map(ToOwned::to_owned), 1 => any::<String>()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(name, inner.clone(), 0..5).prop_map(|fields| fields.into_iter().collect()),
            // A document in a text, as policies are.
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

fn run<T: std::fmt::Debug>(cases: u32, strategy: &impl Strategy<Value = T>, check: impl Fn(&Asker, T)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sim = runtime.block_on(Sim::start(Config::default())).unwrap();
    let service = Asker { runtime, sim };
    let mut runner = TestRunner::new(Runs { cases, failure_persistence: None, ..Runs::default() });
    let asked = runner.run(strategy, |value| {
        check(&service, value);
        Ok(())
    });
    asked.unwrap();
}

struct Asker {
    runtime: tokio::runtime::Runtime,
    sim: Sim,
}

impl Asker {
    fn ask(&self, target: Option<&str>, form: bool, body: Vec<u8>) -> (u16, String) {
        let scope = "123456789012/20260913/us-east-1/events/aws4_request";
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, Signature=0");
        self.runtime.block_on(self.sim.request(target, Some(&authorization), form, body)).unwrap()
    }
}

#[test]
fn near_valid_inputs_get_an_answer() {
    let strategy = (proptest::sample::select(&OPERATIONS[..]), input());
    run(2000, &strategy, |asker, (operation, input)| {
        let (status, body) = asker.ask(Some(&format!("AWSEvents.{operation}")), false, input.to_string().into_bytes());
        assert!(status == 200 || status == 400, "{status} {body}");
        let answer: Value = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() };
        assert_eq!(answer["__type"].is_string(), status == 400, "{body}");
    });
}

#[test]
fn arbitrary_bytes_get_an_answer() {
    let target = proptest::option::of(prop_oneof!["AWSEvents\\.[A-Za-z]{0,20}", ".{0,40}"]);
    let strategy = (target, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300));
    run(1000, &strategy, |asker, (target, form, body)| {
        let (status, _) = asker.ask(target.as_deref(), form, body);
        assert!((200..500).contains(&status), "{status}");
    });
}

#[test]
fn arbitrary_forms_get_xml() {
    let pair = prop_oneof![
        Just("Action=AssumeRole".to_owned()),
        Just("Action=GetCallerIdentity".to_owned()),
        "(RoleArn|RoleSessionName|DurationSeconds|ExternalId)=[%+a-z0-9:/]{0,30}",
        ".{0,20}",
    ];
    run(1000, &proptest::collection::vec(pair, 0..6), |asker, pairs| {
        let (status, body) = asker.ask(None, true, pairs.join("&").into_bytes());
        assert!([200, 400, 403].contains(&status), "{status}");
        assert!(body.starts_with('<') && body.ends_with('>'), "{body}");
    });
}
