//! Changes that are hard to do in the right order, or only in part.

use busgrant_sim::{ForeignWrite, JournalFilter};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, bus_arn, is, message, spec};

fn accounts(name: &str, accounts: &[&str]) -> Value {
    json!({"name": name, "principals": {"accountIDs": accounts}})
}

fn by_document(name: &str, source: &str) -> Value {
    json!({"name": name, "principals": {"accountIDs": ["111122223333"]}, "sources": [source]})
}

fn raw(name: &str, effect: &str, action: &str) -> Value {
    json!({"name": name, "raw": {"effect": effect, "principal": {"AWS": ["444455556666"]}, "actions": [action]}})
}

/// How each statement stands, by its name.
fn reason<'a>(object: &'a DynamicObject, name: &str) -> &'a str {
    let statements = object.data["status"]["statements"].as_array().unwrap();
    let mut of_name = statements.iter().filter(|one| one["name"] == name);
    of_name.find(|one| one["synced"] == false).map_or("InSync", |one| one["reason"].as_str().unwrap())
}

/// The Sids on the bus after each change since then, of our owner.
fn moments(scene: &Scene, since: u64) -> Vec<Vec<String>> {
    let changes = scene.sim.changes_of(&JournalFilter { bus: Some(BUS.to_owned()), ..JournalFilter::since(since) });
    let ours = format!("bg-{}-", scene.owner);
    let sids = |policy: Option<Value>| {
        let policy = policy.unwrap_or_default();
        let all = policy["Statement"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter_map(|one| one["Sid"].as_str())
            .filter(|sid| sid.starts_with(&ours))
            .map(str::to_owned)
            .collect()
    };
    changes.into_iter().map(|change| sids(change.policy)).collect()
}

#[tokio::test]
async fn an_edit_that_breaks_one_statement_still_narrows_another() {
    let scene = Scene::running("narrows").await;
    let wide = accounts("wide", &["111122223333", "222233334444"]);
    let broken = [
        (raw("bad", "Allow", "events:PutEvents"), raw("bad", "Allow", "events:DeleteEventBus"), "InvalidStatement"),
        (raw("bad", "Deny", "events:PutEvents"), raw("bad", "Deny", "events:DeleteEventBus"), "InvalidStatement"),
        (by_document("bad", "s"), json!({"name": "bad", "principals": {"anyone": {}}}), "PublicNotAllowed"),
    ];
    for (number, (good, bad, why)) in broken.into_iter().enumerate() {
        let name = format!("o{number}");
        scene.granted(&name, &spec(&json!([wide, good]))).await;
        let had = scene.statement(&name, "bad");
        scene.apply(&name, &spec(&json!([accounts("wide", &["111122223333"]), bad]))).await;
        let object = scene.says(&name, why).await;
        assert_eq!(scene.statement(&name, "wide-222233334444"), None, "{why}: the narrower grant is not in force");
        assert!(scene.statement(&name, "wide-111122223333").is_some());
        assert_eq!(scene.statement(&name, "bad"), had, "{why}: what is broken keeps what it had");
        assert_eq!(reason(&object, "wide"), "InSync");

        // By document as well, and all of it once the statement is mended.
        if why == "PublicNotAllowed" {
            let narrower = json!([accounts("wide", &["111122223333"]), {"name": "bad", "principals": {"anyone": {}}}, by_document("more", "t")]);
            scene.apply(&name, &spec(&narrower)).await;
            scene.until(&name, "the document is written", |object| reason(object, "more") == "InSync").await;
            assert_eq!(scene.statement(&name, "bad"), had);
        }
        let mended = spec(&json!([accounts("wide", &["111122223333"]), raw("bad", "Deny", "events:PutEvents")]));
        scene.granted(&name, &mended).await;
        assert_eq!(scene.held(&name), scene.wanted(&name, &mended));
    }
}

#[tokio::test]
async fn an_allow_stays_out_while_the_deny_beside_it_does_not_fit() {
    let mut scene = Scene::new("nodeny").await;
    scene.start(&["--policy-quota", "1300"]);
    let filler = json!({"Sid": "filler", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": bus_arn(BUS),
        "Condition": {"StringEquals": {"events:source": "x".repeat(500)}}});
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Put { statement: filler });
    scene.granted("elder", &spec(&json!([account("a", "111122223333")]))).await;
    let mut deny = raw("no", "Deny", "events:PutEvents");
    deny["raw"]["condition"] = json!({"StringEquals": {"events:source": ["y".repeat(300)]}});

    // A new object, and one that would grow beside a Deny that it did not have.
    let mark = scene.mark();
    for (name, yes) in
        [("new", accounts("a", &["222233334444"])), ("elder", accounts("a", &["111122223333", "222233334444"]))]
    {
        scene.apply(name, &spec(&json!([yes, deny]))).await;
        let object = scene.says(name, "PolicyFull").await;
        assert!(message(&object).contains("1300"), "{}", message(&object));
        assert_eq!((reason(&object, "no"), reason(&object, "a")), ("PolicyFull", "DenyUnserved"));
        assert_eq!(scene.statement(name, "a-222233334444"), None);
    }
    assert!(scene.statement("elder", "a-111122223333").is_some(), "what stood without it stays");
    let small = spec(&json!([account("a", "777788889999")]));
    scene.granted("small", &small).await;
    assert!(moments(&scene, mark).iter().all(|sids| !sids.iter().any(|sid| sid.ends_with("222233334444"))));

    scene.delete("small").await;
    scene.gone("small").await;
    let mark = scene.mark();
    scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: "filler".to_owned() });
    scene.ready("elder").await;
    for sids in moments(&scene, mark) {
        let of = |statement: &str| sids.contains(&scene.sid("elder", statement));
        assert!(of("no") || !of("a-222233334444"), "the Allow came before its Deny: {sids:?}");
    }
}

