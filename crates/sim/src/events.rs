//! `PutEvents`, gated by the bus policy, and as much of rules as a bus policy governs.

use serde_json::{Value, json};

use crate::dispatch::Underway;
use crate::error::Refusal;
use crate::evaluate::{Attempt, Context, authorize};
use crate::input::{BUS_NAME_OR_ARN, BusArn, CUSTOM_BUS_NAME, Fields, Violations, wrong_type};
use crate::operation::Operation;
use crate::state::{BusName, Core};

/// Events are checked and dropped: nothing is delivered.
pub(crate) fn put_events(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let entries = Fields(&call.input).list("Entries")?.unwrap_or_default();
    let mut violations = Violations::default();
    violations.count("entries", entries, 10);
    violations.finish()?;
    let mut asked = Vec::with_capacity(entries.len());
    for item in entries {
        let fields = Fields(item.as_object().ok_or_else(|| wrong_type(item, "Structure"))?);
        let text = |name: &str| fields.text(name);
        let event = (text("Source")?, text("DetailType")?, text("Detail")?);
        asked.push((bus_of(call, text("EventBusName")?)?, event));
    }
    let (mut world, now) = core.lock();
    let effective = now.saturating_sub_unsigned(world.settings.effect_delay_millis);
    // One entry that is not authorised fails the whole call (aws-observations #88).
    for (bus, (source, detail_type, _)) in &asked {
        let policy = world.bus(bus, now).ok().and_then(|bus| bus.policy_at(effective).cloned());
        let mut context = Context::from([("events:eventbusinvocation".to_owned(), vec!["false".to_owned()])]);
        for (key, value) in [("events:source", source), ("events:detail-type", detail_type)] {
            context.extend(value.map(|value| (key.to_owned(), vec![value.to_owned()])));
        }
        context.insert("aws:requestedregion".to_owned(), vec![call.region.clone()]);
        let (resource, owner) = (bus.arn(), bus.account.as_str());
        let attempt = Attempt { caller: &call.caller, action: "events:PutEvents", resource: &resource, owner, context };
        authorize(policy.as_deref(), &world.iam, &attempt)?;
    }
    // An event for a bus of one's own that is not there is taken in without a word (aws-observations #222).
    let mut results = Vec::with_capacity(asked.len());
    for (_, (source, detail_type, detail)) in asked {
        results.push(match entry_problem(source, detail_type, detail) {
            None => json!({"EventId": world.random.uuid()}),
            Some((kind, message)) => json!({"ErrorCode": kind, "ErrorMessage": message}),
        });
    }
    let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
    Ok(json!({"FailedEntryCount": failed, "Entries": results}).to_string())
}

fn bus_of(call: &Underway, name: Option<&str>) -> Result<BusName, Refusal> {
    let mut violations = Violations::default();
    violations.length("eventBusName", name, 1600);
    violations.pattern("eventBusName", name, &BUS_NAME_OR_ARN);
    violations.finish()?;
    match name.and_then(BusArn::parse) {
        Some(arn) if arn.region != call.region => Err(Refusal::validation("Cross-region api call is not allowed.")),
        Some(arn) => Ok(BusName::new(arn.account, arn.region, arn.name)),
        None => Ok(call.own_bus(name)),
    }
}

/// What is wrong with one entry, which does not fail the others (aws-observations #222; the wording of missing
/// arguments is not observed).
fn entry_problem(
    source: Option<&str>,
    detail_type: Option<&str>,
    detail: Option<&str>,
) -> Option<(&'static str, String)> {
    let required = [("Source", source), ("DetailType", detail_type), ("Detail", detail)];
    if let Some((name, _)) = required.iter().find(|(_, value)| value.is_none_or(str::is_empty)) {
        let message = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
        return Some(("InvalidArgument", message));
    }
    if source.is_some_and(|source| source.starts_with("aws.")) {
        return Some(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned()));
    }
    let object =
        detail.and_then(|text| serde_json::from_str::<Value>(text).ok()).is_some_and(|value| value.is_object());
    (!object).then(|| ("MalformedDetail", "Detail is malformed.".to_owned()))
}

/// `PutRule` and `DeleteRule`: a name on a bus and the account that made it, so that a bus with rules can't be deleted and
/// `events:creatorAccount` can be seen to work (notes in aws-observations, section creator).
pub(crate) fn change_rule(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let input = Fields(&call.input);
    let (rule, bus) = (input.text("Name")?, input.text("EventBusName")?);
    let mut violations = Violations::default();
    violations.required("name", rule);
    violations.length("name", rule, 64);
    violations.pattern("name", rule, &CUSTOM_BUS_NAME);
    violations.length("eventBusName", bus, 1600);
    violations.pattern("eventBusName", bus, &BUS_NAME_OR_ARN);
    violations.finish()?;
    let rule = rule.unwrap_or_default();
    // The ARN's Region is not looked at: the bus of that name in the caller's is meant (aws-observations, after #95).
    let name = match bus.and_then(BusArn::parse) {
        Some(arn) => BusName::new(arn.account, &call.region, arn.name),
        None => call.own_bus(bus),
    };
    let (mut world, now) = core.lock();
    let effective = now.saturating_sub_unsigned(world.settings.effect_delay_millis);
    let found = world.bus(&name, now)?;
    let policy = found.policy_at(effective).cloned();
    let creator = found.rules.get(rule).unwrap_or(&call.caller.account).clone();
    let context = Context::from([("events:creatoraccount".to_owned(), vec![creator.clone()])]);
    let (action, resource) = (format!("events:{}", call.operation.name()), name.rule_arn(rule));
    let (caller, owner) = (&call.caller, name.account.as_str());
    let attempt = Attempt { caller, action: &action, resource: &resource, owner, context };
    authorize(policy.as_deref(), &world.iam, &attempt)?;
    let rules = &mut world.bus(&name, now)?.rules;
    if call.operation == Operation::DeleteRule {
        rules.remove(rule);
        return Ok(String::new());
    }
    rules.insert(rule.to_owned(), creator);
    Ok(json!({"RuleArn": resource}).to_string())
}
