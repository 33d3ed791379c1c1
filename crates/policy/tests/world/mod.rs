//! A model of the service, and worlds made up by chance: what stands on a bus, who claims what, and what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use busgrant_policy::{
    Claim, Condition, Document, DocumentWrites, Effect, Limits, ObjectId, Owner, Ownership, Plan, Principals,
    ShortForm, Sid, Stance, Standing, Statement, Step, plan,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub(super) const BUS: &str = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
pub(super) const OBJECTS: [&str; 4] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"];

pub(super) fn owner() -> Owner {
    "own".parse().unwrap()
}

/// The service as far as the plan relies on it: statements by text, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Service(pub(super) Vec<String>);

impl Service {
    pub(super) fn policy(&self) -> Option<String> {
        let statements = self.0.join(",");
        (!self.0.is_empty()).then(|| format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
    }

    pub(super) fn document(&self) -> Document {
        Document::parse(self.policy().as_deref()).unwrap()
    }

    pub(super) fn position(&self, sid: &Sid) -> Option<usize> {
        self.0.iter().position(|text| {
            serde_json::from_str::<Value>(text).unwrap().get("Sid").and_then(Value::as_str) == Some(sid.as_str())
        })
    }

    pub(super) fn take(&mut self, step: &Step) {
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

    pub(super) fn foreign(&self) -> Vec<String> {
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
pub(super) fn content(kind: usize) -> (Effect, Principals, Vec<Condition>) {
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

pub(super) fn statement(sid: Sid, kind: usize) -> Statement {
    let (effect, principals, conditions) = content(kind);
    let actions = ["events:PutEvents".to_owned()].into();
    Statement { sid, effect, principals, actions, resources: [BUS.to_owned()].into(), conditions }
}

pub(super) fn sid(object: &str, name: &str) -> Sid {
    owner().sid(&object.parse().unwrap(), name, None).unwrap()
}

pub(super) fn foreign_statement() -> impl Strategy<Value = String> {
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
pub(super) struct World {
    pub(super) service: Service,
    pub(super) claims: Vec<Claim>,
    pub(super) ownership: Ownership,
    pub(super) limits: Limits,
}

pub(super) fn stance() -> impl Strategy<Value = Stance> {
    prop_oneof![
        6 => Just(Stance::Enforced { unserved: BTreeMap::new() }),
        1 => Just(Stance::Enforced { unserved: [("a".to_owned(), Effect::Allow)].into() }),
        1 => Just(Stance::Enforced { unserved: [("b".to_owned(), Effect::Deny)].into() }),
        1 => Just(Stance::Shielded),
        1 => Just(Stance::Released { named: BTreeSet::new() }),
    ]
}

prop_compose! {
    pub(super) fn world()(
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
    pub(super) fn plan(&self) -> Plan {
        plan(&self.claims, &self.service.document(), &self.ownership, &self.limits)
    }

    /// Takes what may be taken on one read, reads, plans again, until there is nothing left to do.
    pub(super) fn settle(&mut self) -> usize {
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

    pub(super) fn ours(&self) -> BTreeSet<String> {
        let foreign = self.service.foreign();
        self.service.0.iter().filter(|text| !foreign.contains(text)).cloned().collect()
    }
}