/// A bus that is full to the last character, with these flags.
async fn full(purpose: &str, flags: &[&'static str], statement: Value) -> (Scene, Value) {
    let mut scene = Scene::new(purpose).await;
    scene.start(&[]);
    let before = spec(&json!([statement]));
    scene.granted("a", &before).await;
    scene.stop().await;
    let characters = scene.sim.policy_text(ACCOUNT, REGION, BUS).unwrap().len();
    let mut settings = scene.sim.settings();
    settings.policy_quota = characters;
    scene.sim.set(settings);
    let quota: &'static str = characters.to_string().leak();
    let mut flags = flags.to_vec();
    flags.extend(["--policy-quota", quota]);
    scene.start(&flags);
    scene.ready("a").await;
    (scene, before)
}

#[tokio::test]
async fn a_rename_on_a_full_bus_is_one_document() {
    for statement in [account("old", "111122223333"), by_document("old", &"x".repeat(200))] {
        let (scene, _) = full("rename", &[], statement.clone()).await;
        let mut renamed = statement;
        renamed["name"] = json!("new");
        let (renamed, mark) = (spec(&json!([renamed])), scene.mark());
        scene.granted("a", &renamed).await;
        assert_eq!(scene.held("a"), scene.wanted("a", &renamed));
        assert!(
            moments(&scene, mark).iter().all(|sids| sids.len() == 1),
            "nobody loses access: {:?}",
            moments(&scene, mark)
        );
    }
}

#[tokio::test]
async fn a_rename_that_nothing_makes_room_for_keeps_what_stands() {
    let (scene, before) = full("norename", &["--document-writes", "deny"], account("old", "111122223333")).await;
    let (renamed, mark) = (spec(&json!([account("new", "111122223333")])), scene.mark());
    scene.apply("a", &renamed).await;
    let object = scene.says("a", "PolicyFull").await;
    assert!(is(&object, "Stalled", "True"), "{}", message(&object));
    assert_eq!(scene.held("a"), scene.wanted("a", &before));
    scene.looked_over(2).await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
}

#[tokio::test]
async fn an_object_as_large_as_can_be_holds_up_no_other() {
    let scene = Scene::running("large").await;
    let arns: Vec<String> =
        (0..50).map(|number| format!("arn:aws:iam::111122223333:role/{}/r{number}", "p".repeat(500))).collect();
    let conditions: Vec<Value> = (0..5)
        .map(|number| json!({"operator": "StringLike", "key": format!("aws:PrincipalTag/t{number}"), "values": (0..10).map(|value| format!("{value}{}", "v".repeat(500))).collect::<Vec<_>>()}))
        .collect();
    let statements: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("s{number}"), "description": "d".repeat(1024), "principals": {"principalARNs": arns}, "conditions": conditions}))
        .collect();
    // What annotations may have in all is 256 KiB, and what etcd takes is 1.5 MB.
    let large = json!({
        "apiVersion": "busgrant.dev/v1alpha1", "kind": "EventBusPermission",
        "metadata": {"name": "large", "annotations": {"example.com/a": "a".repeat(255 << 10)}},
        "spec": spec(&json!(statements)),
    });
    assert!(large.to_string().len() > 1_200_000);
    let created: DynamicObject = serde_json::from_value(large).unwrap();
    scene.keep(scene.api.create(&kube::api::PostParams::default(), &created).await.unwrap());
    let object = scene.says("large", "PolicyFull").await;
    assert!(message(&object).contains("statement s"), "{}", message(&object));

    let normal = spec(&json!([account("a", "111122223333"), by_document("b", "s")]));
    for name in ["x", "y"] {
        scene.granted(name, &normal).await;
        assert_eq!(scene.held(name), scene.wanted(name, &normal));
    }
    scene.merge("large", json!({"spec": {"statements": [account("a", "111122223333")]}})).await;
    scene.ready("large").await;
    scene.delete("large").await;
    scene.gone("large").await;
    assert!(scene.held("large").is_empty());
}
