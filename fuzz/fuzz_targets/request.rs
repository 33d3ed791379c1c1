//! Requests of either protocol to a simulator, one a line: the first byte chooses the operation, the rest is the body.
#![no_main]

use busgrant_sim::{Settings, State};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

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
/// Small, so that short inputs reach it.
const QUOTA: usize = 600;
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=123456789012/20260913/us-east-1/events/aws4_request, Signature=0";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Sends one; `?` stands for STS.
async fn send(sim: &State, line: &[u8]) {
    let Some((first, rest)) = line.split_first() else { return };
    let operation = OPERATIONS.get(usize::from(first.wrapping_sub(b'a'))).map(|name| format!("AWSEvents.{name}"));
    let text = String::from_utf8_lossy(rest);
    let mut parts = text.splitn(3, '\t');
    let (target, authorization, form, body) = match (&operation, first) {
        (Some(name), _) => (Some(name.as_str()), Some(AUTHORIZATION), false, rest),
        (None, b'?') => (None, Some(AUTHORIZATION), true, rest),
        // The headers, too, are the fuzzer's.
        (None, _) => (parts.next(), parts.next(), *first == b'&', parts.next().unwrap_or_default().as_bytes()),
    };
    let answer = sim.request(target, authorization, form, body.to_vec()).await;
    let (status, body) = answer.expect("no fault is in force");
    let query = body.starts_with('<') && body.ends_with('>');
    let json = serde_json::from_str::<Value>(&body).map_or(Value::Null, |body| body);
    assert!(matches!(status, 200 | 400 | 403), "{status} {body}");
    assert!(query || (status == 400) == json["__type"].is_string(), "{status} {body}");
}

fuzz_target!(|data: &[u8]| {
    RUNTIME.with(|runtime| {
        let sim = State::unserved().expect("no journal file is asked for");
        sim.set(Settings { policy_quota: QUOTA, ..Settings::default() });
        data.split(|byte| *byte == b'\n').for_each(|line| runtime.block_on(send(&sim, line)));
        for bus in sim.buses() {
            let Some(text) = sim.policy_text(&bus.account, &bus.region, &bus.name) else { continue };
            assert!(text.chars().count() <= QUOTA, "a policy over the quota");
            let policy: Value = serde_json::from_str(&text).expect("a policy is JSON");
            let statements = policy["Statement"].as_array().expect("a list of statements");
            assert!(!statements.is_empty() && statements.iter().all(|one| one["Sid"].is_string()), "{text}");
        }
    });
});
