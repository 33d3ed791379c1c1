//! Somebody else who writes to the bus by calls of their own, so that they and we overwrite each other as on the real one.

use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use busgrant_sim::{Principal, Trust};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use super::record::SOMEBODY_ELSE;
use super::scene::{ACCOUNT, BUS, REGION, Scene};
use super::seeds::Random;

/// Writes until it is told to stop.
pub(super) struct SomebodyElse {
    task: JoinHandle<()>,
}

impl SomebodyElse {
    /// Puts and removes statements of its own, one after another with a pause between them.
    pub(super) async fn starts(scene: &Scene, pause: Duration, seed: u64) -> Self {
        let client = client(scene).await;
        let task = tokio::spawn(async move {
            let mut random = Random::new(seed);
            loop {
                let sid = format!("theirs-{}", random.below(4));
                // Whatever comes of it: others fail too.
                if random.percent(30) {
                    let _ = client.remove_permission().event_bus_name(BUS).statement_id(sid).send().await;
                } else {
                    let put = client.put_permission().event_bus_name(BUS).statement_id(sid).action("events:PutEvents");
                    let _ = put.principal(random.account()).send().await;
                }
                sleep(pause).await;
            }
        });
        Self { task }
    }

    /// Ends, with the call that is under way lost to it and not to the service.
    pub(super) fn stops(self) {
        self.task.abort();
    }
}

/// A client with the credentials of another role in the bus's account.
async fn client(scene: &Scene) -> aws_sdk_eventbridge::Client {
    let role = SOMEBODY_ELSE.split('/').nth(1).unwrap();
    let [key, secret, token] = session(scene, role, "test").await;
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(scene.sim.endpoint())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new(key, secret, Some(token), None, "test"))
        .build();
    aws_sdk_eventbridge::Client::from_conf(config)
}

/// The key, secret and token of a session of a role in the bus's account.
pub(super) async fn session(scene: &Scene, role: &str, name: &str) -> [String; 3] {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
    let trust = vec![Trust { account: ACCOUNT.to_owned(), external_id: None }];
    scene.sim.declare_principal(Principal { arn: role.clone(), trust, ..Principal::default() }).unwrap();
    let sts = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(scene.sim.endpoint())
        .credentials_provider(Credentials::new(ACCOUNT, "secret", None, None, "test"))
        .build();
    let assumed = aws_sdk_sts::Client::from_conf(sts).assume_role().role_arn(role).role_session_name(name).send().await;
    let session = assumed.unwrap().credentials.unwrap();
    [session.access_key_id, session.secret_access_key, session.session_token]
}
