//! boto3 and the AWS CLI, independent of our own SDK, work against the simulator: `clients/run` says how.

use std::path::Path;

use busgrant_sim::{Config, Sim};
use tokio::process::Command;

#[tokio::test]
async fn boto3_and_the_aws_cli_work() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run");
    let done = Command::new(script).arg(sim.endpoint()).status().await.expect("clients/run needs python3");
    assert!(done.success(), "what it printed above says why");
}
