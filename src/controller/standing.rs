//! How an object stands, in a few bytes: what its conditions say, without their texts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::Reason;

/// The conditions of one object. Nothing stands for Unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    accepted: Option<bool>,
    synced: Option<bool>,
    ready: Option<bool>,
    reconciling: bool,
    stalled: bool,
    /// Why it is ready, or is not.
    pub reason: Reason,
}

impl Standing {
    /// What these conditions say.
    pub fn of(conditions: &[Condition], reason: Reason) -> Self {
        let status = |kind: &str| {
            let condition = conditions.iter().find(|condition| condition.type_ == kind);
            condition.and_then(|condition| match condition.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            })
        };
        Self {
            accepted: status("Accepted"),
            synced: status("Synced"),
            ready: status("Ready"),
            reconciling: status("Reconciling") == Some(true),
            stalled: status("Stalled") == Some(true),
            reason,
        }
    }

    /// The status of the condition Ready.
    pub fn ready(self) -> &'static str {
        word(self.ready)
    }

    /// Whether a person must act.
    pub fn is_stalled(self) -> bool {
        self.stalled
    }

    /// The type and status of each condition that is there.
    pub fn conditions(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let always = [("Accepted", self.accepted), ("Synced", self.synced), ("Ready", self.ready)];
        let while_true = [("Reconciling", self.reconciling), ("Stalled", self.stalled)];
        let while_true = while_true.into_iter().filter(|(_, is_true)| *is_true).map(|(kind, _)| (kind, "True"));
        always.into_iter().map(|(kind, status)| (kind, word(status))).chain(while_true)
    }
}

fn word(status: Option<bool>) -> &'static str {
    match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}
