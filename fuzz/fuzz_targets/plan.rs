//! Any claims, live document, ownership and limits: the plan keeps to its own Sids, carries everybody else's statements to
//! the letter, and is the same each time.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use busgrant_policy::{
    AccountId, Claim, Condition, Document, DocumentWrites, Effect, Limits, ObjectId, Owner, Ownership, Principals, Sid,
    Stance, Standing, Statement, Step, plan,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const OBJECTS: [&str; 4] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"];
const NAMES: [&str; 4] = ["a", "b", "a-long-name-of-a-statement", "z"];
const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
/// Sids that are not of the owner `own`, however much they look like it.
const FOREIGN_SIDS: [&str; 6] = [
    "theirs",
    "bg-ow-aaaaaaaaaaaa-a",
    "bg-owner-aaaaaaaaaaaa-a",
    "bg-own",
    "BG-own-aaaaaaaaaaaa-a",
    "own-aaaaaaaaaaaa-a",
];
/// What others write; the empty ones stand for a text of the fuzzer's.
const FOREIGN: [&str; 8] = [
    r#"{"Sid":"theirs","Effect":"Deny","Principal":"*","Action":["events:Put*","events:PutEvents"],"Resource":"*"}"#,
    r#"{"Effect":"Allow", "Principal" : {"AWS":["111122223333"]},"Action":"events:PutEvents","Resource":"x"}"#,
    r#"{"Sid":"bg-ow-aaaaaaaaaaaa-a","n":1.0,"m":12345678901234567890,"e":1e3}"#,
    r#"{"Sid":"\u0062g-own-x","Condition":{"Odd":{"k":[true,null,{"a":[]}]}}}"#,
    r#"{"Sid":"twice","Effect":"Allow","Effect":"Deny"}"#,
    r#"{"Sid":"gone","Principal":{"AWS":"AROAEXAMPLE"}}"#,
    "",
    "",
];

fn owner() -> Owner {
    "own".parse().expect("an owner")
}

fn sid(u: &mut Unstructured) -> Result<Sid> {
    if u.ratio(1, 12)? {
        return Ok(u.choose(&FOREIGN_SIDS)?.parse().expect("a Sid"));
    }
    let object: ObjectId = u.choose(&OBJECTS)?.parse().expect("an object");
    let account: Option<AccountId> =
        if u.ratio(1, 3)? { Some(u.choose(&ACCOUNTS)?.parse().expect("an account")) } else { None };
    Ok(owner().sid(&object, u.choose(&NAMES)?, account.as_ref()).expect("a Sid of ours"))
}

fn values(u: &mut Unstructured, known: &[&str]) -> Result<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let value = if u.ratio(1, 8)? { u.arbitrary::<&str>()? } else { u.choose(known)? };
        values.insert(value.to_owned());
    }
    Ok(values)
}

fn statement(u: &mut Unstructured) -> Result<Statement> {
    let principals = match u.int_in_range(0..=3)? {
        0 => Principals::Anyone,
        1 => {
            let account = u.choose(&ACCOUNTS)?;
            let root = [format!("arn:aws:iam::{account}:root")].into();
            Principals::Named([("AWS".to_owned(), root)].into())
        }
        _ => {
            let known = ["*", "111122223333", "arn:aws:iam::111122223333:role/r", "AROAEXAMPLE", "x.amazonaws.com"];
            let kind = u.choose(&["AWS", "Service", "Federated"])?;
            Principals::Named([((*kind).to_owned(), values(u, &known)?)].into())
        }
    };
    let mut conditions = Vec::new();
    for _ in 0..u.int_in_range(0..=2)? {
        let operator = u.choose(&["StringEquals", "StringLike", "ArnLike", "Bool"])?;
        let key = u.choose(&["aws:PrincipalOrgID", "AWS:principalorgid", "events:source", "aws:SourceArn"])?;
        let values = values(u, &["o-a1b2c3d4e5", "com.acme", "true", "${aws:PrincipalAccount}"])?;
        conditions.push(Condition { operator: (*operator).to_owned(), key: (*key).to_owned(), values });
    }
    let mut actions: BTreeSet<String> = ["events:PutEvents".to_owned()].into();
    let mut resources: BTreeSet<String> = [BUS.to_owned()].into();
    if u.ratio(1, 4)? {
        actions = values(u, &["events:PutEvents", "events:PutRule", "events:*"])?;
        resources = values(u, &[BUS, "arn:aws:events:eu-west-1:123456789012:rule/orders/*", "*"])?;
    }
    let effect = if u.ratio(1, 4)? { Effect::Deny } else { Effect::Allow };
    Ok(Statement { sid: sid(u)?, effect, principals, actions, resources, conditions })
}

#[derive(Debug)]
struct Case {
    claims: Vec<Claim>,
    policy: String,
    ownership: Ownership,
    limits: Limits,
}

