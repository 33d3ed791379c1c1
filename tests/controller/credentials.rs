//! Credentials that come, go and change while the operator runs, as those of a role do.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use busgrant_sim::{Fault, FaultKind, Operation};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::operator::{CANARIES, Start};
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, is, message, spec};

/// Somebody else's account.
const OTHER: &str = "210987654321";

/// Gives out the credentials of an account, as a container's metadata service does; to be asked before every call.
struct Role {
    url: String,
    account: Arc<Mutex<Option<&'static str>>>,
    server: AbortHandle,
}

impl Role {
    async fn of(account: &'static str) -> Self {
        let account = Arc::new(Mutex::new(Some(account)));
        let current = Arc::clone(&account);
        let answer = move || {
            let current = *current.lock().unwrap();
            async move { credentials(current) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/role", listener.local_addr().unwrap());
        let routes = Router::new().route("/role", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url, account, server }
    }

    /// From now on it gives the credentials of that account, or none.
    fn becomes(&self, account: Option<&'static str>) {
        *self.account.lock().unwrap() = account;
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn credentials(account: Option<&str>) -> Response {
    let Some(account) = account else {
        return (StatusCode::NOT_FOUND, Json(json!({"code": "NoRole", "message": "no role is attached"})))
            .into_response();
    };
    // So soon to expire that no client keeps them.
    let expires = Timestamp::now() + SignedDuration::from_secs(2);
    let [secret, token, _] = CANARIES;
    Json(json!({"AccessKeyId": account, "SecretAccessKey": secret, "Token": token, "Expiration": expires.to_string()}))
        .into_response()
}

fn grant(name: &str) -> Value {
    spec(&json!([
        account(name, "111122223333"),
        {"name": "long", "principals": {"accountIDs": ["111122223333"]}, "sources": ["s"]},
    ]))
}

/// A scene whose operator has a role's credentials.
async fn with_role(purpose: &str) -> (Scene, Role) {
    let mut scene = Scene::new(purpose).await;
    let role = Role::of(ACCOUNT).await;
    scene.start_as(&Start { credentials_from: Some(role.url.clone()), ..Start::default() });
    (scene, role)
}

/// Under another account nothing was called but to learn whose the credentials are.
fn only_the_own_account_was_called(scene: &Scene) {
    for call in scene.sim.journal() {
        let own = call.account == ACCOUNT || call.account.is_empty();
        assert!(own || call.operation == Operation::GetCallerIdentity, "{call:?}");
    }
}

/// An object whose deletion waits while something is missing says so once, keeps its finalizer and its statements, and goes
/// when that is back.
async fn waits_and_goes(scene: &Scene, reason: &str, names: &str, restore: impl FnOnce()) {
    let held = scene.held("a");
    scene.delete("a").await;
    let object = scene.says("a", reason).await;
    assert!(message(&object).contains(names), "{} does not say {names}", message(&object));
    assert!(is(&object, "Reconciling", "True") || is(&object, "Stalled", "True"));
    scene.event("a", reason).await;
    // The first who notices may say it in other words than who tries again.
    let told = scene.status_writes("a") + 1;
    // A while in which nothing may change.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!scene.get("a").await.finalizers().is_empty());
    assert_eq!(scene.held("a"), held);
    assert!(scene.status_writes("a") <= told, "it says so again and again");
    assert_eq!(scene.events("a").await.iter().filter(|event| *event == reason).count(), 1);
    restore();
    scene.gone("a").await;
    assert!(scene.held("a").is_empty());
    only_the_own_account_was_called(scene);
}

#[tokio::test]
async fn without_credentials_a_deletion_waits() {
    let (scene, role) = with_role("norole").await;
    scene.granted("a", &grant("one")).await;
    role.becomes(None);
    waits_and_goes(&scene, "CredentialsUnavailable", "redential", || role.becomes(Some(ACCOUNT))).await;
}

#[tokio::test]
async fn with_credentials_that_are_no_longer_good_a_deletion_waits() {
    let (scene, _role) = with_role("expired").await;
    scene.granted("a", &grant("one")).await;
    for operation in [
        Operation::DescribeEventBus,
        Operation::ListEventBuses,
        Operation::PutPermission,
        Operation::RemovePermission,
        Operation::GetCallerIdentity,
    ] {
        let code = if operation == Operation::GetCallerIdentity { "ExpiredToken" } else { "ExpiredTokenException" };
        let kind = FaultKind::Error {
            status: 403,
            code: code.to_owned(),
            message: "The security token included in the request is expired".to_owned(),
        };
        scene.sim.inject(Fault::new(kind).on(operation));
    }
    waits_and_goes(&scene, "CredentialsUnavailable", "expired", || scene.sim.clear_faults()).await;
}

#[tokio::test]
async fn without_the_right_to_look_or_to_remove_a_deletion_waits() {
    for operation in [Operation::DescribeEventBus, Operation::RemovePermission] {
        let (scene, _role) = with_role("norights").await;
        scene.granted("a", &grant("one")).await;
        scene.sim.inject(Fault::new(FaultKind::AccessDenied).on(operation));
        waits_and_goes(&scene, "AccessDenied", operation.name(), || scene.sim.clear_faults()).await;
    }
}

#[tokio::test]
async fn with_the_credentials_of_another_account_a_deletion_waits() {
    // With a bus of that name in the other account, and without one, where it seems to be gone.
    for with_bus in [true, false] {
        let (scene, role) = with_role("another").await;
        if with_bus {
            scene.sim.create_bus(OTHER, REGION, BUS);
        }
        scene.granted("a", &grant("one")).await;
        role.becomes(Some(OTHER));
        waits_and_goes(&scene, "BusChanged", OTHER, || role.becomes(Some(ACCOUNT))).await;
    }
}

#[tokio::test]
async fn credentials_that_become_another_accounts_write_nothing_there() {
    let (scene, role) = with_role("became").await;
    scene.sim.create_bus(OTHER, REGION, BUS);
    scene.granted("a", &grant("one")).await;
    for round in 0..4 {
        // Looked over, so that a read of before may serve for a plan.
        scene.looked_over(1).await;
        role.becomes(Some(OTHER));
        let next = grant(&format!("n{round}"));
        scene.apply("a", &next).await;
        let object = scene.until("a", "told", |object| !is(object, "Ready", "True")).await;
        assert!(!object.finalizers().is_empty());
        role.becomes(Some(ACCOUNT));
        scene.ready("a").await;
        assert_eq!(scene.held("a"), scene.wanted("a", &next));
    }
    only_the_own_account_was_called(&scene);
    assert_eq!(scene.sim.policy(OTHER, REGION, BUS), None);
}

/// Every path to a log, a status, an event or a metric, with everything logged that can be. That nothing secret is told the
/// promises of every scene see to.
#[tokio::test]
async fn nothing_secret_is_told_whatever_is_logged() {
    let mut scene = Scene::new("secret").await;
    let role = Role::of(ACCOUNT).await;
    let start = Start { credentials_from: Some(role.url.clone()), log: Some("trace"), ..Start::default() };
    scene.start_as(&start);
    scene.granted("a", &grant("one")).await;
    for kind in [FaultKind::AccessDenied, FaultKind::Throttling, FaultKind::InternalError, FaultKind::DropAfterApply] {
        scene.sim.inject(Fault::new(kind).times(3));
        scene.granted("a", &grant("two")).await;
        scene.granted("a", &grant("one")).await;
    }
    role.becomes(None);
    scene.apply("a", &grant("two")).await;
    scene.says("a", "CredentialsUnavailable").await;
    role.becomes(Some(ACCOUNT));
    scene.ready("a").await;
    scene.front.refuse(axum::http::Method::PATCH, "/status", 500, 3);
    scene.granted("a", &grant("one")).await;
    scene.delete("a").await;
    scene.gone("a").await;
    scene.stop().await;
    let log = std::fs::read_to_string(&scene.logs[0]).unwrap();
    assert!(log.contains("TRACE"), "not everything was logged");
    // Without credentials, and with a key that is none.
    for (name, account) in [("b", ""), ("c", "not-a-key")] {
        scene.start_as(&Start { account: Some(account), log: Some("trace"), ..Start::default() });
        scene.apply(name, &grant("one")).await;
        scene.says(name, "CredentialsUnavailable").await;
        scene.stop().await;
    }
}
