//! `PutEvents`, gated by the bus policy, and as much of rules as a bus policy governs.

use serde_json::{Value, json};

use crate::arn::Arn;
use crate::core::Core;
use crate::dispatch::Underway;
use crate::error::Outcome;
use crate::evaluate::{Attempt, context};
use crate::input::{BUS_NAME_OR_ARN, Input, RULE_NAME, wrong_type};
use crate::operation::Operation;
use crate::world::BusName;

/// Events are checked and dropped: nothing is delivered.
pub(crate) fn put_events(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let entries = input.list("Entries", (1, 10))?;
    input.finish()?;
    let mut asked = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = Input::of(entry.as_object().ok_or_else(|| wrong_type(entry, "Structure"))?);
        let event = [entry.any("Source")?, entry.any("DetailType")?, entry.any("Detail")?];
        let bus = entry.text("EventBusName", &BUS_NAME_OR_ARN)?;
        entry.finish()?;
        asked.push((call.bus(bus)?, event));
    }
    let mut world = core.lock();
    let delay = world.settings.effect_delay_millis;
    // One entry that is not authorised fails the whole call (aws-observations #88).
    for (bus, [source, detail_type, _]) in &asked {
        let context = context([
            ("events:source", *source),
            ("events:detail-type", *detail_type),
            ("events:eventbusinvocation", Some("false")),
            ("aws:requestedregion", Some(&call.region)),
        ]);
        let (caller, action) = (&call.caller, "events:PutEvents");
        world.authorize(&Attempt { caller, action, bus, rule: None, context }, delay)?;
    }
    // An event for a bus of one's own that is not there is taken in without a word (aws-observations #222).
    let mut failed = 0;
    let mut result = |event| match problem(event) {
        None => json!({"EventId": world.random.uuid()}),
        Some((kind, message)) => {
            failed += 1;
            json!({"ErrorCode": kind, "ErrorMessage": message})
        }
    };
    let results: Vec<Value> = asked.into_iter().map(|(_, event)| result(event)).collect();
    Ok(json!({"FailedEntryCount": failed, "Entries": results}).to_string())
}

/// What is wrong with one entry, which does not fail the others (aws-observations #222; the wording of missing
/// arguments is not observed).
fn problem(event: [Option<&str>; 3]) -> Option<(&'static str, String)> {
    let named = ["Source", "DetailType", "Detail"].into_iter().zip(event);
    if let Some((name, _)) = named.into_iter().find(|(_, value)| value.is_none_or(str::is_empty)) {
        let message = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
        return Some(("InvalidArgument", message));
    }
    let [source, _, detail] = event.map(Option::unwrap_or_default);
    if source.starts_with("aws.") {
        return Some(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned()));
    }
    let object = serde_json::from_str(detail).is_ok_and(|detail: Value| detail.is_object());
    (!object).then(|| ("MalformedDetail", "Detail is malformed.".to_owned()))
}

/// `PutRule` and `DeleteRule`: a name on a bus and the account that made it, so that a bus with rules can't be deleted and
/// `events:creatorAccount` can be seen to work (notes in aws-observations, section creator).
pub(crate) fn change_rule(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let (rule, bus) = (input.required("Name", &RULE_NAME)?, input.text("EventBusName", &BUS_NAME_OR_ARN)?);
    input.finish()?;
    // The ARN's Region is not looked at: the bus of that name in the caller's is meant (aws-observations, after #95).
    let bus = match bus.and_then(Arn::of_bus) {
        Some((arn, name)) => BusName::new(arn.account, &call.region, name),
        None => call.own_bus(bus),
    };
    let mut world = core.lock();
    let delay = world.settings.effect_delay_millis;
    let creator = world.bus(&bus)?.rules.get(rule).unwrap_or(&call.caller.account).clone();
    let (caller, action) = (&call.caller, format!("events:{}", call.operation.name()));
    let context = context([("events:creatoraccount", Some(creator.as_str()))]);
    let attempt = Attempt { caller, action: &action, bus: &bus, rule: Some(rule), context };
    world.authorize(&attempt, delay)?;
    let rules = &mut world.bus(&bus)?.rules;
    if call.operation == Operation::DeleteRule {
        rules.remove(rule);
        return Ok(String::new());
    }
    rules.insert(rule.to_owned(), creator);
    Ok(json!({"RuleArn": bus.rule_arn(rule)}).to_string())
}
