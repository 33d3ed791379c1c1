//! Asking what a bus's policy says to an attempt, with any principal, action and context.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Attempt, context};
use crate::iam::{Caller, Iam};
use crate::world::{BusName, World};

/// An attempt: who wants to do what to which bus or rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// The bus's account.
    pub account: String,
    /// The bus's Region.
    pub region: String,
    /// The bus's name.
    pub bus: String,
    /// Who: a 12-digit account, a role's or user's ARN, or a service such as `schemas.amazonaws.com`.
    pub principal: String,
    /// The action; `PutEvents` when empty.
    #[serde(default)]
    pub action: String,
    /// A rule's name, when it is about a rule.
    pub rule: Option<String>,
    /// Condition keys and their values. What follows from the principal need not be given.
    #[serde(default)]
    pub context: BTreeMap<String, Vec<String>>,
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether the attempt passes.
    pub allowed: bool,
    /// Why not, in the words of the service.
    pub reason: Option<String>,
}

impl Probe {
    /// What the bus's policy, as it stands, says to the attempt.
    pub(crate) fn judge(&self, world: &mut World) -> Verdict {
        let bus = BusName::new(&self.account, &self.region, &self.bus);
        let Some(caller) = self.caller(&world.iam, &bus) else {
            return Verdict { allowed: false, reason: Some(format!("{} does not exist", self.principal)) };
        };
        let mut context = context([("events:eventbusinvocation", Some("false"))]);
        context.extend(self.context.iter().map(|(key, values)| (key.to_ascii_lowercase(), values.clone())));
        let action = if self.action.is_empty() { "events:PutEvents" } else { &self.action };
        let attempt = Attempt { caller: &caller, action, bus: &bus, rule: self.rule.as_deref(), context };
        let refusal = world.authorize(&attempt, 0).err();
        Verdict { allowed: refusal.is_none(), reason: refusal.map(|refusal| refusal.message) }
    }

    fn caller(&self, iam: &Iam, bus: &BusName) -> Option<Caller> {
        if self.principal.starts_with("arn:") {
            return iam.caller(&self.principal, "probe");
        }
        if self.principal.contains(".amazonaws.com") {
            let service = iam.account_user(&bus.account, bus.partition())?;
            return Some(Caller { service: Some(self.principal.clone()), arn: self.principal.clone(), ..service });
        }
        iam.account_user(&self.principal, bus.partition())
    }
}
