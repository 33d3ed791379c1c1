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
    use super::*;
    use serde_json::{Value, json};

    fn status() -> Value {
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "lastTransitionTime": "2026-11-24T23:54:03Z", "message": message, "observedGeneration": 1,
                "reason": reason, "status": "True", "type": kind,
            })
        };
        let in_sync = "in the policy; AWS may take about 20 s to act on it";
        json!({
            "observedGeneration": 1,
            "conditions": [
                condition("Accepted", "Accepted", "every statement of the spec can be served"),
                condition("Synced", "InSync", in_sync),
                condition("Ready", "InSync", in_sync),
            ],
            "desiredStatements": 1,
            "syncedStatements": 1,
            "statements": [{
                "name": "publishers", "statementID": "bg-bench-jab4pr36xqyz-publishers-100000000001", "synced": true,
                "reason": "InSync", "form": "Short", "contentHash": "64ae8049fbaba8eb",
            }],
            "eventBus": {
                "arn": "arn:aws:events:eu-west-1:123456789012:event-bus/default", "name": "default",
                "accountID": "123456789012", "region": "eu-west-1",
            },
            "policy": {"characters": 4763, "charactersAllowed": 10240, "foreignStatements": 0},
            "writes": {
                "lastWriteTime": "2026-11-24T23:54:03Z", "concurrentModificationRetries": 0,
                "concurrentModificationRetriesTotal": 0, "lostUpdates": 0,
            },
        })
    }

    #[test]
    fn a_status_in_sync_takes_a_third() {
        let status: crate::api::EventBusPermissionStatus = serde_json::from_value(status()).unwrap();
        let json = serde_json::to_string(&status).unwrap();
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
