//! Each kind of statement lands on the bus as it must, and does what it says.

use std::collections::BTreeMap;

use busgrant_sim::{Account, Probe};
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, message, spec};

const ORGANIZATION: &str = "o-a1b2c3d4e5";

/// One statement of each kind that the design names.
fn every_kind() -> Value {
    json!([
        account("invoices", "111122223333"),
        {"name": "two", "principals": {"accountIDs": ["111122223333", "444455556666"]}},
        {"name": "org", "principals": {"organizationID": ORGANIZATION}},
        {"name": "from-billing-only", "principals": {"accountIDs": ["555566667777"]},
         "sources": ["com.acme.billing"], "detailTypes": ["InvoicePaid"]},
        {"name": "analytics-rules", "access": "ManageOwnRules",
         "principals": {"principalARNs": ["arn:aws:iam::222233334444:role/analytics"]}},
        {"name": "a-service", "principals": {"services": ["schemas.amazonaws.com"]},
         "sourceARNs": ["arn:aws:schemas:*:123456789012:*"]},
        {"name": "more", "principals": {"organizationID": ORGANIZATION},
         "conditions": [{"operator": "StringLike", "key": "aws:PrincipalArn", "values": ["arn:aws:iam::*:role/publisher"]}]},
        {"name": "unit", "principals": {"organizationPaths": ["o-z9y8x7w6v5/r-ab12/ou-ab12-11111111/*"]}},
        {"name": "deny-elsewhere", "raw": {"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": ["events:PutEvents"],
         "condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:events:us-west-2:*:*"]}}}},
    ])
}

/// Whether the bus's policy lets somebody do that.
fn may(scene: &Scene, who: &str, action: &str, rule: Option<&str>, context: &[(&str, &str)]) -> bool {
    let context = context.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
    let probe = Probe {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        bus: BUS.to_owned(),
        principal: who.to_owned(),
        action: action.to_owned(),
        rule: rule.map(str::to_owned),
        context: context.collect::<BTreeMap<_, _>>(),
    };
    scene.sim.probe(&probe).allowed
}

#[tokio::test]
async fn every_kind_lands_as_it_must() {
    let scene = Scene::running("kinds").await;
    let member = Account { organization: Some(ORGANIZATION.to_owned()), ..Account::default() };
    scene.sim.set_account("777788889999", member);
    let all = spec(&every_kind());
    let object = scene.granted("all", &all).await;
    assert_eq!(scene.held("all"), scene.wanted("all", &all));

    let statements = object.data["status"]["statements"].as_array().unwrap();
    let forms: Vec<(&str, &str)> = statements
        .iter()
        .map(|statement| (statement["name"].as_str().unwrap(), statement["form"].as_str().unwrap()))
        .collect();
    for (name, form) in &forms {
        let short = ["invoices", "two", "org"].contains(name);
        assert_eq!(*form, if short { "Short" } else { "Document" }, "{name}");
    }
    assert_eq!(forms.len(), 10, "two accounts are two statements: {forms:?}");

    let put = |who: &str, context: &[(&str, &str)]| may(&scene, who, "", None, context);
    assert!(put("111122223333", &[]) && put("444455556666", &[]) && put("777788889999", &[]));
    assert!(!put("888899990000", &[]), "of no organization and not named");
    let billing = [("events:source", "com.acme.billing"), ("events:detail-type", "InvoicePaid")];
    assert!(put("555566667777", &billing));
    assert!(!put("555566667777", &[("events:source", "com.acme.billing")]));
    let rule =
        |who: &str, creator: &str| may(&scene, who, "events:PutRule", Some("r"), &[("events:creatorAccount", creator)]);
    assert!(rule("arn:aws:iam::222233334444:role/analytics", "222233334444"));
    assert!(!rule("arn:aws:iam::222233334444:role/analytics", ACCOUNT), "not its own rule");
    assert!(!rule("arn:aws:iam::222233334444:role/other", "222233334444"));
    let service = |arn: &str| put("schemas.amazonaws.com", &[("aws:SourceArn", arn)]);
    assert!(service("arn:aws:schemas:eu-west-1:123456789012:discoverer/d"));
    assert!(!service("arn:aws:schemas:eu-west-1:999999999999:discoverer/d"));
    let elsewhere = [("aws:SourceArn", "arn:aws:events:us-west-2:111122223333:rule/r")];
    assert!(!put("111122223333", &elsewhere), "the Deny wins over a grant");
}

