//! What random tests draw: statements of ours, and statements of others as odd as the service lets them be.

use serde_json::{Map, Value, json};

use super::scene::bus_arn;
use super::seeds::Random;

/// One statement of an object: short or by document, a grant or a Deny.
pub(super) fn statement(random: &mut Random, name: &str) -> Value {
    let who = random.account();
    let mut one = match random.below(8) {
        0 | 1 => json!({"principals": {"accountIDs": [who]}}),
        2 => json!({"principals": {"accountIDs": [who, random.account()]}}),
        3 => json!({"principals": {"organizationID": format!("o-{}", random.text("abc123", 10))}}),
        4 => json!({"principals": {"accountIDs": [who]}, "sources": [random.text("abc.", 12)]}),
        5 => json!({"principals": {"accountIDs": [who]}, "detailTypes": ["żółć ☃", random.text("ab \"\\'é", 9)]}),
        6 => json!({"access": "ManageOwnRules", "principals": {"accountIDs": [who]}}),
        _ => json!({"raw": {"effect": "Deny", "principal": {"AWS": [who]}, "actions": ["events:PutEvents"],
            "condition": {"StringLike": {"events:source": [random.text("abc.*", 9)]}}}}),
    };
    let accounts = one.pointer_mut("/principals/accountIDs").and_then(Value::as_array_mut);
    accounts.into_iter().for_each(Vec::dedup);
    one["name"] = json!(name);
    one
}

/// The statements of an object: some of those it could have, none twice.
pub(super) fn statements(random: &mut Random, most: usize) -> Value {
    let names = random.shuffled(["a", "b", "c", "d", "e"].to_vec());
    let number = random.between(1, most.min(names.len()));
    names[..number].iter().map(|name| statement(random, name)).collect()
}

/// The same with nothing that takes a document.
pub(super) fn short_statements(random: &mut Random, most: usize) -> Value {
    let names = random.shuffled(["a", "b", "c", "d", "e"].to_vec());
    let number = random.between(1, most.min(names.len()));
    let short = |name: &&str| json!({"name": name, "principals": {"accountIDs": [random.account()]}});
    names[..number].iter().map(short).collect()
}

/// A statement of somebody else, with a Sid of its own.
pub(super) fn foreign(random: &mut Random, owner: &str, number: usize) -> Value {
    let sid = match random.below(6) {
        0 => format!("bg-{owner}x-{number}"),
        1 => format!("BG-{owner}-{number}"),
        2 => format!("bg-other-idoesjlhcycu-invoices-{number}"),
        3 => format!("bg-{}-{number}", &owner[1..]),
        4 => format!("{}_{number}", random.text("AaZz09-_", 50)),
        _ => format!("Theirs{number}"),
    };
    let roots = |random: &mut Random| format!("arn:aws:iam::{}:root", random.account());
    let principal = match random.below(5) {
        0 => json!("*"),
        1 => json!({"AWS": "*"}),
        2 => json!({"AWS": [roots(random), format!("arn:aws:iam::{}:role/a/path/r", random.account())]}),
        3 => json!({"Service": ["schemas.amazonaws.com", "scheduler.amazonaws.com"]}),
        _ => json!({"AWS": roots(random)}),
    };
    let action = match random.below(4) {
        0 => json!("events:*"),
        1 => json!(["events:PutRule", "events:PutEvents", "events:PutRule"]),
        2 => json!("Events:putevents"),
        _ => json!("events:PutEvents"),
    };
    let resource = match random.below(4) {
        0 => json!("*"),
        1 => json!([bus_arn("orders"), format!("{}/*", bus_arn("orders").replace(":event-bus/", ":rule/"))]),
        2 => json!(bus_arn("orders").replace("eu-west-1", "*")),
        _ => json!(bus_arn("orders")),
    };
    let mut fields = vec![
        ("Sid", json!(sid)),
        ("Effect", json!(if random.percent(30) { "Deny" } else { "Allow" })),
        ("Principal", principal),
        ("Action", action),
        ("Resource", resource),
    ];
    if random.percent(70) {
        fields.push(("Condition", odd_condition(random)));
    }
    random.shuffled(fields).into_iter().map(|(field, value)| (field.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// Numbers, flags and texts in whatever form a condition may hold them.
fn odd_condition(random: &mut Random) -> Value {
    let odd = "  \t\n\r\u{b}\u{a0}\u{2028}\u{feff}aZ\"\\/'<&żé雪\u{1F600}\u{0}";
    match random.below(6) {
        0 => json!({"NumericLessThan": {"aws:MultiFactorAuthAge": *random.pick(&[3600, 0, -1, i64::MAX])}}),
        1 => json!({"NumericEquals": {"aws:MultiFactorAuthAge": [*random.pick(&[1.0, 0.1, 1e21, 1e-9, 3.50]), 5]}}),
        2 => json!({"Bool": {"aws:SecureTransport": [false, "true"]}, "Null": {"aws:SourceArn": "false"}}),
        3 => {
            json!({"StringEquals": {"events:source": random.text(odd, 12), "EVENTS:Detail-Type": [random.text(odd, 6)]}})
        }
        4 => json!({"StringLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/${aws:username}", "*", "*"]}}),
        _ => json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}),
    }
}
