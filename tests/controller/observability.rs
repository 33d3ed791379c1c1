//! What the operator tells those who run it: probes, metrics, its log.

use std::fs;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use busgrant_sim::ForeignWrite;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::operator::Start;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};
use crate::support::{PATIENCE, eventually};

fn grant() -> Value {
    spec(&json!([account("a", "111122223333")]))
}

/// The value of the one series that begins so.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The metrics, once they tell of the one object: its status is written before.
async fn told(scene: &Scene) -> String {
    eventually("the metrics tell of the object", PATIENCE, async || {
        let metrics = scene.metrics().unwrap();
        let ready = value(&metrics, "busgrant_permissions{ready=\"True\",reason=\"InSync\"}");
        let done = value(&metrics, "workqueue_depth{") == Some(0.0);
        if ready == Some(1.0) && done { Ok(metrics) } else { Err(metrics) }
    })
    .await
}

#[tokio::test]
async fn it_is_ready_once_it_has_seen_the_objects() {
    let scene = Scene::running("readyz").await;
    eventually("ready", PATIENCE, async || {
        let answer = scene.operator().answer("GET /readyz HTTP/1.0\r\n\r\n").unwrap_or_default();
        answer.ends_with("leader").then_some(()).ok_or(answer)
    })
    .await;
    assert!(scene.operator().answer("GET /healthz HTTP/1.0\r\n\r\n").unwrap().ends_with("ok"));
}

#[tokio::test]
async fn metrics_tell_what_stands_and_what_was_done() {
    let scene = Scene::running("metrics").await;
    scene.granted("billing", &grant()).await;
    let metrics = told(&scene).await;
    let bus = r#"bus="arn:aws:events:eu-west-1:123456789012:event-bus/orders""#;
    let object = format!(r#"namespace="{}",name="billing""#, scene.namespace);
    for (series, wanted) in [
        (format!("busgrant_condition{{{object},type=\"Ready\",status=\"True\"}}"), 1.0),
        ("busgrant_permissions{ready=\"True\",reason=\"InSync\"}".to_owned(), 1.0),
        (format!("busgrant_statements{{{bus},owner=\"self\"}}"), 1.0),
        (format!("busgrant_statements{{{bus},owner=\"foreign\"}}"), 0.0),
        (format!("busgrant_policy_characters_allowed{{{bus}}}"), 10_240.0),
        (format!("busgrant_orphaned_statements{{{bus}}}"), 0.0),
        ("busgrant_aws_requests_total{operation=\"PutPermission\",code=\"ok\",region=\"eu-west-1\"}".to_owned(), 1.0),
        ("busgrant_aws_request_duration_seconds_count{operation=\"PutPermission\"}".to_owned(), 1.0),
        ("controller_runtime_reconcile_errors_total{controller=\"eventbuspermission\"}".to_owned(), 0.0),
        ("workqueue_depth{controller=\"eventbuspermission\",name=\"eventbuspermission\"}".to_owned(), 0.0),
    ] {
        assert_eq!(value(&metrics, &series), Some(wanted), "{series} in {metrics}");
    }
    let length = scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap().len();
    let characters = value(&metrics, &format!("busgrant_policy_characters{{{bus}}}"));
    assert_eq!(characters.map(|number| number.to_string()), Some(length.to_string()));
    for series in [
        "controller_runtime_reconcile_total{controller=\"eventbuspermission\",result=\"success\"}",
        "controller_runtime_reconcile_time_seconds_count{",
        "workqueue_adds_total{",
        "workqueue_work_duration_seconds_count{",
        "busgrant_build_info{version=",
        "busgrant_last_sync_timestamp_seconds{",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
    ] {
        assert!(value(&metrics, series).is_some_and(|value| value >= 0.0), "{series} is not in {metrics}");
    }
    assert!(!metrics.contains("leader_election_master_status"), "there is no lease");
}

#[tokio::test]
async fn objects_have_no_series_of_their_own_where_that_is_too_much() {
    let mut scene = Scene::new("aggregate").await;
    scene.start(&["--metrics-per-object=false"]);
    scene.granted("billing", &grant()).await;
    let metrics = told(&scene).await;
    assert!(!metrics.contains("busgrant_condition"));
}

#[tokio::test]
async fn a_line_of_json_says_for_which_object_what_was_written_by_which_call() {
    let mut scene = Scene::new("json").await;
    scene.start_as(&Start { flags: vec!["--log-format=json"], ..Start::default() });
    let object = scene.granted("billing", &grant()).await;
    told(&scene).await;
    let log = fs::read_to_string(&scene.logs[0]).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no line says {message}: {log}"))
    };
    let written = about("written");
    assert_eq!(written["namespace"], scene.namespace.as_str());
    assert_eq!(written["name"], "billing");
    assert_eq!(written["generation"], json!(object.metadata.generation));
    let request = written["aws_request_id"].as_str().unwrap();
    assert_eq!(request.len(), 36, "{written}");
    let told = about("status written");
    assert_eq!(told["name"], "billing");
    let id = |line: &Value| line["span"]["reconcile_id"].as_str().map(str::to_owned);
    assert!(id(written).is_some(), "{written}");
    let ids: Vec<_> = lines.iter().filter(|line| line["message"] == "status written").map(id).collect();
    assert!(ids.contains(&id(written)), "what was written and what was told have no id in common: {log}");
}

