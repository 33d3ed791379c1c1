//! `PutPermission` and `RemovePermission`.

use serde_json::{Value, json};

use crate::config::Semantics;
use crate::core::Core;
use crate::dispatch::Underway;
use crate::document::{admit, resolve};
use crate::error::{Outcome, Refusal};
use crate::fault::{FaultKind, ForeignWrite, Moment};
use crate::foreign::write_foreign;
use crate::input::{ACTION, CUSTOM_BUS_NAME, Input, PRINCIPAL, STATEMENT_ID};
use crate::journal::{Writer, policy_hash};
use crate::operation::Operation;
use crate::policy::Policy;
use crate::world::{Bus, BusName, World};

/// What a valid request wants.
#[derive(Debug)]
enum Edit<'a> {
    Statement { sid: &'a str, principal: &'a str, organization: Option<&'a str> },
    Document(&'a str),
    Remove(&'a str),
    RemoveAll,
}

/// What a write will leave.
#[derive(Debug)]
enum Next {
    /// An accepted no-op: nothing moves, nothing is resolved again (aws-observations #12, #104).
    Same,
    Policy(Option<Policy>),
}

/// Reads, computes, and, after the gap if there is one, writes. Without a gap the two are one step, and nothing is lost.
pub(crate) async fn write(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let (name, edit) = match call.operation {
        Operation::PutPermission => put(&mut input)?,
        _ => remove(&mut input)?,
    };
    let bus = call.own_bus(name);
    let (revision, next, gap) = {
        let mut world = core.lock();
        call.disturb(&mut world, &bus, Moment::Before);
        let (revision, next) = plan(&mut world, &bus, &edit)?;
        let gap = world.settings.gap_millis;
        let between = |kind: &FaultKind| matches!(kind, FaultKind::ForeignWrite { moment: Moment::Between, .. });
        if gap == 0 && !call.kinds().any(between) {
            return commit(&mut world, call, &bus, revision, next);
        }
        (revision, next, gap)
    };
    core.sleep(gap).await;
    let mut world = core.lock();
    call.disturb(&mut world, &bus, Moment::Between);
    commit(&mut world, call, &bus, revision, next)
}

/// Lengths and patterns, then what belongs together (aws-observations #8, #9, #17 to #29, #35).
fn put<'a>(input: &mut Input<'a>) -> Result<(Option<&'a str>, Edit<'a>), Refusal> {
    let bus = input.text("EventBusName", &CUSTOM_BUS_NAME)?;
    let (action, principal) = (input.text("Action", &ACTION)?, input.text("Principal", &PRINCIPAL)?);
    let sid = input.text("StatementId", &STATEMENT_ID)?;
    let (condition, document) = (input.read("Condition", "Structure", Value::as_object)?, input.any("Policy")?);
    let mut part = |name: &str| {
        let Some(condition) = condition else { return Ok(None) };
        let value = Input::of(condition).any(name)?;
        input.present(&format!("condition.{}", name.to_ascii_lowercase()), value);
        Ok(value)
    };
    let (kind, key, value) = (part("Type")?, part("Key")?, part("Value")?);
    input.finish()?;
    if let Some(document) = document {
        if action.is_some() || principal.is_some() || sid.is_some() || condition.is_some() {
            let message = "Action, Principal, StatementId and Condition could not be combined with Policy parameter.";
            return Err(Refusal::validation(message));
        }
        return Ok((bus, Edit::Document(document)));
    }
    // Only the first one that is missing is named (aws-observations #8).
    let action = specified("Action", action)?;
    let principal = specified("Principal", principal)?;
    let sid = specified("StatementId", sid)?;
    let unfit = |what: &str| Err(Refusal::validation(format!("Provided value in parameter {what}.")));
    let only = [
        ("action", Some(action), "events:PutEvents"),
        ("condition.type", kind, "StringEquals"),
        ("condition.key", key, "aws:PrincipalOrgID"),
    ];
    if let Some((member, ..)) = only.iter().find(|(_, value, only)| value.is_some_and(|value| value != *only)) {
        return unfit(&format!("'{member}' is not supported"));
    }
    if value.is_some_and(|value| !organization_id(value)) {
        return unfit("'condition.value' is invalid");
    }
    Ok((bus, Edit::Statement { sid, principal, organization: value }))
}

fn specified<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Refusal> {
    value.ok_or_else(|| Refusal::validation(format!("Parameter(s) {name} must be specified.")))
}

/// `o-` and 10 to 32 lower-case letters or digits (AWS Organizations API reference, Organization).
fn organization_id(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|rest| {
        (10..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// Selectors are checked before the bus is looked up (aws-observations #59 to #62).
fn remove<'a>(input: &mut Input<'a>) -> Result<(Option<&'a str>, Edit<'a>), Refusal> {
    let (sid, bus) = (input.text("StatementId", &STATEMENT_ID)?, input.text("EventBusName", &CUSTOM_BUS_NAME)?);
    let all = input.read("RemoveAllPermissions", "Boolean", Value::as_bool)?.unwrap_or(false);
    input.finish()?;
    match sid {
        Some(_) if all => Err(Refusal::validation("StatementId could not be combined with All parameter.")),
        None if all => Ok((bus, Edit::RemoveAll)),
        sid => Ok((bus, Edit::Remove(specified("StatementId", sid)?))),
    }
}

/// What the edit makes of the policy as it stands, and the revision that it stands at.
fn plan(world: &mut World, name: &BusName, edit: &Edit<'_>) -> Result<(u64, Next), Refusal> {
    let bus = world.bus(name)?;
    let (revision, current) = (bus.revision, bus.policy.clone());
    let (next, submitted) = match *edit {
        // Without a policy, too, it succeeds (aws-observations #7).
        Edit::RemoveAll => return Ok((revision, current.map_or(Next::Same, |_| Next::Policy(None)))),
        Edit::Remove(sid) => {
            let rest = current.and_then(|policy| policy.without_statement(sid));
            return Ok((revision, Next::Policy(rest.ok_or_else(Refusal::no_statement)?)));
        }
        Edit::Statement { sid, principal, organization } => {
            let statement = short_form(world, name, sid, principal, organization);
            (Policy::with_statement(current.as_deref(), sid, statement, &world.iam), "")
        }
        Edit::Document(text) => (Policy::bound(&admit(text, name)?, &world.iam), text),
    };
    if current.is_some_and(|current| current.text == next.text) {
        return Ok((revision, Next::Same));
    }
    // The quota is in characters (aws-observations #3, #67 to #71). Whether the submitted or the stored text counts is
    // not known; the simulator takes the longer one, so that who passes here passes there.
    if next.text.chars().count().max(submitted.chars().count()) > world.settings.policy_quota {
        let message = "Policy size would be larger than the maximum allowed.";
        return Err(Refusal::new(400, "PolicyLengthExceededException", message));
    }
    if matches!(edit, Edit::Document(_)) {
        resolve(&next.document(), &world.iam, name)?;
    }
    Ok((revision, Next::Policy(Some(next))))
}

/// An existing account reads back as its root ARN, one that does not exist bare, `*` as it is (aws-observations #11,
/// #23, #30).
pub(crate) fn short_form(
    world: &World,
    bus: &BusName,
    sid: &str,
    principal: &str,
    organization: Option<&str>,
) -> Value {
    let principal = match principal {
        "*" => json!("*"),
        known if world.iam.account_exists(known) => json!({"AWS": bus.root_arn(known)}),
        unknown => json!({"AWS": unknown}),
    };
    let (action, resource) = ("events:PutEvents", bus.arn());
    let mut statement =
        json!({"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource});
    if let Some(organization) = organization {
        statement["Condition"] = json!({"StringEquals": {"aws:PrincipalOrgID": organization}});
    }
    statement
}

fn commit(world: &mut World, call: &Underway, name: &BusName, revision: u64, next: Next) -> Outcome {
    let detects = world.settings.semantics == Semantics::ConflictDetection;
    let bus = world.bus(name)?;
    if call.kinds().any(|kind| *kind == FaultKind::ConcurrentModification) || (detects && bus.revision != revision) {
        // The words of the service model; on permissions it was never captured.
        let message = "There is concurrent modification on a rule, target, archive, or replay.";
        return Err(Refusal::new(400, "ConcurrentModificationException", message));
    }
    let lost = |kind: &&FaultKind| matches!(kind, FaultKind::LostUpdate { .. });
    if let Some(FaultKind::LostUpdate { kept }) = call.kinds().find(lost) {
        if kept.is_some() {
            write_foreign(world, name, &ForeignWrite::Document { policy: kept.clone() });
        }
        return Ok(String::new());
    }
    let hash = |bus: &Bus| bus.policy.as_ref().map(|policy| policy_hash(&policy.text));
    let before = hash(bus);
    let applied = match next {
        Next::Same => world.journal.last(),
        Next::Policy(next) => world.apply(name, next, Writer::Call(call.seq))?,
    };
    let after = hash(world.bus(name)?);
    world.journal.update(call.seq, |entry| {
        (entry.applied, entry.policy_before, entry.policy_after) = (Some(applied), before, after);
    });
    call.disturb(world, name, Moment::After);
    Ok(String::new())
}
