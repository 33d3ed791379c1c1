//! JSON that is kept in memory for every object of the cluster. What most of it has alike is one byte each, so that it takes
//! a third of what it takes in full.

/// What specs and statuses often have in common, longer ones before what they contain. Each is kept as one of the bytes that
/// JSON never has in it unescaped: those before the space. What is here decides the size and nothing else.
const PHRASES: [&str; 29] = [
    r#"{"observedGeneration":"#,
    r#","conditions":[{"lastTransitionTime":""#,
    r#"},{"lastTransitionTime":""#,
    r#"","message":"every statement of the spec can be served","observedGeneration":"#,
    r#"","message":"in the policy; AWS may take about 20 s to act on it","observedGeneration":"#,
    r#"","message":""#,
    r#"","observedGeneration":"#,
    r#","reason":"Accepted","status":"True","type":"Accepted""#,
    r#","reason":"InSync","status":"True","type":"Synced""#,
    r#","reason":"InSync","status":"True","type":"Ready""#,
    r#"}],"desiredStatements":"#,
    r#","syncedStatements":"#,
    r#","statements":[{"name":""#,
    r#""},{"name":""#,
    r#"","statementID":"bg-"#,
    r#"","synced":true,"reason":"InSync","form":"Short","contentHash":""#,
    r#"","synced":true,"reason":"InSync","form":"Document","contentHash":""#,
    r#""}],"eventBus":{"arn":"arn:aws:events:"#,
    r#"","name":""#,
    r#"","accountID":""#,
    r#"","region":""#,
    r#""},"policy":{"characters":"#,
    r#","charactersAllowed":10240,"foreignStatements":"#,
    r#"},"writes":{"lastWriteTime":""#,
    r#"","concurrentModificationRetries":0,"concurrentModificationRetriesTotal":0,"lostUpdates":0}"#,
    r#"{"eventBus":{"name":""#,
    r#""},"managementPolicy":"Enforce","deletionPolicy":"Delete""#,
    r#"","principals":{"accountIDs":[""#,
    r#"","description":""#,
];

/// A text of JSON, kept short.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kept(Box<str>);

impl Kept {
    /// Keeps a text that serde wrote: other writers may leave control characters in strings.
    pub fn new(mut json: String) -> Self {
        for (phrase, byte) in PHRASES.into_iter().zip(0_u8..) {
            if json.contains(phrase) {
                json = json.replace(phrase, char::from(byte).encode_utf8(&mut [0]));
            }
        }
        Self(json.into_boxed_str())
    }

    /// The text in full.
    pub fn json(&self) -> String {
        let mut json = String::with_capacity(self.0.len() * 4);
        let mut rest = &*self.0;
        while let Some(at) = rest.bytes().position(|byte| byte < b' ') {
            json.push_str(&rest[..at]);
            json.push_str(PHRASES.get(usize::from(rest.as_bytes()[at])).copied().unwrap_or_default());
            rest = &rest[at + 1..];
        }
        json.push_str(rest);
        json
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::super::judge::{Acceptance, Outcome, Verdict};
    use super::super::statements::Judged;
    use super::super::status::{BusFacts, status};
    use super::super::writes::Tally;
    use super::*;
    use crate::api::{EventBusPermissionStatus, PolicyStatus, Reason, StatementStatus, WriteForm};

    /// A status as the controller writes most of them.
    fn status_in_sync() -> EventBusPermissionStatus {
        let name = "publishers";
        let statement = StatementStatus {
            name: name.to_owned(),
            statement_id: format!("bg-bench-jab4pr36xqyz-{name}-100000000001"),
            synced: true,
            reason: Reason::InSync.to_string(),
            message: None,
            form: Some(WriteForm::Short),
            content_hash: Some("64ae8049fbaba8eb".to_owned()),
        };
        let bus = "arn:aws:events:eu-west-1:123456789012:event-bus/default".parse().unwrap();
        let policy =
            PolicyStatus { characters: Some(4763), characters_allowed: Some(10_240), foreign_statements: Some(0) };
        let facts = BusFacts { bus, policy: Some(policy) };
        let outcome = Outcome {
            verdict: Verdict::InSync,
            acceptance: Acceptance::Accepted,
            statements: vec![Judged { reason: Reason::InSync, status: statement }],
            plan: Vec::new(),
        };
        let tally = Tally { sent: true, put: ["s".parse().unwrap()].into(), ..Tally::default() };
        status(&EventBusPermissionStatus::default(), 1, &outcome, Some(&facts), Some(&tally), Timestamp::now())
    }

    #[test]
    fn a_status_in_sync_takes_a_third() {
        let json = serde_json::to_string(&status_in_sync()).unwrap();
        let kept = Kept::new(json.clone());
        assert!(kept.0.len() * 3 < json.len(), "{} of {}: {}", kept.0.len(), json.len(), kept.0.escape_debug());
        assert_eq!(kept.json(), json);
    }

    #[test]
    fn every_phrase_and_every_character_comes_back() {
        let characters: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let json = json!({"phrases": PHRASES, "characters": characters}).to_string();
        assert_eq!(Kept::new(json.clone()).json(), json);
        let raw = PHRASES.concat().repeat(2);
        assert_eq!(Kept::new(raw.clone()).json(), raw);
    }
}
