//! Objects from all over what the API allows, and a little beyond: what is accepted is served or names what is wrong, what is
//! refused is refused at once, and no sibling feels any of it.

use busgrant_sim::Account;
use futures::future::join_all;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::operator::Start;
use super::scene::{ACCOUNT, BUS, REGION, Scene, account, condition, is, message, spec};
use super::seeds::{Random, each_seed};

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
/// An account and a role that AWS does not know.
const NOWHERE: &str = "arn:aws:iam::999999999990:role/r";

/// A list of one item or of as many as are allowed, each drawn.
fn one_or(random: &mut Random, most: usize, item: impl FnMut(&mut Random) -> String) -> Vec<String> {
    let (mut item, number) = (item, if random.percent(50) { 1 } else { most });
    let mut items: Vec<String> = (0..number).map(|_| item(random)).collect();
    items.sort();
    items.dedup();
    items
}

/// The shortest text or the longest, or one between.
fn text(random: &mut Random, of: &str, least: usize, most: usize) -> String {
    let length = *random.pick(&[least, usize::midpoint(least, most), most]);
    random.text(of, length)
}

/// A statement that can be served, at the edge of what a field may hold where there is room for that.
fn good(random: &mut Random) -> Value {
    let who = random.account();
    let arn = format!("arn:aws:iam::{who}:role/{}", text(random, LETTERS, 1, 600));
    match random.below(12) {
        0 => {
            json!({"principals": {"accountIDs": one_or(random, 6, Random::account)}, "description": random.text("dé ", 1024)})
        }
        1 => json!({"principals": {"organizationID": format!("o-{}", text(random, LETTERS, 10, 32))}}),
        2 => {
            let path = |random: &mut Random| {
                let end = *random.pick(&["", "*", "ou-ab12-11111111/", "ou-ab12-11111111/*"]);
                format!("o-a1b2c3d4e5/r-{}/{end}", text(random, LETTERS, 4, 32))
            };
            json!({"principals": {"organizationPaths": one_or(random, 10, path)}})
        }
        3 => json!({"principals": {"principalARNs": [arn, format!("arn:aws:sts::{who}:assumed-role/r/s")]}}),
        4 => json!({"principals": {"services": ["schemas.amazonaws.com", "scheduler.amazonaws.com"]},
            "sourceARNs": [format!("arn:aws:schemas:*:{who}:{}", text(random, LETTERS, 1, 500))]}),
        5 => json!({"principals": {"anyone": {}}, "conditions": [
            {"operator": "StringEquals", "key": "aws:PrincipalAccount", "values": [who]}]}),
        6 => {
            json!({"principals": {"accountIDs": [who]}, "sources": one_or(random, 20, |random| text(random, LETTERS, 1, 64))})
        }
        7 => json!({"principals": {"accountIDs": [who]}, "sources": [random.text(LETTERS, 256)],
            "detailTypes": one_or(random, 20, |random| text(random, "aé雪\u{1F600} \"\\", 1, 16))}),
        8 => {
            let conditions: Vec<Value> = (0..*random.pick(&[1, 10]))
                .map(|number| {
                    json!({"operator": "StringLike", "key": format!("aws:PrincipalTag/{number}"),
                    "values": one_or(random, 3, |random| text(random, "vé*?$ ", 0, 40))})
                })
                .collect();
            json!({"principals": {"accountIDs": [who]}, "conditions": conditions})
        }
        9 => {
            json!({"access": "ManageOwnRules", "principals": {"accountIDs": [who]}, "sources": [random.text(LETTERS, 9)]})
        }
        10 => {
            json!({"raw": {"effect": *random.pick(&["Allow", "Deny"]), "principal": {"AWS": [who, arn]}, "actions": ["events:PutEvents"],
            "condition": {"ArnLike": {"aws:SourceArn": [format!("arn:aws:*:*:{who}:*")]}, "Bool": {"aws:SecureTransport": ["true"]}}}})
        }
        _ => json!({"raw": {"effect": "Deny", "principal": {"AWS": ["*"], "Service": ["schemas.amazonaws.com"]},
            "actions": ["events:PutRule", "events:DeleteRule", "events:PutTargets"]}}),
    }
}

/// A statement that the API server takes and that can't be served: the reason is told.
fn unserved(random: &mut Random) -> (Value, &'static [&'static str]) {
    let who = random.account();
    match random.below(4) {
        0 => (
            json!({"raw": {"effect": "Allow", "principal": {"AWS": [who]}, "actions": ["events:DeleteEventBus"]}}),
            &["InvalidStatement"],
        ),
        1 => (json!({"principals": {"anyone": {}}, "sources": ["s"]}), &["PublicNotAllowed"]),
        2 => (json!({"principals": {"principalARNs": [NOWHERE]}}), &["StatementRefused"]),
        _ => (
            json!({"principals": {"accountIDs": (0..50).map(|n| format!("{:012}", 800_000_000_000_u64 + n)).collect::<Vec<_>>()}}),
            &["PolicyFull"],
        ),
    }
}

