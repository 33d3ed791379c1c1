//! STS: `GetCallerIdentity` and `AssumeRole` (AWS Security Token Service API reference).

use crate::dispatch::Underway;
use crate::error::Refusal;
use crate::iam::{Caller, Session};
use crate::state::Core;
use crate::wire::{escape_xml, form_field};

/// Sessions that are kept: expired ones must be told from unknown ones, yet memory is bounded.
const MOST_SESSIONS: usize = 10_000;

pub(crate) fn get_caller_identity(core: &Core, call: &Underway) -> String {
    let Caller { arn, user_id, account, .. } = &call.caller;
    let id = core.lock().0.random.uuid();
    envelope(
        "GetCallerIdentity",
        &format!("<Arn>{}</Arn><UserId>{}</UserId><Account>{account}</Account>", escape_xml(arn), escape_xml(user_id)),
        &id,
    )
}

/// A role can be assumed when it was declared and trusts the caller's account, with the external id if it asks for
/// one. Otherwise the answer is the captured one (aws-observations #99, first samples).
pub(crate) fn assume_role(core: &Core, call: &Underway) -> Result<String, Refusal> {
    let field = |name: &str| form_field(&call.body, name);
    let (role, session_name) = (field("RoleArn"), field("RoleSessionName"));
    let mut problems = Vec::new();
    for (name, value) in [("roleArn", &role), ("roleSessionName", &session_name)] {
        if value.is_none() {
            problems.push(format!("Value null at '{name}' failed to satisfy constraint: Member must not be null"));
        }
    }
    let (role, session_name) = (role.unwrap_or_default(), session_name.unwrap_or_default());
    let name_character = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if problems.is_empty() && !((2..=64).contains(&session_name.len()) && session_name.chars().all(name_character)) {
        let constraint = r"Member must satisfy regular expression pattern: [\w+=,.@-]*";
        problems
            .push(format!("Value '{session_name}' at 'roleSessionName' failed to satisfy constraint: {constraint}"));
    }
    let seconds = field("DurationSeconds").map_or(Some(3600), |text| text.parse::<i64>().ok());
    let Some(seconds) = seconds.filter(|seconds| (900..=43_200).contains(seconds)) else {
        return Err(invalid("The requested DurationSeconds must be between 900 and 43200 seconds."));
    };
    if !problems.is_empty() {
        let plural = if problems.len() == 1 { "error" } else { "errors" };
        return Err(invalid(format!("{} validation {plural} detected: {}", problems.len(), problems.join("; "))));
    }
    let (mut world, now) = core.lock();
    let external_id = field("ExternalId");
    let trusted = world.iam.declared(&role).is_some_and(|principal| {
        principal.trust.iter().any(|trust| {
            trust.account == call.caller.account && (trust.external_id.is_none() || trust.external_id == external_id)
        })
    });
    let Some(caller) = world.iam.role_caller(&role, &session_name).filter(|_| trusted) else {
        let arn = &call.caller.arn;
        let message = format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {role}");
        return Err(Refusal::new(403, "AccessDenied", message));
    };
    let (key, secret) = (format!("ASIA{}", world.random.id(16)), world.random.id(40));
    let (token, request_id) = (world.random.id(160), world.random.uuid());
    let expires = now + seconds * 1000;
    let body = format!(
        "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>{}</Expiration></Credentials>",
        escape_xml(&caller.user_id),
        escape_xml(&caller.arn),
        timestamp(expires / 1000)
    );
    let sessions = &mut world.iam.sessions;
    if sessions.len() >= MOST_SESSIONS {
        sessions.retain(|_, session| session.expires > now);
    }
    if sessions.len() >= MOST_SESSIONS {
        sessions.pop_first();
    }
    sessions.insert(key, Session { caller, token, expires });
    Ok(envelope("AssumeRole", &body, &request_id))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "ValidationError", message)
}

fn envelope(operation: &str, result: &str, request_id: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>{result}\
         </{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </{operation}Response>"
    )
}

/// Seconds since the epoch as ISO 8601, by the civil calendar from days (proleptic Gregorian, eras of 400 years).
pub(crate) fn timestamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468; // from 1970-01-01 to 0000-03-01, so that leap days come last
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn timestamps_are_iso_8601() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(timestamp(1_789_302_753), "2026-09-13T12:32:33Z");
    }
}
