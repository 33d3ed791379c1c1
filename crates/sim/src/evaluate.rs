//! Whether a bus's policy lets somebody do something.
//!
//! The rules are those of the IAM user guide, "Policy evaluation logic": an explicit Deny wins; within one account
//! either side's Allow suffices, across accounts both are needed. Identity policies allow all or nothing here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::conditions::satisfied;
use crate::error::Refusal;
use crate::iam::{Caller, Iam, IdentityPolicy};
use crate::input::twelve_digits;
use crate::policy::{Policy, statements, strings};

/// The request's context: condition keys in lower case, with their values.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// One thing that somebody wants to do to a bus or its rules.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) owner: &'a str,
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
    let caller = attempt.caller;
    let context = full_context(iam, attempt);
    let mut allowed = Match::No;
    let denied = |because: &str| {
        let because = format!("{because} the {} action", attempt.action);
        Err(Refusal::access_denied(&caller.arn, attempt.action, attempt.resource, &because))
    };
    let document = policy.map(Policy::document).unwrap_or_default();
    // `${…}` is literal before version 2012-10-17 ("IAM JSON policy elements: Version").
    let variables = document.get("Version").and_then(Value::as_str) == Some("2012-10-17");
    for statement in statements(&document) {
        let matched = matches_principal(statement.get("Principal"), policy, caller);
        let listed = |field: &str, value: &str, fold: bool| {
            let fold = |text: &str| {
                if fold { text.to_ascii_lowercase() } else { text.to_owned() }
            };
            strings(statement.get(field)).iter().any(|pattern| glob(&fold(pattern), &fold(value)))
        };
        let applies = matched != Match::No
            && listed("Action", attempt.action, true)
            && listed("Resource", attempt.resource, false)
            && satisfied(statement.get("Condition"), &context, variables);
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Deny") if applies => {
                let because = "with an explicit deny in a resource-based policy";
                return Err(Refusal::access_denied(&caller.arn, attempt.action, attempt.resource, because));
            }
            Some("Allow") if applies => allowed = allowed.max(matched),
            _ => {}
        }
    }
    let same_account = caller.account == attempt.owner && caller.service.is_none();
    let identity = caller.identity == IdentityPolicy::All;
    match (same_account, identity, allowed) {
        (true, true, _) | (true, _, Match::Direct) | (false, true, Match::Account | Match::Direct) => Ok(()),
        // Within the account the identity policy is blamed (aws-observations #101), across accounts the bus's (#83).
        (true, false, _) | (false, false, Match::Account | Match::Direct) => {
            denied("because no identity-based policy allows")
        }
        (false, _, Match::No) => denied("because no resource-based policy allows"),
    }
}

fn matches_principal(principal: Option<&Value>, policy: Option<&Policy>, caller: &Caller) -> Match {
    match principal {
        Some(Value::String(everyone)) if everyone == "*" => Match::Direct,
        Some(Value::Object(kinds)) => {
            let aws = strings(kinds.get("AWS")).into_iter().map(|name| matches_name(name, policy, caller)).max();
            let service = caller.service.as_deref();
            if service.is_some_and(|service| strings(kinds.get("Service")).contains(&service)) {
                return Match::Direct;
            }
            aws.unwrap_or(Match::No)
        }
        _ => Match::No,
    }
}

fn matches_name(name: &str, policy: Option<&Policy>, caller: &Caller) -> Match {
    if name == "*" {
        return Match::Direct;
    }
    if caller.service.is_some() {
        return Match::No;
    }
    let account = if twelve_digits(name) { Some(name) } else { root_account(name) };
    // A principal is the incarnation that it stood for when it was put (aws-observations #101).
    let bound = policy.and_then(|policy| policy.bindings.get(name));
    if let Some(account) = account {
        return if account == caller.account { Match::Account } else { Match::No };
    }
    let named = bound == Some(&caller.unique_id) || name == caller.unique_id || name == caller.arn;
    if named { Match::Direct } else { Match::No }
}

fn root_account(arn: &str) -> Option<&str> {
    arn.strip_suffix(":root")?.rsplit(':').next()
}

/// The context with what follows from the caller (IAM user guide, "AWS global condition context keys").
fn full_context(iam: &Iam, attempt: &Attempt<'_>) -> Context {
    let mut context = attempt.context.clone();
    let caller = attempt.caller;
    let mut set = |key: &str, values: Vec<String>| {
        context.entry(key.to_owned()).or_insert(values);
    };
    if let Some(service) = &caller.service {
        set("aws:principalisawsservice", vec!["true".to_owned()]);
        set("aws:principalservicename", vec![service.clone()]);
        return context;
    }
    let kind = if caller.arn == caller.principal_arn { "User" } else { "AssumedRole" };
    set("aws:principaltype", vec![kind.to_owned()]);
    set("aws:principalarn", vec![caller.principal_arn.clone()]);
    set("aws:principalaccount", vec![caller.account.clone()]);
    set("aws:userid", vec![caller.user_id.clone()]);
    set("aws:principalisawsservice", vec!["false".to_owned()]);
    if let Some(account) = iam.organization(&caller.account) {
        set("aws:principalorgpaths", account.paths.clone());
        if let Some(organization) = &account.organization {
            set("aws:principalorgid", vec![organization.clone()]);
        }
    }
    context
}

/// Matches `*` and `?`, as in actions, resources and `StringLike`.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // after the last star, and how much it has swallowed
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match retry {
                None => return false,
                Some((after, swallowed)) => {
                    retry = Some((after, swallowed + 1));
                    (at, seen) = (after, swallowed + 1);
                }
            },
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|letter| *letter == b'*'))
}
