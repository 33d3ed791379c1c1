//! A plan as people read it: statements that come, go and change, and the calls that do it.

use std::fmt::Write as _;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::plan::{BusPlan, Call, Change};

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// The plans of some buses, each after its ARN.
pub(super) fn text(plans: &[BusPlan], colours: bool) -> String {
    let mut page = Page { text: String::new(), colours };
    for plan in plans {
        page.bus(plan);
    }
    page.text
}

struct Page {
    text: String,
    colours: bool,
}

impl Page {
    fn line(&mut self, indent: usize, colour: &str, line: &str) {
        let (on, off) = if self.colours && !colour.is_empty() { (colour, PLAIN) } else { ("", "") };
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{:indent$}{on}{line}{off}", "");
    }

    fn bus(&mut self, plan: &BusPlan) {
        let calls = match plan.calls.len() {
            0 => "no change".to_owned(),
            1 => "1 call".to_owned(),
            several => format!("{several} calls"),
        };
        let size = if plan.characters == plan.characters_after {
            plan.characters.to_string()
        } else {
            format!("{} to {}", plan.characters, plan.characters_after)
        };
        self.line(0, "", &format!("{}: {calls}, {size} of {} characters", plan.event_bus, plan.characters_allowed));
        for change in &plan.changes {
            self.change(change);
        }
        for unserved in &plan.obstacles {
            let told = format!("! {}: {}: {}", unserved.statement_id, unserved.reason, unserved.message);
            self.line(2, YELLOW, &told);
        }
        for (number, call) in plan.calls.iter().enumerate() {
            self.line(2, "", &format!("{}. {}", number + 1, in_words(call)));
        }
    }

    fn change(&mut self, change: &Change) {
        let (mark, colour) = match (&change.before, &change.after) {
            (None, _) => ("+", GREEN),
            (_, None) => ("-", RED),
            _ => ("~", YELLOW),
        };
        let object = change.object.as_deref().unwrap_or("an object that is in no file");
        let observed = if change.observed { ", which observes or is paused: not done" } else { "" };
        self.line(2, colour, &format!("{mark} {} of {object}{observed}", change.statement_id));
        let (before, after) = (pretty(change.before.as_ref()), pretty(change.after.as_ref()));
        for line in TextDiff::from_lines(&before, &after).iter_all_changes() {
            let (mark, colour) = match line.tag() {
                ChangeTag::Equal => (" ", ""),
                ChangeTag::Delete => ("-", RED),
                ChangeTag::Insert => ("+", GREEN),
            };
            self.line(4, colour, &format!("{mark} {}", line.value().trim_end()));
        }
    }
}

/// A statement, one thing a line. Its Sid is said above it.
fn pretty(statement: Option<&Value>) -> String {
    let Some(mut statement) = statement.cloned() else { return String::new() };
    if let Some(parts) = statement.as_object_mut() {
        parts.retain(|name, _| name != "Sid");
    }
    serde_json::to_string_pretty(&statement).unwrap_or_default() + "\n"
}

fn in_words(call: &Call) -> String {
    let text = |name: &str| call.input[name].as_str().unwrap_or_default().to_owned();
    match (call.operation, call.input.get("Policy")) {
        ("PutPermission", Some(policy)) => {
            format!("PutPermission with a whole policy of {} characters", policy.as_str().unwrap_or_default().len())
        }
        ("PutPermission", None) => {
            let organization =
                call.input["Condition"]["Value"].as_str().map(|value| format!(" in organization {value}"));
            let principal = text("Principal");
            format!("PutPermission {} for {principal}{}", text("StatementId"), organization.unwrap_or_default())
        }
        (operation, _) => format!("{operation} {}", text("StatementId")),
    }
}
