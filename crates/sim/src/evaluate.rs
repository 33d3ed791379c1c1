//! Whether a bus's policy lets somebody do something.
//!
//! The rules are those of the IAM user guide, "Policy evaluation logic": an explicit Deny wins; within one account
//! either side's Allow suffices, across accounts both are needed. Identity policies allow all or nothing here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arn::twelve_digits;
use crate::conditions::satisfied;
use crate::error::Refusal;
use crate::iam::{Caller, Iam, IdentityPolicy};
use crate::policy::{Policy, statements, strings};
use crate::world::BusName;

/// The request's context: condition keys in lower case, with their values.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// A context of keys that have one value, or none.
pub(crate) fn context<const KEYS: usize>(keys: [(&str, Option<&str>); KEYS]) -> Context {
    keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), vec![value?.to_owned()]))).collect()
}

/// One thing that somebody wants to do to a bus or one of its rules.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) action: &'a str,
    pub(crate) bus: &'a BusName,
    pub(crate) rule: Option<&'a str>,
    pub(crate) context: Context,
}

/// How far an Allow reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    /// By way of the account, whose own policies decide within it.
    Account,
    /// By name.
    Direct,
}

/// Whether the attempt passes, and if not, with the words of the service.
pub(crate) fn authorize(policy: Option<&Policy>, iam: &Iam, attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Attempt { caller, action, bus, rule, .. } = attempt;
    let resource = rule.map_or_else(|| bus.arn(), |rule| bus.rule_arn(rule));
    let refused = |because: &str| Err(Refusal::access_denied(&caller.arn, action, &resource, because));
    let context = full_context(iam, attempt);
    let document = policy.map(Policy::document).unwrap_or_default();
    // `${…}` is literal before version 2012-10-17 ("IAM JSON policy elements: Version").
    let variables = document.get("Version").and_then(Value::as_str) == Some("2012-10-17");
    let mut allowed = Match::No;
    for statement in statements(&document) {
        let matched = matches_principal(statement.get("Principal"), policy, caller);
        let names =
            |field: &str, matches: &dyn Fn(&str) -> bool| strings(statement.get(field)).into_iter().any(matches);
        let applies = matched != Match::No
            && names("Action", &|pattern| glob(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
            && names("Resource", &|pattern| glob(pattern, &resource))
            && satisfied(statement.get("Condition"), &context, variables);
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Deny") if applies => return refused("with an explicit deny in a resource-based policy"),
            Some("Allow") if applies => allowed = allowed.max(matched),
            _ => {}
        }
    }
    let same_account = caller.account == bus.account && caller.service.is_none();
    let by_identity = caller.identity == IdentityPolicy::All;
    let passes =
        if same_account { by_identity || allowed == Match::Direct } else { by_identity && allowed != Match::No };
    if passes {
        return Ok(());
    }
    // Within the account the identity policy is blamed (aws-observations #101), across accounts the bus's (#83).
    let blamed = if same_account || allowed != Match::No { "identity" } else { "resource" };
    refused(&format!("because no {blamed}-based policy allows the {action} action"))
}

fn matches_principal(principal: Option<&Value>, policy: Option<&Policy>, caller: &Caller) -> Match {
    match principal {
        Some(Value::String(everyone)) if everyone == "*" => Match::Direct,
        Some(Value::Object(kinds)) => {
            let service = strings(kinds.get("Service")).into_iter().any(|name| caller.service.as_deref() == Some(name));
            let aws = strings(kinds.get("AWS")).into_iter().map(|name| matches_name(name, policy, caller)).max();
            if service { Match::Direct } else { aws.unwrap_or(Match::No) }
        }
        _ => Match::No,
    }
}

fn matches_name(name: &str, policy: Option<&Policy>, caller: &Caller) -> Match {
    // A principal is the incarnation that it stood for when it was put (aws-observations #101).
    let bound = policy.and_then(|policy| policy.bindings.get(name));
    let root = name.strip_suffix(":root").and_then(|arn| arn.rsplit(':').next());
    let account = if twelve_digits(name) { Some(name) } else { root };
    match account {
        _ if name == "*" => Match::Direct,
        _ if caller.service.is_some() => Match::No,
        Some(account) if account == caller.account => Match::Account,
        None if bound == Some(&caller.unique_id) || name == caller.unique_id || name == caller.arn => Match::Direct,
        _ => Match::No,
    }
}

/// The context with what follows from the caller (IAM user guide, "AWS global condition context keys").
fn full_context(iam: &Iam, attempt: &Attempt<'_>) -> Context {
    let caller = attempt.caller;
    let mut known = match caller.service.as_deref() {
        Some(service) => {
            context([("aws:principalisawsservice", Some("true")), ("aws:principalservicename", Some(service))])
        }
        None => context([
            ("aws:principaltype", Some(if caller.arn == caller.principal_arn { "User" } else { "AssumedRole" })),
            ("aws:principalarn", Some(&caller.principal_arn)),
            ("aws:principalaccount", Some(&caller.account)),
            ("aws:userid", Some(&caller.user_id)),
            ("aws:principalisawsservice", Some("false")),
        ]),
    };
    if let Some(account) = iam.accounts.get(&caller.account).filter(|_| caller.service.is_none()) {
        known.insert("aws:principalorgpaths".to_owned(), account.paths.clone());
        known.extend(context([("aws:principalorgid", account.organization.as_deref())]));
    }
    known.extend(attempt.context.clone());
    known
}

/// Matches `*` and `?`, as in actions, resources and `StringLike`.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Which beginnings of the text, by length, the pattern matches up to a letter of it.
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    for letter in pattern.chars() {
        if letter == '*' {
            (1..matched.len()).for_each(|end| matched[end] |= matched[end - 1]);
        } else {
            let fits = |end: usize| letter == '?' || letter == text[end - 1];
            (1..matched.len()).rev().for_each(|end| matched[end] = matched[end - 1] && fits(end));
            matched[0] = false;
        }
    }
    matched[text.len()]
}
