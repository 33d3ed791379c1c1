//! Laws of the plan, on documents and claims made up by chance: a model of the service applies the steps.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use busgrant_policy::{
    Claim, Condition, Document, DocumentWrites, Effect, Limits, ObjectId, Owner, Ownership, Plan, Principals,
    ShortForm, Sid, Stance, Standing, Statement, Step, plan,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const OBJECTS: [&str; 4] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"];

fn owner() -> Owner {
    "own".parse().unwrap()
}

/// The service as far as the plan relies on it: statements by text, in order.
#[derive(Debug, Clone, Default, PartialEq)]
struct Service(Vec<String>);

impl Service {
    fn policy(&self) -> Option<String> {
        let statements = self.0.join(",");
        (!self.0.is_empty()).then(|| format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
    }

    fn document(&self) -> Document {
        Document::parse(self.policy().as_deref()).unwrap()
    }

    fn position(&self, sid: &Sid) -> Option<usize> {
        self.0.iter().position(|text| {
            serde_json::from_str::<Value>(text).unwrap().get("Sid").and_then(Value::as_str) == Some(sid.as_str())
        })
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::PutStatement { sid, form } => {
                let mut json = json!({"Sid": sid.as_str(), "Effect": "Allow", "Principal": "*",
                    "Action": "events:PutEvents", "Resource": BUS});
                match form {
                    ShortForm::Account(a) => json["Principal"] = json!({"AWS": format!("arn:aws:iam::{a}:root")}),
                    ShortForm::Organization(o) => {
                        json["Condition"] = json!({"StringEquals": {"aws:PrincipalOrgID": o.as_str()}});
                    }
                    ShortForm::Anyone => {}
                }
                match self.position(sid) {
                    Some(at) => self.0[at] = json.to_string(),
                    None => self.0.insert(0, json.to_string()),
                }
            }
            Step::PutDocument { text, .. } => {
                let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
                let statements: Vec<Box<RawValue>> = serde_json::from_str(fields["Statement"].get()).unwrap();
                self.0 = statements.iter().map(|s| s.get().to_owned()).collect();
            }
            Step::RemoveStatement { sid } => {
                if let Some(at) = self.position(sid) {
                    self.0.remove(at);
                }
            }
        }
    }

    fn foreign(&self) -> Vec<String> {
        let ours = |text: &&String| {
            let json: Value = serde_json::from_str(text).unwrap();
            json.get("Sid").and_then(Value::as_str).is_some_and(|sid| owner().owns(sid))
        };
        let mut foreign: Vec<String> = self.0.iter().filter(|t| !ours(t)).cloned().collect();
        foreign.sort();
        foreign
    }
}

/// The contents that a statement can have; the first four have a short form.
fn content(kind: usize) -> (Effect, Principals, Vec<Condition>) {
    let aws = |who: &str| Principals::Named([("AWS".to_owned(), BTreeSet::from([who.to_owned()]))].into());
    let condition = |operator: &str, key: &str, value: &str| {
        vec![Condition { operator: operator.into(), key: key.into(), values: [value.to_owned()].into() }]
    };
    match kind {
        0 => (Effect::Allow, aws("arn:aws:iam::111122223333:root"), vec![]),
        1 => (Effect::Allow, aws("arn:aws:iam::444455556666:root"), vec![]),
        2 => (Effect::Allow, Principals::Anyone, condition("StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5")),
        3 => (Effect::Allow, Principals::Anyone, vec![]),
        4 => (Effect::Allow, aws("arn:aws:iam::111122223333:role/r"), vec![]),
        5 => (Effect::Allow, aws("arn:aws:iam::111122223333:root"), condition("StringEquals", "events:source", "a.b")),
        _ => (Effect::Deny, aws("*"), condition("ArnLike", "aws:SourceArn", "arn:aws:events:us-west-2:*:*")),
    }
}

fn statement(sid: Sid, kind: usize) -> Statement {
    let (effect, principals, conditions) = content(kind);
    let actions = ["events:PutEvents".to_owned()].into();
    Statement { sid, effect, principals, actions, resources: [BUS.to_owned()].into(), conditions }
}

fn sid(object: &str, name: &str) -> Sid {
    owner().sid(&object.parse().unwrap(), name, None).unwrap()
}

