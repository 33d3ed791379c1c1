//! `PutPermission` and `RemovePermission`.

use serde_json::{Map, Value, json};

use crate::config::Semantics;
use crate::dispatch::Underway;
use crate::document::{admit, bind};
use crate::error::Refusal;
use crate::fault::{FaultKind, ForeignWrite, Moment};
use crate::foreign::write_foreign;
use crate::input::{ACTION, CUSTOM_BUS_NAME, Fields, PRINCIPAL, STATEMENT_ID, Violations};
use crate::journal::{Writer, policy_hash};
use crate::operation::Operation;
use crate::policy::{Policy, compact};
use crate::state::{BusName, Core, World};

/// What a valid request wants.
#[derive(Debug)]
enum Edit {
    Statement { sid: String, principal: String, organization: Option<String> },
    Document(String),
    Remove(String),
    RemoveAll,
}

/// What a write will leave, and the revision that it was computed from.
#[derive(Debug)]
struct Planned {
    revision: u64,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// An accepted no-op: nothing moves, nothing is resolved again (aws-observations #12, #104).
    Same,
    Policy(Option<Policy>),
}

/// Reads, computes, and, after the gap if there is one, writes. Without a gap the two are one step, and nothing is lost.
pub(crate) async fn write(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let (name, edit) = match call.operation {
        Operation::PutPermission => put(Fields(&call.input))?,
        _ => remove(Fields(&call.input))?,
    };
    let bus = call.own_bus(name);
    let (planned, resume) = {
        let (mut world, now) = core.lock();
        call.disturb(&mut world, &bus, Moment::Before, now);
        let planned = plan(&mut world, &bus, edit, now)?;
        let gap = world.settings.gap_millis;
        let between = |kind: &FaultKind| matches!(kind, FaultKind::ForeignWrite { moment: Moment::Between, .. });
        if gap == 0 && !call.effects.kinds().any(between) {
            return commit(&mut world, call, &bus, planned, now);
        }
        (planned, now.saturating_add_unsigned(gap))
    };
    core.clock.sleep_until(resume).await;
    let (mut world, now) = core.lock();
    call.disturb(&mut world, &bus, Moment::Between, now);
    commit(&mut world, call, &bus, planned, now)
}

/// Patterns and lengths, then what belongs together (aws-observations #8, #9, #17 to #29, #35).
fn put(input: Fields<'_>) -> Result<(Option<&str>, Edit), Refusal> {
    let (bus, action) = (input.text("EventBusName")?, input.text("Action")?);
    let (principal, sid) = (input.text("Principal")?, input.text("StatementId")?);
    let (condition, document) = (input.structure("Condition")?, input.text("Policy")?);
    let part = |name: &str| condition.map_or(Ok(None), |condition| condition.text(name));
    let (kind, key, value) = (part("Type")?, part("Key")?, part("Value")?);
    let mut violations = Violations::default();
    violations.length("eventBusName", bus, 256);
    violations.pattern("eventBusName", bus, &CUSTOM_BUS_NAME);
    violations.length("action", action, 64);
    violations.pattern("action", action, &ACTION);
    violations.length("principal", principal, 12);
    violations.pattern("principal", principal, &PRINCIPAL);
    violations.length("statementId", sid, 64);
    violations.pattern("statementId", sid, &STATEMENT_ID);
    if condition.is_some() {
        violations.required("condition.type", kind);
        violations.required("condition.key", key);
        violations.required("condition.value", value);
    }
    violations.finish()?;
    if let Some(document) = document {
        if action.is_some() || principal.is_some() || sid.is_some() || condition.is_some() {
            let message = "Action, Principal, StatementId and Condition could not be combined with Policy parameter.";
            return Err(Refusal::validation(message));
        }
        return Ok((bus, Edit::Document(document.to_owned())));
    }
    let specified = |name: &str, value: Option<&str>| {
        // Only the first one is named (aws-observations #8).
        let message = || Refusal::validation(format!("Parameter(s) {name} must be specified."));
        value.map(ToOwned::to_owned).ok_or_else(message)
    };
    let action = specified("Action", action)?;
    let principal = specified("Principal", principal)?;
    let sid = specified("StatementId", sid)?;
    let unsupported =
        |field: &str, is: &str| Err(Refusal::validation(format!("Provided value in parameter '{field}' is {is}.")));
    if action != "events:PutEvents" {
        return unsupported("action", "not supported");
    }
    if kind.is_some_and(|kind| kind != "StringEquals") {
        return unsupported("condition.type", "not supported");
    }
    if key.is_some_and(|key| key != "aws:PrincipalOrgID") {
        return unsupported("condition.key", "not supported");
    }
    if value.is_some_and(|value| !organization_id(value)) {
        return unsupported("condition.value", "invalid");
    }
    Ok((bus, Edit::Statement { sid, principal, organization: value.map(ToOwned::to_owned) }))
}

