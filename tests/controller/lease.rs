//! One leader at a time, and no longer than it can prove.

use std::time::Duration;

use busgrant::controller::leadership::Leadership;
use busgrant::controller::lease::{Lease, Terms};
use k8s_openapi::api::coordination::v1::Lease as Record;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::{client, unique_namespace};

const NAME: &str = "busgrant-test";

const TERMS: Terms = Terms {
    duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

async fn candidate(namespace: &str, identity: &str) -> (Lease, Leadership) {
    let leadership = Leadership::by_lease(TERMS.good_for(Duration::from_secs(10)).unwrap());
    let lease = Lease::new(client().await, namespace, NAME.to_owned(), identity.to_owned(), TERMS, leadership.clone());
    (lease, leadership)
}

#[tokio::test]
async fn a_second_leads_once_the_first_has_let_go() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let ((first, first_leads), (second, second_leads)) =
        (candidate(&namespace, "first").await, candidate(&namespace, "second").await);
    first.acquire().await;
    assert!(first_leads.may_write() && !second_leads.may_write());
    let both = timeout(Duration::from_secs(7), async { tokio::join!(first.keep(), second.acquire()) });
    assert!(both.await.is_err(), "two lead, or the first lost what nobody took");
    assert!(first_leads.may_write(), "what is renewed is proved anew");
    first.release().await;
    assert!(!first_leads.may_write(), "who has let go writes no more");
    let took = timeout(Duration::from_secs(5), second.acquire()).await;
    assert!(took.is_ok() && second_leads.may_write(), "a lease that was released is not to be waited out");
}

#[tokio::test]
async fn who_sees_another_holder_no_longer_leads() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let (lease, leadership) = candidate(&namespace, "first").await;
    lease.acquire().await;
    let records: Api<Record> = Api::namespaced(client().await, &namespace);
    let taken = json!({"spec": {"holderIdentity": "another"}});
    records.patch(NAME, &PatchParams::default(), &Patch::Merge(&taken)).await.unwrap();
    let lost = timeout(Duration::from_secs(10), lease.keep()).await;
    assert!(lost.is_ok() && !leadership.may_write(), "it goes on leading");
    lease.release().await;
    let holder = records.get(NAME).await.unwrap().spec.unwrap().holder_identity;
    assert_eq!(holder.as_deref(), Some("another"), "it released what was not its own");
}

#[tokio::test]
async fn who_can_not_renew_no_longer_leads_before_others_may() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let (lease, leadership) = candidate(&namespace, "first").await;
    lease.acquire().await;
    let proved = Instant::now();
    let records: Api<Record> = Api::namespaced(client().await, &namespace);
    records.delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
    let lost = timeout(Duration::from_secs(12), lease.keep()).await;
    assert!(lost.is_ok() && !leadership.may_write() && Instant::now() < proved + Duration::from_secs(15));
}

/// What a holder writes is when by its own clock, which may be hours off: only that it writes counts.
#[tokio::test]
async fn a_holder_whose_clock_is_wrong_is_believed_while_it_renews_and_no_longer() {
    let namespace = unique_namespace(&client().await, "lease").await;
    let short = Terms {
        duration: Duration::from_secs(4),
        renew_deadline: Duration::from_secs(3),
        retry_period: Duration::from_secs(1),
    };
    let leadership = Leadership::by_lease(short.good_for(Duration::from_secs(1)).unwrap());
    let lease =
        Lease::new(client().await, &namespace, NAME.to_owned(), "candidate".to_owned(), short, leadership.clone());
    let records: Api<Record> = Api::namespaced(client().await, &namespace);
    for hours in [-1_i64, 1] {
        let renew = async |second: i64| {
            let at = jiff::Timestamp::now()
                + jiff::SignedDuration::from_hours(hours)
                + jiff::SignedDuration::from_secs(second);
            let spec = json!({"holderIdentity": "another", "renewTime": format!("{at:.6}"), "leaseDurationSeconds": 4});
            let record = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec});
            records.patch(NAME, &PatchParams::apply("another").force(), &Patch::Apply(record)).await.unwrap();
        };
        renew(0).await;
        let renews = async {
            for second in 0..6 {
                renew(second).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = renews => {}
            () = lease.acquire() => panic!("it took the lease of a holder that renews, {hours} h off"),
        }
        let silent = Instant::now();
        let took = timeout(Duration::from_secs(8), lease.acquire()).await;
        assert!(took.is_ok() && leadership.may_write(), "a holder that is silent stays, {hours} h off");
        assert!(silent.elapsed() >= Duration::from_secs(2), "it was not given its time");
        lease.release().await;
    }
}
