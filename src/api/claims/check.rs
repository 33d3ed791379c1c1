//! The checks of single values, one for each rule of the API server that reads one, and the list of what was violated.

use busgrant_policy::{AccountId, Condition, OrganizationId};

use crate::api::rules;

/// What is wrong with a statement, each with the field and what must be there.
#[derive(Default)]
pub(super) struct Violations(Vec<String>);

impl Violations {
    pub(super) fn add(&mut self, field: &str, message: &str) {
        // The statement as a whole is named by whoever reports it.
        self.0.push(if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") });
    }

    pub(super) fn require_text(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.add(field, message);
        }
    }

    pub(super) fn require(&mut self, holds: bool, field: &str, rule: rules::Rule) {
        self.require_text(holds, field, rule.1);
    }

    /// A list that is given must not be empty: it would compile to a condition that nothing meets, or to no one.
    pub(super) fn require_some<T>(&mut self, list: &[T], field: &str) {
        self.require_text(!list.is_empty(), field, "must have at least one item, or be left out");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_messages(self) -> Vec<String> {
        self.0
    }
}

/// Checks each item of a list, and gives the items on.
pub(super) fn each<'a>(
    items: &'a [String],
    field: &str,
    rule: rules::Rule,
    violations: &mut Violations,
    is_valid: fn(&str) -> bool,
) -> impl Iterator<Item = String> + use<'a> {
    violations.require_some(items, field);
    for (index, item) in items.iter().enumerate() {
        violations.require(is_valid(item), &format!("{field}[{index}]"), rule);
    }
    items.iter().cloned()
}

pub(super) fn name(name: &str, violations: &mut Violations) {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = (1..=26).contains(&name.len()) && name.chars().all(inside);
    let ends = !name.starts_with('-') && !name.ends_with('-');
    violations.require(label && ends, "name", rules::STATEMENT_NAME);
    let account = name.rsplit_once('-').is_some_and(|(_, end)| is_account(end));
    violations.require(!account, "name", rules::STATEMENT_NAME_END);
}

pub(super) fn is_account(text: &str) -> bool {
    text.parse::<AccountId>().is_ok()
}

pub(super) fn is_organization(text: &str) -> bool {
    text.parse::<OrganizationId>().is_ok()
}

fn lower_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_word(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.chars().all(lower_or_digit)
}

pub(super) fn is_organization_path(path: &str) -> bool {
    let is_root = |part: &str| part.strip_prefix("r-").is_some_and(|id| is_word(id, 4..=32));
    let is_unit = |part: &str| {
        let id = part.strip_prefix("ou-").and_then(|id| id.split_once('-'));
        id.is_some_and(|(root, unit)| is_word(root, 4..=32) && is_word(unit, 8..=32))
    };
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [organization, "*"] => is_organization(organization),
        [organization, root, units @ .., end] => {
            is_organization(organization)
                && is_root(root)
                && units.iter().all(|unit| is_unit(unit))
                && matches!(*end, "" | "*" | "ou-*")
        }
        _ => false,
    }
}

fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
}

pub(super) fn is_principal_arn(arn: &str) -> bool {
    let is_name = |text: &str| !text.is_empty() && !text.contains(['*', '?', ' ']);
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else {
        return false;
    };
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let named = match (service, kind) {
        ("iam", "root") => resource == "root",
        ("iam", "role" | "user") | ("sts", "federated-user") => is_name(name),
        ("sts", "assumed-role") => {
            name.split_once('/').is_some_and(|(role, session)| is_name(role) && is_name(session))
        }
        _ => false,
    };
    is_partition(partition) && is_account(account) && named
}

pub(super) fn is_raw_aws_principal(text: &str) -> bool {
    text == "*" || is_account(text) || is_principal_arn(text)
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| lower_or_digit(c) || c == '-');
    text.split('.').all(is_label)
}

