//! STS: `GetCallerIdentity` and `AssumeRole` (AWS Security Token Service API reference).

use jiff::Timestamp;

use crate::core::Core;
use crate::dispatch::Underway;
use crate::error::{Outcome, Refusal};
use crate::iam::{Caller, Session};
use crate::input::{Input, SESSION_NAME, Shape};
use crate::wire::escape_xml;

/// Sessions that are kept: expired ones must be told from unknown ones, yet memory is bounded.
const MOST_SESSIONS: usize = 10_000;

pub(crate) fn get_caller_identity(call: &Underway) -> String {
    let Caller { arn, user_id, account, .. } = &call.caller;
    let (arn, user_id) = (escape_xml(arn), escape_xml(user_id));
    format!("<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{account}</Account>")
}

/// A role can be assumed when it was declared and trusts the caller's account, with the external id if it asks for
/// one. Otherwise the answer is the captured one (aws-observations #99, first samples).
pub(crate) fn assume_role(core: &Core, call: &Underway) -> Outcome {
    let mut input = Input::of(&call.input);
    let invalid = |message: &str| Refusal::new(400, "ValidationError", message);
    let role = input.required("RoleArn", &Shape::any(20, 2048))?;
    let session = input.required("RoleSessionName", &SESSION_NAME)?;
    let (duration, external_id) = (input.any("DurationSeconds")?, input.any("ExternalId")?);
    input.finish().map_err(|refusal| invalid(&refusal.message))?;
    let seconds = duration.map_or(Ok(3600), str::parse::<i64>);
    let Some(seconds) = seconds.ok().filter(|seconds| (900..=43_200).contains(seconds)) else {
        return Err(invalid("The requested DurationSeconds must be between 900 and 43200 seconds."));
    };
    let mut world = core.lock();
    let declared = world.iam.declared(role).filter(|_| role.contains(":role/"));
    let trusted = declared.into_iter().flat_map(|role| &role.trust).any(|trust| {
        trust.account == call.caller.account
            && (trust.external_id.is_none() || trust.external_id.as_deref() == external_id)
    });
    let Some(caller) = world.iam.caller(role, session).filter(|_| trusted) else {
        let arn = &call.caller.arn;
        let message = format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {role}");
        return Err(Refusal::new(403, "AccessDenied", message));
    };
    let (now, random) = (world.now, &mut world.random);
    let (key, secret, token) = (format!("ASIA{}", random.id(16)), random.id(40), random.id(160));
    let expires = now + seconds * 1000;
    let body = format!(
        "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>{}</Expiration></Credentials>",
        escape_xml(&caller.user_id),
        escape_xml(&caller.arn),
        Timestamp::from_second(expires / 1000).unwrap_or(Timestamp::MAX)
    );
    let sessions = &mut world.iam.sessions;
    let oldest = sessions.iter().min_by_key(|(_, session)| session.expires).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest.filter(|_| sessions.len() >= MOST_SESSIONS) {
        sessions.remove(&oldest);
    }
    sessions.insert(key, Session { caller, token, expires });
    Ok(body)
}