/// What the API server must not take, and what its answer must name.
fn refused(random: &mut Random) -> (Value, &'static str) {
    let who = random.account();
    let of = |fields: Value| {
        let mut one = json!({"name": "x", "principals": {"accountIDs": ["111122223333"]}});
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        one
    };
    let named = |name: &str| of(json!({"name": name}));
    let who_is = |principals: Value| of(json!({"principals": principals}));
    let condition =
        |operator: &str, key: &str| of(json!({"conditions": [{"operator": operator, "key": key, "values": ["v"]}]}));
    let many = |number: usize| (0..number).map(|n| format!("{n:012}")).collect::<Vec<_>>();
    let all = [
        (named(&"n".repeat(27)), "name"),
        (named("Upper"), "name"),
        (named("ends-"), "name"),
        (named("a-111122223333"), "name"),
        (who_is(json!({"accountIDs": many(51)})), "accountIDs"),
        (who_is(json!({"accountIDs": [who[1..]]})), "accountIDs"),
        (who_is(json!({"accountIDs": []})), "accountIDs"),
        (who_is(json!({"organizationID": "o-a1b2c3d4e"})), "organizationID"),
        (who_is(json!({"organizationID": "o-a1b2c3d4e5", "services": ["schemas.amazonaws.com"]})), "principals"),
        (who_is(json!({})), "principals"),
        (who_is(json!({"principalARNs": ["arn:aws:iam::111122223333:role/*"]})), "principalARNs"),
        (who_is(json!({"services": ["schemas.amazonaws.com"]})), "sourceARNs"),
        (who_is(json!({"organizationPaths": ["o-a1b2c3d4e5"]})), "organizationPaths"),
        (of(json!({"sources": ["s*"]})), "sources"),
        (of(json!({"sources": vec!["s"; 21]})), "sources"),
        (of(json!({"sources": ["s".repeat(257)]})), "sources"),
        (of(json!({"detailTypes": [""]})), "detailTypes"),
        (of(json!({"sourceARNs": ["arn:aws"]})), "sourceARNs"),
        (of(json!({"description": "d".repeat(1025)})), "description"),
        (condition("StringSounds", "aws:PrincipalArn"), "operator"),
        (condition("StringEquals", "PrincipalArn"), "key"),
        (
            of(
                json!({"sources": ["s"], "conditions": [{"operator": "StringLike", "key": "Events:Source", "values": ["v"]}]}),
            ),
            "condition",
        ),
        (of(json!({"raw": {"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": ["events:PutEvents"]}})), "raw"),
        (
            json!({"name": "x", "raw": {"effect": "Deny", "principal": {}, "actions": ["events:PutEvents"]}}),
            "principal",
        ),
        (
            json!({"name": "x", "raw": {"effect": "Deny", "principal": {"AWS": ["*"]}, "actions": ["sqs:SendMessage"]}}),
            "actions",
        ),
        (json!({"name": "x"}), "principals"),
    ];
    random.pick(&all).clone()
}

/// Some statements, with names at the edge of what a name may be.
fn statements(random: &mut Random, last: Option<Value>) -> Value {
    let longest = random.text(LETTERS, 26);
    let names = random.shuffled(vec!["a".to_owned(), "0".to_owned(), longest, format!("x{}9", "-".repeat(24))]);
    let number = random.between(1, 3);
    let mut all: Vec<Value> = (0..number).map(|_| good(random)).collect();
    all.extend(last);
    for (one, name) in all.iter_mut().zip(&names) {
        one["name"] = json!(name);
    }
    json!(all)
}

/// Whether the operator has come to a conclusion.
fn is_settled(object: &DynamicObject) -> bool {
    let reason =
        condition(object, "Ready").map(|ready| ready["reason"].as_str().unwrap().to_owned()).unwrap_or_default();
    is(object, "Ready", "True") || is(object, "Stalled", "True") || reason == "StatementRefused"
}