/// Some of a list.
fn some<T: Clone + Ord>(u: &mut Unstructured, all: &[T]) -> Result<BTreeSet<T>> {
    let mut chosen = BTreeSet::new();
    for item in all {
        if u.ratio(1, 6)? {
            chosen.insert(item.clone());
        }
    }
    Ok(chosen)
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let (mut claims, mut live, mut foreign, mut sids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..u.int_in_range(0..=8)? {
        let statement = statement(u)?;
        let name = owner().read(statement.sid.as_str()).map_or_else(|| "a".to_owned(), |owned| owned.name);
        sids.push(statement.sid.clone());
        // Some stand already, some stand otherwise.
        match u.int_in_range(0..=3)? {
            0 => live.push(statement.to_text()),
            1 => live.push(Statement { sid: statement.sid.clone(), ..self::statement(u)? }.to_text()),
            _ => {}
        }
        claims.push(Claim { name, statement });
    }
    for _ in 0..u.int_in_range(0..=4)? {
        if u.arbitrary()? {
            live.push(statement(u)?.to_text());
            continue;
        }
        let text = match *u.choose(&FOREIGN)? {
            "" => u.arbitrary::<&str>()?.to_owned(),
            known => known.to_owned(),
        };
        let at = u.choose_index(live.len() + 1)?;
        live.insert(at, text.clone());
        foreign.push(text);
    }
    let head =
        *u.choose(&[r#""Version":"2012-10-17","#, r#""Version":"2012-10-17","Id":"x y","#, r#""Id":[],"#, ""])?;
    let policy = format!("{{{head}\"Statement\":[{}]}}", live.join(","));

    let mut objects = BTreeMap::new();
    for object in OBJECTS {
        let name = (*u.choose(&NAMES)?).to_owned();
        let effect = if u.arbitrary()? { Effect::Allow } else { Effect::Deny };
        let stance = match u.int_in_range(0..=9)? {
            0 => continue, // nobody knows it
            1 => Stance::Shielded,
            2 => Stance::Released { named: some(u, &sids)? },
            3 => Stance::Enforced { unserved: [(name, effect)].into() },
            _ => Stance::Enforced { unserved: BTreeMap::new() },
        };
        let seniority = (u.int_in_range(0..=2)?.to_string(), object.to_owned());
        objects.insert(object.parse().expect("an object"), Standing { seniority, stance });
    }
    let texts: Vec<String> = claims.iter().map(|claim| claim.statement.to_text()).collect();
    let limits = Limits {
        characters: if u.arbitrary()? { 10_240 } else { u.int_in_range(0..=3000)? },
        document_writes: if u.ratio(1, 4)? { DocumentWrites::Deny } else { DocumentWrites::Allow },
        refused: some(u, &texts)?,
        blocking: some(u, &foreign)?,
        reset: some(u, &sids)?,
        singly: u.ratio(1, 5)?,
        ..Limits::default()
    };
    Ok(Case { claims, policy, ownership: Ownership { owner: owner(), objects }, limits })
}

/// Whether a Sid is one that we may name; said here anew, so that a mistake of the plan's own test shows.
fn ours(sid: &str) -> bool {
    sid.starts_with("bg-own-")
}

/// The statements of others in a document, in order.
fn foreign(document: &Document) -> Vec<&str> {
    let statements = document.statements().iter();
    statements.filter(|live| !live.sid().is_some_and(ours)).map(|live| live.text()).collect()
}

fn check(case: &Case) {
    let Case { claims, policy, ownership, limits } = case;
    let Ok(live) = Document::parse(Some(policy)) else { return };
    let made = plan(claims, &live, ownership, limits);
    assert_eq!(made, plan(claims, &live, ownership, limits), "the same each time");
    assert!(made.before_read <= made.steps.len());
    assert!(made.before_read > 0 || made.steps.is_empty(), "it gets somewhere");
    for (number, step) in made.steps.iter().enumerate() {
        let named: Vec<&Sid> = match step {
            Step::PutStatement { sid, .. } | Step::RemoveStatement { sid } => vec![sid],
            Step::PutDocument { text, puts, drops } => {
                let written = Document::parse(Some(text)).expect("a document");
                assert_eq!(foreign(&written), foreign(&live), "others' are carried to the letter");
                // What comes after a read is planned again on it.
                let fits = text.len() <= limits.characters.max(live.size());
                assert!(fits || number >= made.before_read, "the quota is kept");
                assert!(serde_json::from_str::<Value>(text).is_ok());
                puts.iter().chain(drops).collect()
            }
        };
        assert!(named.iter().all(|sid| ours(sid.as_str())), "only our own are named: {step:?}");
    }
    for finding in &made.findings {
        assert!(claims.iter().any(|claim| claim.statement.sid == finding.sid), "a finding is about a claim");
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(case) = case(&mut Unstructured::new(data)) {
        check(&case);
    }
});