fn foreign_statement() -> impl Strategy<Value = String> {
    let odd = [
        r#"{"Sid":"other","Effect":"Deny","Principal":"*","Action":["events:Put*","events:PutEvents"],"Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"AWS":["111122223333"]},"Action":"events:PutEvents","Resource":"x"}"#,
        r#"{"Sid":"zahlen","n":1.0,"m":12345678901234567890,"e":1e3,"Condition":{"NumericLessThan":{"a:b":7}}}"#,
        r#"{"Sid":"ünïcode 🚌","Effect":"Allow", "Principal" : {"Service":"x.amazonaws.com"}}"#,
        r#"{"Sid":"bg-ow-aaaaaaaaaaaa-a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#,
        r#"{"Sid":"twice","Effect":"Allow","Effect":"Deny"}"#,
        r#"{"Sid":"gone","Principal":{"AWS":"AROAEXAMPLE"}}"#,
        r#"{"Sid":"\u0062ackslash\n","Condition":{"Odd":{"k":[true,null,{"a":[]}]}}}"#,
    ];
    select(odd.map(str::to_owned).to_vec())
}

#[derive(Clone)]
struct World {
    service: Service,
    claims: Vec<Claim>,
    ownership: Ownership,
    limits: Limits,
}

fn stance() -> impl Strategy<Value = Stance> {
    prop_oneof![
        6 => Just(Stance::Enforced { unserved: BTreeMap::new() }),
        1 => Just(Stance::Enforced { unserved: [("a".to_owned(), Effect::Allow)].into() }),
        1 => Just(Stance::Enforced { unserved: [("b".to_owned(), Effect::Deny)].into() }),
        1 => Just(Stance::Shielded),
        1 => Just(Stance::Released { named: BTreeSet::new() }),
    ]
}

