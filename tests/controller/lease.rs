//! One leader at a time, and no longer than it can prove.

use std::time::Duration;

use busgrant::controller::lease::Lease;
use k8s_openapi::api::coordination::v1::Lease as Record;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::{client, unique_namespace};

const NAME: &str = "busgrant-test";

async fn candidate(namespace: &str, identity: &str) -> Lease {
    Lease::new(client().await, namespace, NAME.to_owned(), identity.to_owned())
}

#[tokio::test]
async fn a_second_leads_once_the_first_has_let_go() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let (first, second) = (candidate(&namespace, "first").await, candidate(&namespace, "second").await);
    let proved = first.acquire().await;
    let both = timeout(Duration::from_secs(5), async { tokio::join!(first.keep(proved), second.acquire()) });
    assert!(both.await.is_err(), "two lead, or the first lost what nobody took");
    first.release().await;
    let took = timeout(Duration::from_secs(5), second.acquire()).await;
    assert!(took.is_ok(), "a lease that was released is not to be waited out");
}

#[tokio::test]
async fn who_sees_another_holder_no_longer_leads() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let lease = candidate(&namespace, "first").await;
    let proved = lease.acquire().await;
    let records: Api<Record> = Api::namespaced(client().await, &namespace);
    let taken = json!({"spec": {"holderIdentity": "another"}});
    records.patch(NAME, &PatchParams::default(), &Patch::Merge(&taken)).await.unwrap();
    let lost = timeout(Duration::from_secs(10), lease.keep(proved)).await;
    assert!(lost.is_ok(), "it goes on leading");
    lease.release().await;
    let holder = records.get(NAME).await.unwrap().spec.unwrap().holder_identity;
    assert_eq!(holder.as_deref(), Some("another"), "it released what was not its own");
}

#[tokio::test]
async fn who_can_not_renew_no_longer_leads_before_others_may() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let lease = candidate(&namespace, "first").await;
    let proved = lease.acquire().await;
    let records: Api<Record> = Api::namespaced(client().await, &namespace);
    records.delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
    let lost = timeout(Duration::from_secs(12), lease.keep(proved)).await;
    assert!(lost.is_ok() && Instant::now() < proved + Duration::from_secs(15));
}