/// `o-` and 10 to 32 lower-case letters or digits (AWS Organizations API reference, Organization).
fn organization_id(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|rest| {
        (10..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// Selectors are checked before the bus is looked up (aws-observations #59 to #62).
fn remove(input: Fields<'_>) -> Result<(Option<&str>, Edit), Refusal> {
    let (bus, sid, all) =
        (input.text("EventBusName")?, input.text("StatementId")?, input.flag("RemoveAllPermissions")?);
    let mut violations = Violations::default();
    violations.length("statementId", sid, 64);
    violations.pattern("statementId", sid, &STATEMENT_ID);
    violations.length("eventBusName", bus, 256);
    violations.pattern("eventBusName", bus, &CUSTOM_BUS_NAME);
    violations.finish()?;
    let edit = match (sid, all.unwrap_or(false)) {
        (Some(_), true) => {
            return Err(Refusal::validation("StatementId could not be combined with All parameter."));
        }
        (Some(sid), false) => Edit::Remove(sid.to_owned()),
        (None, true) => Edit::RemoveAll,
        (None, false) => return Err(Refusal::validation("Parameter(s) StatementId must be specified.")),
    };
    Ok((bus, edit))
}

/// What the edit makes of the policy as it stands.
fn plan(world: &mut World, name: &BusName, edit: Edit, now: i64) -> Result<Planned, Refusal> {
    let bus = world.bus(name, now)?;
    let (revision, current) = (bus.revision, bus.policy.clone());
    let current = current.as_deref();
    let next = match edit {
        Edit::RemoveAll => match current {
            None => Next::Same, // without a policy, too, it succeeds (aws-observations #7)
            Some(_) => Next::Policy(None),
        },
        Edit::Remove(sid) => {
            let rest = current.and_then(|policy| policy.without_statement(&sid));
            Next::Policy(rest.ok_or_else(Refusal::no_statement)?)
        }
        Edit::Statement { sid, principal, organization } => {
            let statement = short_form(world, name, &sid, &principal, organization.as_deref());
            let next = Policy::with_statement(current, &sid, statement);
            if current.is_some_and(|current| current.text == next.text) {
                Next::Same
            } else {
                within_quota(world, &next.text, "")?;
                Next::Policy(Some(next))
            }
        }
        Edit::Document(text) => {
            let document = admit(&text, name)?;
            let stored = compact(&document);
            if current.is_some_and(|current| current.text == stored) {
                Next::Same
            } else {
                within_quota(world, &stored, &text)?;
                Next::Policy(Some(bind(&document, &world.iam, name)?))
            }
        }
    };
    Ok(Planned { revision, next })
}

/// An existing account reads back as its root ARN, one that does not exist bare, `*` as it is (aws-observations #11,
/// #23, #30).
fn short_form(world: &World, bus: &BusName, sid: &str, principal: &str, organization: Option<&str>) -> Value {
    let principal = match principal {
        "*" => json!("*"),
        known if world.iam.account_exists(known) => json!({"AWS": bus.root_arn(known)}),
        unknown => json!({"AWS": unknown}),
    };
    let mut statement = Map::new();
    let fields = [("Sid", json!(sid)), ("Effect", json!("Allow")), ("Principal", principal)];
    statement.extend(fields.map(|(field, value)| (field.to_owned(), value)));
    statement.insert("Action".to_owned(), json!("events:PutEvents"));
    statement.insert("Resource".to_owned(), json!(bus.arn()));
    if let Some(organization) = organization {
        statement.insert("Condition".to_owned(), json!({"StringEquals": {"aws:PrincipalOrgID": organization}}));
    }
    Value::Object(statement)
}

/// The quota is in characters (aws-observations #3, #67 to #71). Whether the submitted or the stored text counts is
/// not known; the simulator takes the longer one, so that who passes here passes there.
fn within_quota(world: &World, stored: &str, submitted: &str) -> Result<(), Refusal> {
    if stored.chars().count().max(submitted.chars().count()) > world.settings.policy_quota {
        let message = "Policy size would be larger than the maximum allowed.";
        return Err(Refusal::new(400, "PolicyLengthExceededException", message));
    }
    Ok(())
}

fn commit(world: &mut World, call: &Underway, name: &BusName, planned: Planned, now: i64) -> Result<String, Refusal> {
    let semantics = world.settings.semantics;
    let bus = world.bus(name, now)?;
    let overtaken = semantics == Semantics::ConflictDetection && bus.revision != planned.revision;
    if call.effects.has(&FaultKind::ConcurrentModification) || overtaken {
        // The words of the service model; on permissions it was never captured.
        let message = "There is concurrent modification on a rule, target, archive, or replay.";
        return Err(Refusal::new(400, "ConcurrentModificationException", message));
    }
    let before = bus.policy.as_ref().map(|policy| policy_hash(&policy.text));
    for kind in call.effects.kinds() {
        let FaultKind::LostUpdate { kept } = kind else { continue };
        if kept.is_some() {
            write_foreign(world, name, &ForeignWrite::Document { policy: kept.clone() }, now);
        }
        return Ok(String::new());
    }
    let applied = match planned.next {
        Next::Same => world.journal.last(),
        Next::Policy(next) => world.apply(name, next, Writer::Call(call.seq), now)?,
    };
    let after = world.bus(name, now)?.policy.as_ref().map(|policy| policy_hash(&policy.text));
    world.journal.update(call.seq, |entry| {
        (entry.applied, entry.policy_before, entry.policy_after) = (Some(applied), before, after);
    });
    call.disturb(world, name, Moment::After, now);
    Ok(String::new())
}
