//! Laws of the plan, on documents and claims made up by chance: a model of the service applies the steps.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use busgrant_policy::{Claim, Effect, Limits, Ownership, Stance, Standing, Step};
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

mod world;

use world::{OBJECTS, Service, World, owner, sid, statement, world};

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