#[tokio::test]
async fn short_statements_never_touch_the_document() {
    let scene = Scene::running("short").await;
    let foreign = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "events:PutEvents",
         "Resource": bus_arn(BUS)},
    ]});
    scene.sim.put_policy(ACCOUNT, REGION, BUS, Some(foreign));
    let grants = spec(&json!([
        {"name": "two", "principals": {"accountIDs": ["111122223333", "444455556666"]}},
        {"name": "org", "principals": {"organizationID": ORGANIZATION}},
    ]));
    scene.granted("a", &grants).await;
    for call in scene.writes(0) {
        assert!(call.input.get("Policy").is_none(), "{call:?}");
    }
    assert_eq!(scene.held("a"), scene.wanted("a", &grants));
}

#[tokio::test]
async fn rules_on_the_default_bus_are_granted_as_that_bus_names_them() {
    let scene = Scene::running("default").await;
    let analytics = "arn:aws:iam::222233334444:role/analytics";
    let grant = json!({"eventBus": {"name": "default"}, "statements": [
        {"name": "rules", "access": "ManageOwnRules", "principals": {"principalARNs": [analytics]}},
    ]});
    scene.granted("a", &grant).await;
    let probe = Probe {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        bus: "default".to_owned(),
        principal: analytics.to_owned(),
        action: "events:PutRule".to_owned(),
        rule: Some("r".to_owned()),
        ..Probe::default()
    };
    let verdict = scene.sim.probe(&probe);
    assert!(verdict.allowed, "{:?}", verdict.reason);
}

#[tokio::test]
async fn an_allow_waits_for_the_deny_beside_it() {
    let mut scene = Scene::new("waits").await;
    scene.start(&["--document-writes", "deny"]);
    let deny = |action: &str| json!({"name": "no", "raw": {"effect": "Deny", "principal": {"AWS": ["444455556666"]}, "actions": [action]}});
    scene.granted("a", &spec(&json!([account("yes", "111122223333")]))).await;
    let had = scene.held("a");
    let widened = json!({"name": "yes", "principals": {"accountIDs": ["111122223333", "444455556666"]}});
    for (action, reason) in
        [("events:PutEvents", "DocumentWritesDenied"), ("events:DeleteEventBus", "InvalidStatement")]
    {
        scene.apply("a", &spec(&json!([widened, deny(action)]))).await;
        let object = scene.says("a", reason).await;
        let statements = object.data["status"]["statements"].as_array().unwrap();
        let waits =
            statements.iter().find(|one| one["statementID"].as_str().unwrap().ends_with("-444455556666")).unwrap();
        assert_eq!(waits["reason"], "DenyUnserved", "{}", message(&object));
        assert_eq!(scene.held("a"), had);
    }
    scene.stop().await;
    scene.start(&[]);
    let whole = spec(&json!([widened, deny("events:PutEvents")]));
    let mark = scene.mark();
    scene.granted("a", &whole).await;
    assert_eq!(scene.held("a"), scene.wanted("a", &whole));
    let stood = scene.sim.changes_of(&busgrant_sim::JournalFilter::since(mark)).into_iter().all(|change| {
        let sids = change.policy.unwrap()["Statement"].to_string();
        sids.contains(&scene.sid("a", "no")) || !sids.contains("-444455556666")
    });
    assert!(stood, "the Allow stood without its Deny");
}
