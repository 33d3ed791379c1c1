//! `busgrant render`: the policy that would stand for manifests, on a bus that has nothing else.

use std::collections::BTreeMap;

use busgrant_policy::Document;
use busgrant_policy::document::LiveStatement;
use serde_json::Value;

use super::desk::{Objects, laid_out, tell_troubles};
use super::{Ended, print};
use crate::controller::statements::explain;

/// Prints it: the policy of the one bus, or the policies by ARN where there are several.
pub(super) fn run(objects: &Objects) -> anyhow::Result<Ended> {
    let (buses, troubles) = laid_out(objects)?;
    let mut incomplete = tell_troubles(&troubles);
    let mut policies: BTreeMap<String, Value> = BTreeMap::new();
    for bus in buses {
        let flown = bus.flown(&Document::default(), true)?;
        for finding in &flown.findings {
            eprintln!("busgrant: {}: {}", finding.sid, explain(&finding.obstacle).1);
            incomplete = true;
        }
        let document = flown.document;
        let texts: Vec<&str> = document.statements().iter().map(LiveStatement::text).collect();
        policies.insert(bus.arn.to_string(), serde_json::from_str(&document.render(&texts))?);
    }
    policies.retain(|_, policy| policy["Statement"].as_array().is_some_and(|statements| !statements.is_empty()));
    if policies.is_empty() {
        return Ok(Ended::Trouble);
    }
    let mut values = policies.values();
    let shown = match (values.next(), values.next()) {
        (Some(only), None) => serde_json::to_string_pretty(only)?,
        _ => serde_json::to_string_pretty(&policies)?,
    };
    print(&format!("{shown}\n"))?;
    Ok(if incomplete { Ended::Trouble } else { Ended::Same })
}
