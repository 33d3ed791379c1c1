//! Statements that are put by document one at a time, where room is short: found by `fuzz/fuzz_targets/plan.rs`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use busgrant_policy::{
    Claim, Document, Effect, Finding, Limits, Obstacle, Ownership, Principals, Stance, Standing, Statement, Step, plan,
};

const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const OBJECT: &str = "cccccccccccc";

fn statement(name: &str, effect: Effect, principals: Principals) -> Statement {
    let sid = format!("bg-own-{OBJECT}-{name}").parse().unwrap();
    let actions = ["events:PutEvents".to_owned()].into();
    Statement { sid, effect, principals, actions, resources: [BUS.to_owned()].into(), conditions: vec![] }
}

/// The Allow shrinks and widens, so the Deny beside it must stand first, for which there is no room before.
#[test]
fn a_deny_that_needs_the_room_of_a_later_allow_is_not_sent_too_long() {
    let root: BTreeSet<String> = ["arn:aws:iam::111122223333:root".to_owned()].into();
    let sits = statement("open", Effect::Allow, Principals::Named([("AWS".to_owned(), root)].into()));
    let open = statement("open", Effect::Allow, Principals::Anyone);
    let deny = statement("deny", Effect::Deny, Principals::Anyone);
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, sits.to_text());
    let live = Document::parse(Some(&policy)).unwrap();
    let both = live.render(&[&open.to_text(), &deny.to_text()]).len();
    let claims = [("open", &open), ("deny", &deny)]
        .map(|(name, statement)| Claim { name: name.to_owned(), statement: statement.clone() });
    let standing =
        Standing { seniority: (String::new(), String::new()), stance: Stance::Enforced { unserved: BTreeMap::new() } };
    let ownership = Ownership { owner: "own".parse().unwrap(), objects: [(OBJECT.parse().unwrap(), standing)].into() };

    let together = plan(&claims, &live, &ownership, &Limits { characters: both, ..Limits::default() });
    assert!(matches!(together.steps.as_slice(), [Step::PutDocument { text, .. }] if text.len() == both));

    let singly = plan(&claims, &live, &ownership, &Limits { characters: both, singly: true, ..Limits::default() });
    assert_eq!(singly.steps, vec![]);
    let needed = live.size() + 1 + deny.to_text().len();
    let full = Obstacle::PolicyFull { used: live.size(), needed, allowed: both };
    let held = Obstacle::DenyUnserved { deny: "deny".to_owned() };
    assert_eq!(singly.findings, [Finding { sid: deny.sid, obstacle: full }, Finding { sid: open.sid, obstacle: held }]);
}