/// Gives an object one spec after another, and looks what becomes of each.
async fn lives(scene: &Scene, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let of = |statements: Value| json!({"eventBus": {"name": name}, "statements": statements});
    for _ in 0..random.between(3, 5) {
        let all = of(statements(&mut random, None));
        scene.apply(name, &all).await;
        let object = scene.until(name, "settled", is_settled).await;
        assert!(is(&object, "Ready", "True"), "{}: {all}", message(&object));
        assert_eq!(scene.held_on(name, name), scene.wanted_on(name, name, &all));

        let (bad, field) = refused(&mut random);
        let object = json!({"apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission", "metadata": {"name": name}, "spec": of(json!([bad]))});
        let answer = scene.api.patch(name, &PatchParams::apply("team").force(), &Patch::Apply(object)).await;
        let error = answer.expect_err(&format!("{bad} was taken")).to_string();
        assert!(error.contains("spec.statements") && error.contains(field), "{bad}: {error}");

        let (bad, reasons) = unserved(&mut random);
        let all = of(statements(&mut random, Some(bad)));
        scene.apply(name, &all).await;
        let object = scene.until(name, "settled", is_settled).await;
        let told = condition(&object, "Ready").unwrap();
        assert!(reasons.contains(&told["reason"].as_str().unwrap()), "{told}: {all}");
        let of_spec = |one: &Value| message(&object).contains(&format!("statement {}", one["name"].as_str().unwrap()));
        assert!(all["statements"].as_array().unwrap().iter().any(of_spec), "{}: {all}", message(&object));
    }
}

#[tokio::test]
async fn what_is_accepted_is_served_or_says_what_is_wrong() {
    each_seed(1000, 1, async |seed| {
        let mut random = Random::new(seed);
        let mut scene = Scene::new("space").await;
        scene.sim.set_account("999999999990", Account { exists: Some(false), ..Account::default() });
        scene.start_as(&Start { requests_per_second: Some(500), ..Start::default() });
        let objects: Vec<(String, u64)> = (0..12).map(|number| (format!("bus{number}"), random.seed())).collect();
        let sibling = |bus: &str| {
            json!({"eventBus": {"name": bus}, "statements": [account("a", "111122223333"),
            {"name": "b", "principals": {"accountIDs": ["111122223333"]}, "sources": ["s"]}]})
        };
        for (bus, _) in &objects {
            scene.sim.create_bus(ACCOUNT, REGION, bus);
        }
        join_all(objects.iter().map(async |(bus, _)| scene.granted(&format!("beside-{bus}"), &sibling(bus)).await))
            .await;
        join_all(objects.iter().map(|(bus, seed)| lives(&scene, bus, *seed))).await;
        for (bus, _) in &objects {
            let name = format!("beside-{bus}");
            assert!(is(&scene.get(&name).await, "Ready", "True"), "{bus}");
            assert_eq!(scene.held_on(bus, &name), scene.wanted_on(bus, &name, &sibling(bus)));
        }
    })
    .await;
}

#[tokio::test]
async fn the_quota_is_used_to_the_last_character() {
    let scene = Scene::running("edge").await;
    let long = |name: &str, sources: Vec<String>| json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": sources});
    let fill = |name: &str| long(name, (0..16).map(|n| format!("{n:02}{}", "y".repeat(245))).collect());
    let with = |length: usize| {
        spec(&json!([fill("a"), fill("b"), long("c", vec!["f".repeat(200); 1]), long("d", vec!["e".repeat(length)])]))
    };
    let characters = || scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap().len();
    scene.granted("sibling", &spec(&json!([account("a", "444455556666")]))).await;
    scene.granted("a", &with(1)).await;
    // What is left may be more than one source can be long.
    let left = 10_240 - characters();
    let more = |left: usize| {
        let mut sources: Vec<String> = (0..left / 200).map(|n| format!("{n:03}{}", "g".repeat(194))).collect();
        sources.push("h".repeat(1 + left % 200));
        spec(&json!([fill("a"), fill("b"), long("c", vec!["f".repeat(200)]), long("d", sources)]))
    };
    // As a list it takes the brackets as well.
    let whole = more(left - 8);
    let object = scene.granted("a", &whole).await;
    let used = characters();
    assert!((10_230..=10_240).contains(&used), "{used}");
    let last = 10_240 - used;
    let grown = |by: usize| {
        let mut grown = whole.clone();
        let sources = grown["statements"][3]["sources"].as_array_mut().unwrap();
        let longer = format!("{}{}", sources.last().unwrap().as_str().unwrap(), "i".repeat(by));
        *sources.last_mut().unwrap() = json!(longer);
        grown
    };
    scene.granted("a", &grown(last)).await;
    assert_eq!(characters(), 10_240);
    assert_eq!(object.data["status"]["policy"]["charactersAllowed"], 10_240);
    scene.apply("a", &grown(last + 1)).await;
    let object = scene.says("a", "PolicyFull").await;
    assert!(message(&object).contains("statement d") && message(&object).contains("10241"), "{}", message(&object));
    assert_eq!(scene.held("a"), scene.wanted("a", &grown(last)), "what fitted stays");
    scene.ready("sibling").await;
}