prop_compose! {
    fn world()(
        foreign in prop::collection::vec(foreign_statement(), 0..4),
        live in prop::collection::btree_map((select(OBJECTS.to_vec()), select(vec!["a", "b", "c", "d"])), 0..7_usize, 0..8),
        wanted in prop::collection::btree_map((select(OBJECTS.to_vec()), select(vec!["a", "b", "c", "d"])), 0..7_usize, 0..8),
        stances in prop::collection::vec((stance(), 0..3_u8), 3),
        room in prop_oneof![2 => Just(10_240), 3 => 300..3000_usize],
        documents in prop::bool::weighted(0.8),
        singly in prop::bool::weighted(0.2),
        refused in prop::collection::vec(prop::bool::weighted(0.15), 8),
        order in any::<u64>(),
    ) -> World {
        let mut texts: Vec<String> = foreign;
        texts.extend(live.iter().map(|((object, name), kind)| statement(sid(object, name), *kind).to_text()));
        let by = usize::try_from(order % 7).unwrap() % texts.len().max(1);
        texts.rotate_left(by);
        // The last object is unknown to us: its statements are orphans.
        let objects: BTreeMap<ObjectId, Standing> = OBJECTS.iter().zip(stances).map(|(object, (stance, age))| {
            (object.parse().unwrap(), Standing { seniority: (age.to_string(), (*object).to_owned()), stance })
        }).collect();
        let claims: Vec<Claim> = wanted.iter().map(|((object, name), kind)| {
            Claim { name: (*name).to_owned(), statement: statement(sid(object, name), *kind) }
        }).collect();
        let refused = claims.iter().zip(refused).filter(|(_, refused)| *refused).map(|(c, _)| c.statement.to_text()).collect();
        let document_writes = if documents { DocumentWrites::Allow } else { DocumentWrites::Deny };
        World {
            service: Service(texts),
            claims,
            ownership: Ownership { owner: owner(), objects },
            limits: Limits { characters: room, document_writes, singly, refused, ..Limits::default() },
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let claims: Vec<String> = self.claims.iter().map(|claim| claim.statement.to_text()).collect();
        let stances: Vec<&Stance> = self.ownership.objects.values().map(|standing| &standing.stance).collect();
        write!(f, "live {:#?}\nclaims {claims:#?}\n{stances:?}\n{:?}", self.service.0, self.limits)
    }
}

impl World {
    fn plan(&self) -> Plan {
        plan(&self.claims, &self.service.document(), &self.ownership, &self.limits)
    }

    /// Takes what may be taken on one read, reads, plans again, until there is nothing left to do.
    fn settle(&mut self) -> usize {
        for round in 0..40 {
            let plan = self.plan();
            if plan.steps.is_empty() {
                return round;
            }
            assert!(plan.before_read > 0, "a plan must get somewhere: {plan:?}");
            plan.steps[..plan.before_read].iter().for_each(|step| self.service.take(step));
        }
        panic!("never settles: {:?}", self.plan());
    }

    fn ours(&self) -> BTreeSet<String> {
        let foreign = self.service.foreign();
        self.service.0.iter().filter(|text| !foreign.contains(text)).cloned().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_applied_plan_makes_the_next_one_empty(mut world in world()) {
        world.limits.singly = false;
        let plan = world.plan();
        plan.steps.iter().for_each(|step| world.service.take(step));
        prop_assert_eq!(world.plan().steps, vec![]);
    }

    #[test]
    fn claims_stand_or_have_a_finding(mut world in world()) {
        world.settle();
        let plan = world.plan();
        let document = world.service.document();
        for claim in &world.claims {
            let sid = &claim.statement.sid;
            let object = owner().read(sid.as_str()).unwrap().object;
            if !matches!(world.ownership.stance(&object), Some(Stance::Enforced { .. })) {
                continue;
            }
            let stands = document.holds(sid.as_str(), &claim.statement.meaning());
            let found = plan.findings.iter().any(|f| f.sid == *sid);
            prop_assert!(stands != found, "{} stands: {stands}, has a finding: {found}", sid);
        }
    }

    #[test]
    fn foreign_statements_are_never_named_nor_changed(mut world in world()) {
        let before = world.service.foreign();
        for step in world.plan().steps {
            match &step {
                Step::PutStatement { sid, .. } | Step::RemoveStatement { sid } => prop_assert!(owner().owns(sid.as_str())),
                Step::PutDocument { puts, drops, .. } => {
                    prop_assert!(puts.iter().chain(drops).all(|sid| owner().owns(sid.as_str())));
                }
            }
            world.service.take(&step);
            prop_assert_eq!(&world.service.foreign(), &before);
        }
    }

    #[test]
    fn what_is_shielded_or_unknown_stays_as_it_is(mut world in world()) {
        let untouchable = |world: &World| -> Vec<String> {
            world.ours().into_iter().filter(|text| {
                let json: Value = serde_json::from_str(text).unwrap();
                let owned = owner().read(json["Sid"].as_str().unwrap()).unwrap();
                match world.ownership.stance(&owned.object) {
                    None | Some(Stance::Shielded) => true,
                    Some(Stance::Enforced { unserved }) => unserved.contains_key(&owned.name)
                        && !world.claims.iter().any(|c| c.statement.sid.as_str() == json["Sid"]),
                    Some(Stance::Released { .. }) => false,
                }
            }).collect()
        };
        let before = untouchable(&world);
        world.settle();
        prop_assert_eq!(untouchable(&world), before);
    }

    #[test]
    fn the_order_of_claims_and_of_nothing_else_matters(world in world(), seed in any::<u64>()) {
        let mut other = world.clone();
        let by = usize::try_from(seed % 11).unwrap() % other.claims.len().max(1);
        other.claims.rotate_left(by);
        other.claims.reverse();
        prop_assert_eq!(world.plan(), other.plan());
    }

    #[test]
    fn any_prefix_and_a_new_plan_end_the_same(world in world(), cut in 0..8_usize) {
        // Room is given by who sits, so a cut may change who comes first: with enough of it the end is the same.
        let mut whole = world;
        whole.limits.characters = 10_240;
        let mut cut_short = whole.clone();
        whole.settle();
        let steps = cut_short.plan().steps;
        steps.iter().take(cut).for_each(|step| cut_short.service.take(step));
        cut_short.settle();
        prop_assert_eq!(whole.ours(), cut_short.ours());
        prop_assert_eq!(whole.service.foreign(), cut_short.service.foreign());
    }

    #[test]
    fn the_quota_is_kept_at_every_step(mut world in world()) {
        let start = world.service.document().size();
        for _ in 0..40 {
            let plan = world.plan();
            for step in &plan.steps[..plan.before_read] {
                world.service.take(step);
                let size = world.service.document().size();
                prop_assert!(size <= world.limits.characters.max(start), "{size} after {step:?} of {plan:?}");
            }
        }
    }

    #[test]
    fn nobody_loses_access_that_the_end_gives(mut world in world()) {
        let given = |world: &World| -> BTreeSet<String> {
            world.ours().iter().map(|text| {
                let mut json: Value = serde_json::from_str(text).unwrap();
                json["Sid"] = json!(owner().read(json["Sid"].as_str().unwrap()).unwrap().object.as_str());
                json.to_string()
            }).collect()
        };
        // A Sid that changes its content takes away what it said; two that trade contents can't do it by Sid at all.
        let document = world.service.document();
        world.claims.retain(|claim| {
            let sid = claim.statement.sid.as_str();
            !document.contains(sid) || document.holds(sid, &claim.statement.meaning())
        });
        let before = given(&world);
        let mut end = world.clone();
        end.settle();
        let kept: BTreeSet<String> = before.intersection(&given(&end)).cloned().collect();
        for _ in 0..40 {
            let plan = world.plan();
            for step in &plan.steps[..plan.before_read] {
                world.service.take(step);
                let now = given(&world);
                if world.ownership.objects.values().all(|s| matches!(s.stance, Stance::Enforced { .. })) && world.limits.characters == 10_240 {
                    prop_assert!(kept.is_subset(&now), "{step:?} of {plan:?}");
                }
            }
        }
    }

    #[test]
    fn no_allow_is_put_while_a_deny_of_its_object_is_not_there(mut world in world()) {
        for _ in 0..40 {
            let plan = world.plan();
            for step in &plan.steps[..plan.before_read] {
                if let Step::PutStatement { sid, .. } = step {
                    let document = world.service.document();
                    let object = owner().read(sid.as_str()).unwrap().object;
                    let denies = world.claims.iter().filter(|claim| {
                        claim.statement.effect == Effect::Deny
                            && owner().read(claim.statement.sid.as_str()).unwrap().object == object
                    });
                    for deny in denies {
                        let stands = document.holds(deny.statement.sid.as_str(), &deny.statement.meaning());
                        prop_assert!(stands, "{step:?} before {}", deny.statement.sid);
                    }
                }
                world.service.take(step);
            }
        }
    }

    #[test]
    fn a_deny_goes_last_and_only_when_every_deny_of_its_object_stands(mut world in world()) {
        for _ in 0..40 {
            let plan = world.plan();
            for step in &plan.steps[..plan.before_read] {
                let before = world.service.document();
                world.service.take(step);
                let after = world.service.document();
                let gone = before.statements().iter().filter(|live| {
                    let deny = live.meaning().is_some_and(|meaning| meaning.effect() == Effect::Deny);
                    deny && live.sid().is_some_and(|sid| owner().owns(sid) && !after.contains(sid))
                });
                for deny in gone {
                    let object = owner().read(deny.sid().unwrap()).unwrap().object;
                    let theirs = |sid: &str| owner().read(sid).is_some_and(|owned| owned.object == object);
                    match world.ownership.stance(&object).unwrap() {
                        Stance::Released { .. } => {
                            let allows = after.statements().iter().filter(|live| {
                                live.sid().is_some_and(theirs) && live.meaning().is_some_and(|m| m.effect() == Effect::Allow)
                            });
                            prop_assert_eq!(allows.count(), 0, "{:?} of {:?}", step, plan);
                        }
                        Stance::Enforced { unserved } => {
                            prop_assert!(!unserved.values().any(|effect| *effect == Effect::Deny), "{step:?} of {plan:?}");
                            for claim in world.claims.iter().filter(|c| c.statement.effect == Effect::Deny) {
                                let sid = claim.statement.sid.as_str();
                                let stands = !theirs(sid) || after.holds(sid, &claim.statement.meaning());
                                prop_assert!(stands, "{step:?} of {plan:?}, and {sid} does not stand");
                            }
                        }
                        Stance::Shielded => prop_assert!(false, "{step:?} of {plan:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn short_forms_are_used_wherever_they_can_say_it(world in world()) {
        let plan = world.plan();
        let needs_document = world.claims.iter().any(|c| c.statement.short_form().is_none());
        let document = plan.steps.iter().any(|s| matches!(s, Step::PutDocument { .. }));
        if !needs_document && world.limits.characters == 10_240 {
            prop_assert!(!document, "{plan:?}");
        }
    }

    #[test]
    fn nothing_is_done_twice(claims in subsequence(vec![0_usize, 1, 2, 3, 4, 5, 6], 0..=7)) {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let claims: Vec<Claim> = claims.iter().map(|&kind| Claim {
            name: names[kind].to_owned(),
            statement: statement(sid(OBJECTS[0], names[kind]), kind),
        }).collect();
        let standing = Standing {
            seniority: (String::new(), String::new()),
            stance: Stance::Enforced { unserved: BTreeMap::new() },
        };
        let ownership = Ownership { owner: owner(), objects: [(OBJECTS[0].parse().unwrap(), standing)].into() };
        let mut world = World { service: Service::default(), claims, ownership, limits: Limits::default() };
        let writes = world.plan().steps.len();
        prop_assert!(writes <= world.claims.len());
        prop_assert!(world.settle() <= 2);
    }
}
