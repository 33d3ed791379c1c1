//! Requests of either protocol: the first byte chooses the operation, the rest is the body.
#![no_main]

use std::sync::LazyLock;

use busgrant_sim::{Config, Sim};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static SERVICE: LazyLock<(Runtime, Sim)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = Config { journal_entries: 100, ..Config::default() };
    let sim = runtime.block_on(Sim::start(config)).expect("a free port");
    (runtime, sim)
});

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

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let operation = OPERATIONS.get(usize::from(*first) % (OPERATIONS.len() + 1));
    let target = operation.map(|name| format!("AWSEvents.{name}"));
    let authorization = "AWS4-HMAC-SHA256 Credential=123456789012/20260913/us-east-1/events/aws4_request, Signature=0";
    let (runtime, sim) = &*SERVICE;
    let answer = sim.request(target.as_deref(), Some(authorization), operation.is_none(), body.to_vec());
    let (status, body) = runtime.block_on(answer).expect("no fault is in force");
    assert!((200..500).contains(&status), "{status} {body}");
});