pub(super) fn is_service(text: &str) -> bool {
    let domains = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"];
    domains.iter().any(|domain| text.strip_suffix(domain).is_some_and(is_host))
}

pub(super) fn is_federated(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, resource] => {
            let provider = resource.strip_prefix("saml-provider/").or_else(|| resource.strip_prefix("oidc-provider/"));
            is_partition(partition) && is_account(account) && provider.is_some_and(|name| !name.is_empty())
        }
        _ => is_host(text) && text.contains('.'),
    }
}

pub(super) fn is_canonical_user(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

pub(super) fn is_exact(text: &str) -> bool {
    !text.is_empty() && !text.contains(['*', '?'])
}

pub(super) fn is_source_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, service, _, _, resource]
        if !partition.is_empty() && !service.is_empty() && !resource.is_empty())
}

pub(super) fn is_operator(text: &str) -> bool {
    let operator = text.strip_prefix("ForAnyValue:").or_else(|| text.strip_prefix("ForAllValues:")).unwrap_or(text);
    let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
    let known = match operator {
        "StringEquals"
        | "StringNotEquals"
        | "StringEqualsIgnoreCase"
        | "StringNotEqualsIgnoreCase"
        | "StringLike"
        | "StringNotLike"
        | "ArnEquals"
        | "ArnNotEquals"
        | "ArnLike"
        | "ArnNotLike"
        | "Bool"
        | "IpAddress"
        | "NotIpAddress" => true,
        _ => operator.strip_prefix("Numeric").or_else(|| operator.strip_prefix("Date")).is_some_and(|relation| {
            ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
                .contains(&relation)
        }),
    };
    known || text == "Null"
}

pub(super) fn is_condition_key(text: &str) -> bool {
    let prefix = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    text.split_once(':').is_some_and(|(service, key)| prefix(service) && !key.is_empty())
}

pub(super) fn is_action(text: &str) -> bool {
    let name = text.strip_prefix("events:").unwrap_or_default();
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '*' || c == '?')
}

/// Whether an ARN pattern names one account in its fifth part.
pub(super) fn names_account(arn: &str) -> bool {
    arn.split(':').nth(4).is_some_and(is_account) && arn.splitn(6, ':').count() == 6
}

/// Whether a condition holds only for requests on behalf of named accounts.
pub(super) fn ties_to_account<'a>(operator: &str, key: &str, values: impl IntoIterator<Item = &'a String>) -> bool {
    matches!(operator, "StringEquals" | "StringEqualsIgnoreCase" | "StringLike")
        && key.eq_ignore_ascii_case("aws:SourceAccount")
        && values.into_iter().all(|value| is_account(value))
}

/// The same for a raw statement, which has no `sourceARNs` to say it with, and may name an organization.
pub(super) fn ties_service(Condition { operator, key, values }: &Condition) -> bool {
    let string = matches!(operator.as_str(), "StringEquals" | "StringEqualsIgnoreCase" | "StringLike");
    let pattern = string || matches!(operator.as_str(), "ArnEquals" | "ArnLike");
    let is = |wanted: &str| key.eq_ignore_ascii_case(wanted);
    ties_to_account(operator, key, values)
        || (pattern && is("aws:SourceArn") && values.iter().all(|arn| names_account(arn)))
        || (string && is("aws:SourceOrgID") && values.iter().all(|id| is_organization(id)))
}

/// Whether a pattern, in which `*` stands for any text and `?` for one character, matches a text. Only the last `*` is ever
/// tried again, so that a pattern of many stars costs no more than its length times the text's.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star_at, star_read)) = star else { return false };
                star = Some((star_at, star_read + 1));
                (at, read) = (star_at + 1, star_read + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abc"), ("a*c", "ac"), ("a?c", "abc"), ("*b*", "abc"), ("a*b*c", "aXbYbc")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a?c", "ac"), ("*b", "abc"), ("a*c", "abd")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(60), "events:listrulenamesbytarget"));
    }
}
