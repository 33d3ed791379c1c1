//! Statements of others between two reads: a write of ours may have met one of theirs, and the service tells neither.

use std::collections::BTreeMap;

use busgrant_policy::document::LiveStatement;
use busgrant_policy::{Document, Owner};

/// A statement of somebody else's that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChange {
    /// Its Sid, where it has one.
    pub sid: Option<String>,
    /// The statement as it was read before.
    pub before: String,
    /// The statement of that Sid as it was read afterwards, if there was one.
    pub after: Option<String>,
}

impl ForeignChange {
    /// The change in a few words.
    pub fn summary(&self) -> String {
        let name = self.sid.as_deref().map_or_else(|| "a statement without a Sid".to_owned(), str::to_owned);
        format!("{name} {}", if self.after.is_some() { "changed" } else { "vanished" })
    }
}

/// The statements of others that one read held and a later one does not hold as they were. New ones are none of these.
pub fn foreign_changes(before: &Document, after: &Document, owner: &Owner) -> Vec<ForeignChange> {
    let foreign = |live: &&LiveStatement| !live.sid().is_some_and(|sid| owner.owns(sid));
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for live in after.statements().iter().filter(foreign) {
        *left.entry(live.text()).or_default() += 1;
    }
    let mut changes = Vec::new();
    for live in before.statements().iter().filter(foreign) {
        match left.get_mut(live.text()).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => changes.push(ForeignChange {
                sid: live.sid().map(str::to_owned),
                before: live.text().to_owned(),
                after: live.sid().and_then(|sid| after.get(sid)).map(|now| now.text().to_owned()),
            }),
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(statements: &[Value]) -> Document {
        Document::parse(Some(&json!({"Version": "2012-10-17", "Statement": statements}).to_string())).unwrap()
    }

    fn told(before: &[Value], after: &[Value]) -> Vec<String> {
        let changes = foreign_changes(&document(before), &document(after), &"x".parse().unwrap());
        changes.iter().map(ForeignChange::summary).collect()
    }

    fn statement(sid: &str, effect: &str) -> Value {
        json!({"Sid": sid, "Effect": effect})
    }

    #[test]
    fn what_vanished_and_what_changed_is_told_and_what_is_ours_or_new_is_not() {
        let before = [
            statement("stays", "Allow"),
            statement("goes", "Allow"),
            statement("turns", "Allow"),
            statement("bg-x-abcdefgh2345-ours", "Allow"),
        ];
        let after = [statement("new", "Deny"), statement("turns", "Deny"), statement("stays", "Allow")];
        assert_eq!(told(&before, &after), ["goes vanished", "turns changed"]);
        assert!(told(&before[..2], &[statement("goes", "Allow"), statement("stays", "Allow")]).is_empty());
    }

    #[test]
    fn of_two_alike_without_a_sid_one_that_vanished_is_told() {
        let alike = json!({"Effect": "Allow"});
        assert_eq!(told(&[alike.clone(), alike.clone()], &[alike]), ["a statement without a Sid vanished"]);
    }
}