#[tokio::test]
async fn what_is_logged_can_be_changed_from_inside_and_not_to_nonsense() {
    let mut scene = Scene::new("loglevel").await;
    scene.start_as(&Start { log: Some("warn,busgrant::cli=info"), ..Start::default() });
    scene.granted("before", &grant()).await;
    let put = |text: &str| {
        let length = text.len();
        scene.operator().answer(&format!("PUT /log HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{text}")).unwrap()
    };
    for wrong in ["busgrant=loud", "", "foo bar=", "busgrant="] {
        let said = put(wrong);
        assert!(said.starts_with("HTTP/1.0 400") && said.contains("the log filter must be"), "{said}");
    }
    let log = || fs::read_to_string(&scene.logs[0]).unwrap();
    assert!(!log().contains("written"));
    assert!(put("info").starts_with("HTTP/1.0 200"));
    scene.granted("after", &grant()).await;
    assert!(log().contains("written") && log().contains("after"));
    assert!(scene.operator().answer("GET /log HTTP/1.0\r\n\r\n").unwrap().ends_with("info"));
}

#[tokio::test]
async fn an_object_is_looked_at_when_somebody_asks_and_says_that_it_was() {
    let scene = Scene::running("request").await;
    scene.granted("billing", &grant()).await;
    let mark = scene.mark();
    scene.annotate("billing", "busgrant.dev/reconcile-at", json!("2026-11-25T02:00:00Z")).await;
    let object = scene
        .until("billing", "the request is handled", |object| {
            object.data["status"]["lastHandledReconcileAt"] == "2026-11-25T02:00:00Z"
        })
        .await;
    assert!(super::scene::is(&object, "Ready", "True"));
    assert!(!scene.calls(mark).is_empty(), "the bus was not looked at");
    assert!(scene.writes(mark).is_empty());
    // Once handled, it costs nothing more, and a later one is another.
    scene.annotate("billing", "busgrant.dev/reconcile-at", json!("again")).await;
    scene.until("billing", "the next", |object| object.data["status"]["lastHandledReconcileAt"] == "again").await;
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_back_off() {
    let mut scene = Scene::new("impatient").await;
    let elsewhere = json!({"eventBus": {"name": "missing"}, "statements": [account("a", "111122223333")]});
    scene.start(&[]);
    scene.apply("billing", &elsewhere).await;
    scene.says("billing", "EventBusNotFound").await;
    scene.sim.create_bus(ACCOUNT, REGION, "missing");
    scene.annotate("billing", "busgrant.dev/reconcile-at", json!("now")).await;
    scene.ready("billing").await;
}

#[tokio::test]
async fn calls_to_aws_are_traced_where_there_is_a_collector() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let take = async move |body: Bytes| drop(sender.send(String::from_utf8_lossy(&body).into_owned()));
    let routes = Router::new().route("/v1/traces", post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let mut scene = Scene::new("traces").await;
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned())];
    // What is traced is no matter of what is logged.
    scene.start_as(&Start { environment, log: Some("warn,busgrant::cli=info"), ..Start::default() });
    scene.granted("billing", &grant()).await;
    let mut all = String::new();
    let lacks = |all: &str| {
        let wanted =
            ["EventBridge.PutPermission", "EventBridge.DescribeEventBus", "aws.request_id", "flight", "busgrant"];
        wanted.into_iter().find(|word| !all.contains(word))
    };
    while let Some(word) = lacks(&all) {
        let more = timeout(PATIENCE, received.recv()).await;
        all += &more.unwrap_or_else(|_| panic!("no {word} in {all}")).unwrap();
    }
}

#[tokio::test]
async fn what_happens_again_is_one_event_that_counts() {
    let scene = Scene::running("again").await;
    scene.granted("billing", &grant()).await;
    let sid = scene.sid("billing", "a-111122223333");
    for _ in 0..2 {
        let mark = scene.mark();
        assert!(scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: sid.clone() }));
        scene.sim.wait_until(|_| scene.writes(mark).iter().any(|call| call.applied.is_some())).await;
        scene.looked_over(2).await;
    }
    let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.namespace);
    eventually("one event, seen twice", PATIENCE, async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let drift: Vec<_> = all.into_iter().filter(|event| event.reason.as_deref() == Some("DriftCorrected")).collect();
        let seen = |event: &Event| event.series.as_ref().map_or(1, |series| series.count);
        if matches!(&drift[..], [one] if seen(one) == 2) { Ok(()) } else { Err(format!("{drift:?}")) }
    })
    .await;
}
