//! Objects that live on the server: what may change, who owns what, and how large they may be.

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{object, one_account, permissions, permissions_for_kubectl, spec};
use crate::support::{kubectl, kubectl_with_input, stdout};

fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{other}"),
    }
}

async fn create(api: &Api<DynamicObject>, name: &str, spec: &Value) -> DynamicObject {
    api.create(&PostParams::default(), &object(name, spec)).await.unwrap()
}

#[tokio::test]
async fn the_event_bus_stays_as_it_is() {
    let (_, api) = permissions("immutable").await;
    create(&api, "a", &spec(&json!([one_account("a")]))).await;
    for event_bus in [
        json!({"name": "invoices"}),
        json!({"region": "eu-west-1"}),
        json!({"accountID": "123456789012"}),
        json!({"name": null, "arn": "arn:aws:events:eu-west-1:123456789012:event-bus/orders"}),
    ] {
        let change = json!({"spec": {"eventBus": event_bus}});
        let refused = api.patch("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap_err();
        assert!(message(&refused).contains("delete this object and create another one"), "{event_bus}: {refused}");
    }
    let change =
        json!({"spec": {"eventBus": {"name": "orders"}, "statements": [one_account("b")], "deletionPolicy": "Retain"}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

#[tokio::test]
async fn an_object_that_nobody_has_seen_says_so_and_has_its_defaults() {
    let (_, api) = permissions("defaults").await;
    let created = create(&api, "a", &spec(&json!([one_account("a")]))).await;
    assert_eq!(created.data["status"], json!({"observedGeneration": -1}));
    assert_eq!(created.data["spec"]["managementPolicy"], "Enforce");
    assert_eq!(created.data["spec"]["deletionPolicy"], "Delete");
    assert_eq!(created.data["spec"]["statements"], json!([one_account("a")]), "no defaults inside list items");
}

#[tokio::test]
async fn two_appliers_cannot_merge_two_kinds_of_principal() {
    let (_, api) = permissions("appliers").await;
    let apply = async |manager: &str, principals: Value| {
        let statements = json!([{"name": "a", "principals": principals}]);
        api.patch("a", &PatchParams::apply(manager), &Patch::Apply(object("a", &spec(&statements)))).await
    };
    apply("one", json!({"accountIDs": ["111122223333"]})).await.unwrap();
    for principals in [json!({"organizationID": "o-a1b2c3d4e5"}), json!({"accountIDs": ["444455556666"]})] {
        let conflict = apply("two", principals).await.unwrap_err();
        assert!(message(&conflict).contains("conflict with \"one\""), "{conflict}");
    }
}

#[tokio::test]
async fn two_appliers_share_an_object_by_statement_and_condition() {
    let (_, api) = permissions("shared").await;
    let apply = async |manager: &str, statements: Value| {
        api.patch("a", &PatchParams::apply(manager), &Patch::Apply(object("a", &spec(&statements)))).await.unwrap()
    };
    let restricted = json!({"name": "a", "principals": {"accountIDs": ["111122223333"]},
        "conditions": [{"operator": "StringLike", "key": "events:source", "values": ["com.acme.*"]}]});
    apply("one", json!([restricted])).await;
    let also =
        json!({"name": "a", "conditions": [{"operator": "Bool", "key": "aws:SecureTransport", "values": ["true"]}]});
    let both = apply("two", json!([also, one_account("b")])).await;
    let statements = both.data["spec"]["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0]["conditions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_largest_object_is_accepted() {
    let (_, api) = permissions("largest").await;
    let texts = |count: usize, text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<Vec<_>>();
    let statements: Vec<Value> = (0..20)
        .map(|n| {
            json!({
                "name": format!("{n:02}{}", "n".repeat(24)),
                "description": "d".repeat(1024),
                "principals": {"principalARNs": texts(50, &|i| format!("arn:aws:iam::111122223333:role/{i:02}{}", "r".repeat(500)))},
                "sources": texts(20, &|i| format!("{i:02}{}", "s".repeat(254))),
                "detailTypes": texts(20, &|i| format!("{i:02}{}", "t".repeat(126))),
                "sourceARNs": texts(20, &|i| format!("arn:aws:events:*:111122223333:rule/{i:02}{}", "u".repeat(500))),
                "conditions": (0..10).map(|i| json!({
                    "operator": "StringLike", "key": format!("aws:PrincipalTag/{i}"), "values": texts(10, &|v| format!("{v}{}", "v".repeat(99))),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let spec = spec(&json!(statements));
    assert!(spec.to_string().len() > 1_000_000, "{}", spec.to_string().len());
    let created = api.create(&PostParams::default(), &object("a", &spec)).await;
    assert!(created.is_ok(), "{created:?}");
}

#[tokio::test]
async fn a_status_takes_an_entry_for_every_account_of_every_statement() {
    let (_, api) = permissions("status").await;
    create(&api, "a", &spec(&json!([one_account("a")]))).await;
    let statements: Vec<Value> = (0..1000)
        .map(|n| {
            json!({"name": "a", "statementID": format!("bg-own-abcdefgh2345-a-{n:012}"), "synced": true, "reason": "InSync",
                "form": "Short", "contentHash": "0123456789abcdef"})
        })
        .collect();
    let status = json!({"status": {"observedGeneration": 1, "desiredStatements": 1000, "statements": statements}});
    let patched = api.patch_status("a", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!(patched.data["status"]["statements"].as_array().unwrap().len(), 1000);
}

#[tokio::test]
async fn kubectl_lists_and_selects() {
    let (namespace, api) = permissions_for_kubectl("columns").await;
    create(&api, "named", &spec(&json!([one_account("a")]))).await;
    let arn = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
    let by_arn = json!({"eventBus": {"arn": arn}, "managementPolicy": "Observe", "statements": [one_account("a")]});
    create(&api, "by-arn", &by_arn).await;
    let status = json!({"status": {"desiredStatements": 4, "syncedStatements": 3, "conditions": [{"type": "Ready",
        "status": "False", "reason": "PolicyFull", "message": "no room", "lastTransitionTime": "2026-11-23T12:00:00Z"}]}});
    api.patch_status("named", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    let table = stdout(&kubectl(&["get", "ebp", "-n", &namespace]).await);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "BUS", "READY", "SYNCED", "DESIRED", "REASON", "AGE"]);
    assert_eq!(lines[1][..2], ["by-arn", arn]);
    assert_eq!(lines[2][..6], ["named", "orders", "False", "3", "4", "PolicyFull"]);
    let wide = stdout(&kubectl(&["get", "ebp", "-n", &namespace, "-o", "wide"]).await);
    let head: Vec<&str> = wide.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head[7..], ["REGION", "RETRIES", "CHARACTERS", "ARN", "MESSAGE"]);

    for (selector, name) in [
        ("spec.eventBus.name=orders", "named"),
        (&*format!("spec.eventBus.arn={arn}"), "by-arn"),
        ("spec.managementPolicy=Observe", "by-arn"),
    ] {
        let found =
            kubectl(&["get", "eventbridge", "-n", &namespace, "-o", "name", "--field-selector", selector]).await;
        assert_eq!(stdout(&found).trim(), format!("eventbuspermission.busgrant.dev/{name}"), "{selector}");
    }
}

#[tokio::test]
async fn each_example_is_accepted_as_it_stands() {
    let (namespace, _) = permissions_for_kubectl("examples").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut examples = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            // Each names the namespace of its team, which the demo makes; here it is one of this test's.
            let text = std::fs::read_to_string(&path)
                .unwrap()
                .replace("namespace: billing", &format!("namespace: {namespace}"));
            let applied = kubectl_with_input(&["apply", "--validate=strict", "--server-side", "-f-"], &text).await;
            assert!(stdout(&applied).contains("serverside-applied"), "{}", path.display());
            examples += 1;
        }
    }
    assert_eq!(examples, 6);
}
