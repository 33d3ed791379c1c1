//! What a plan costs on a policy that is full, beside what it costs to parse that policy.
//!
//! `cargo bench -p busgrant-policy`

#![expect(clippy::unwrap_used, reason = "the inputs are ours")]

use std::collections::BTreeMap;

use busgrant_policy::{
    AccountId, Claim, Condition, Document, Effect, Limits, ObjectId, Owner, Ownership, Plan, Principals, Stance,
    Standing, Statement, Step, plan,
};
use divan::{Bencher, black_box};

const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const QUOTA: usize = 10_240;
const CLAIMS: usize = 40;
const OBJECTS: usize = 8;

fn main() {
    divan::main();
}

#[divan::bench]
fn parse_the_policy(bencher: Bencher) {
    let policy = full(&wanted());
    bencher.bench(|| Document::parse(black_box(Some(&policy))).unwrap());
}

#[divan::bench]
fn plan_nothing(bencher: Bencher) {
    planned(bencher, &wanted(), |plan| assert_eq!(plan, &Plan::default()));
}

#[divan::bench]
fn plan_one_change(bencher: Bencher) {
    let mut live = wanted();
    live[0].statement.principals = account(9_999);
    planned(bencher, &live, |plan| assert!(matches!(plan.steps[..], [Step::PutStatement { .. }]), "{plan:?}"));
}

#[divan::bench]
fn plan_a_document(bencher: Bencher) {
    let mut live = wanted();
    live.last_mut().unwrap().statement.conditions = source("com.acme.another");
    planned(bencher, &live, |plan| assert!(matches!(plan.steps[..], [Step::PutDocument { .. }]), "{plan:?}"));
}

#[divan::bench]
fn plan_what_has_no_room(bencher: Bencher) {
    let live = &wanted()[..CLAIMS / 2];
    planned(bencher, live, |plan| {
        assert!(plan.steps.is_empty() && plan.findings.len() == CLAIMS / 2, "{plan:?}");
    });
}

/// Everything is written from nothing.
#[divan::bench]
fn plan_all_of_it(bencher: Bencher) {
    planned(bencher, &[], |plan| assert_eq!(plan.steps.len(), 1 + CLAIMS - CLAIMS / 5, "{plan:?}"));
}

fn planned(bencher: Bencher, live: &[Claim], is_right: impl Fn(&Plan)) {
    let (claims, ownership, limits) = (wanted(), ownership(), Limits { characters: QUOTA, ..Limits::default() });
    let live = Document::parse(Some(&full(live))).unwrap();
    is_right(&plan(&claims, &live, &ownership, &limits));
    bencher.bench(|| plan(black_box(&claims), black_box(&live), black_box(&ownership), black_box(&limits)));
}

/// Forty claims of eight objects, of each five one that only a document can say.
fn wanted() -> Vec<Claim> {
    let claim = |number: usize| {
        let needs_document = number % 5 == 4;
        let (name, id) = if needs_document { ("sources", None) } else { ("accounts", Some(number)) };
        let account_id: Option<AccountId> = id.map(|id| account_id(id).parse().unwrap());
        let sid = owner().sid(&object(number % OBJECTS), name, account_id.as_ref()).unwrap();
        let conditions = if needs_document { source("com.acme.billing") } else { Vec::new() };
        let statement = Statement {
            sid,
            effect: Effect::Allow,
            principals: account(number),
            actions: ["events:PutEvents".to_owned()].into(),
            resources: [BUS.to_owned()].into(),
            conditions,
        };
        Claim { name: name.to_owned(), statement }
    };
    (0..CLAIMS).map(claim).collect()
}

/// A policy of exactly the quota: these statements, and as much of others as there is room for.
fn full(claims: &[Claim]) -> String {
    let mut texts: Vec<String> = claims.iter().map(|claim| claim.statement.to_text()).collect();
    let theirs = |number: usize, padding: &str| {
        format!(
            r#"{{"Sid":"others-{number}","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::222233334444:role/{padding}"}},"Action":"events:PutEvents","Resource":"{BUS}"}}"#
        )
    };
    let policy = |texts: &[String]| format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, texts.join(","));
    if claims.is_empty() {
        return policy(&texts);
    }
    while policy(&texts).len() + 2 * theirs(texts.len(), "").len() < QUOTA {
        texts.push(theirs(texts.len(), ""));
    }
    texts.push(theirs(texts.len(), ""));
    let last = texts.len() - 1;
    let padding = "x".repeat(QUOTA - policy(&texts).len());
    texts[last] = theirs(last, &padding);
    let policy = policy(&texts);
    assert_eq!(policy.len(), QUOTA);
    policy
}

fn ownership() -> Ownership {
    let standing = |number: usize| {
        let seniority = (format!("2026-01-{:02}", number + 1), format!("team/object-{number}"));
        (object(number), Standing { seniority, stance: Stance::Enforced { unserved: BTreeMap::new() } })
    };
    Ownership { owner: owner(), objects: (0..OBJECTS).map(standing).collect() }
}

fn owner() -> Owner {
    "abc234".parse().unwrap()
}

fn object(number: usize) -> ObjectId {
    format!("aaaaaaaaaaa{}", char::from(b'a' + u8::try_from(number).unwrap())).parse().unwrap()
}

fn account_id(number: usize) -> String {
    format!("{:012}", 111_122_220_000 + number)
}

fn account(number: usize) -> Principals {
    let root = format!("arn:aws:iam::{}:root", account_id(number));
    Principals::Named([("AWS".to_owned(), [root].into())].into())
}

fn source(name: &str) -> Vec<Condition> {
    let (operator, key) = ("StringEquals".to_owned(), "events:source".to_owned());
    vec![Condition { operator, key, values: [name.to_owned()].into() }]
}
