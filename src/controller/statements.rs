//! How each statement of an object stands after a flight, and what would be done about it.

use busgrant_policy::plan::Obstacle;
use busgrant_policy::{Claim, Document, Finding, Form, Ownership, Plan, Sid, Step};

use super::flight::Landing;
use super::judge::Circumstances;
use super::roster::{Member, Role};
use crate::api::naming::content_hash;
use crate::api::{PlannedAction, PlannedStep, Reason, RefusedStatement, StatementStatus, WriteForm};

/// How one statement stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Why.
    pub reason: Reason,
    /// As the object's status says it.
    pub status: StatementStatus,
}

/// A claim.
pub fn statement(claim: &Claim, member: &Member, landing: &Landing, around: &Circumstances) -> Judged {
    let wanted = &claim.statement;
    let sid = &wanted.sid;
    let held = landing.read.as_ref().map(|read| read.holds(sid.as_str(), &wanted.meaning()));
    let finding = landing.findings.iter().find(|finding| finding.sid == *sid);
    let (reason, message) = match (held, finding) {
        (Some(true), _) => (Reason::InSync, unverified(sid, landing.read.as_ref())),
        (Some(false), _) if member.object.is_observed() => (Reason::DriftDetected, None),
        (Some(false), _) if matches!(member.role, Role::Watched(_)) => (Reason::Paused, None),
        (_, Some(finding)) => obstacle(finding, &wanted.to_text(), around),
        (_, None) => match &landing.trouble {
            Some(trouble) => (trouble.reason, Some(trouble.message.clone())),
            None => (Reason::Applying, None),
        },
    };
    let status = StatementStatus {
        name: claim.name.clone(),
        statement_id: sid.to_string(),
        synced: held == Some(true),
        reason: reason.to_string(),
        message,
        form: Some(write_form(Form::of(claim))),
        content_hash: Some(content_hash(wanted)),
    };
    Judged { reason, status }
}

/// An account that AWS did not turn into a root ARN is none that it knows.
fn unverified(sid: &Sid, read: Option<&Document>) -> Option<String> {
    let dead: Vec<&str> = read?.get(sid.as_str())?.dead_principals().collect();
    (!dead.is_empty()).then(|| format!("AWS knows no account {}", dead.join(", ")))
}

fn obstacle(finding: &Finding, text: &str, around: &Circumstances) -> (Reason, Option<String>) {
    if around.documents_allowed && finding.obstacle == Obstacle::DocumentWritesDenied {
        let message = "only the whole policy can say it, which is not written while a call may still take effect";
        return (Reason::OutcomeUnknown, Some(message.to_owned()));
    }
    let (reason, message) = explain(&finding.obstacle);
    match (around.refusal)(text).filter(|_| finding.obstacle == Obstacle::Refused) {
        Some(said) => (reason, Some(format!("{message}: {said}"))),
        None => (reason, Some(message)),
    }
}

/// What stands in the way of a claim, for people.
pub fn explain(obstacle: &Obstacle) -> (Reason, String) {
    match obstacle {
        Obstacle::PolicyFull { used, needed, allowed } => {
            let message = format!("the policy uses {used} characters and would need {needed}; {allowed} are allowed");
            (Reason::PolicyFull, message)
        }
        Obstacle::DocumentWritesDenied => {
            let message = "only a write of the whole policy can say it, and --document-writes=deny forbids that";
            (Reason::DocumentWritesDenied, message.to_owned())
        }
        Obstacle::DocumentBlocked { by } => {
            let message =
                format!("the policy can't be written as a whole because of {by}, which somebody else put there");
            (Reason::DocumentBlocked, message)
        }
        Obstacle::Refused => (Reason::StatementRefused, "AWS refused it".to_owned()),
        Obstacle::Contended => {
            let message = "others changed it three times within ten minutes; it is put back only every ten minutes";
            (Reason::Contended, message.to_owned())
        }
        Obstacle::DenyUnserved { deny } => {
            (Reason::DenyUnserved, format!("held back until the Deny {deny} of this object stands"))
        }
    }
}

/// A statement that can't be served as it is written.
pub fn refused_statement(refused: &RefusedStatement, member: &Member, around: &Circumstances) -> Judged {
    let sid = around.ownership.owner.sid(&member.id, &refused.name, None);
    let status = StatementStatus {
        name: refused.name.clone(),
        statement_id: sid.map_or_else(|_| refused.name.clone(), |sid| sid.to_string()),
        synced: false,
        reason: refused.reason.to_string(),
        message: Some(refused.messages.join("; ")),
        form: None,
        content_hash: None,
    };
    Judged { reason: refused.reason, status }
}

/// What is wrong with a statement, for people.
pub fn refusal_text(refused: &RefusedStatement) -> String {
    format!("statement {}: {}", refused.name, refused.messages.join(", "))
}

/// Live statements of an object that it does not claim and that are to go.
pub fn surplus<'a>(member: &Member, read: &'a Document, ownership: &Ownership) -> Vec<&'a str> {
    let Some(compiled) = member.compiled() else {
        return Vec::new();
    };
    let claimed = |sid: &str| compiled.claims.iter().any(|claim| claim.statement.sid.as_str() == sid);
    let shielded = |sid: &str| {
        let owned = ownership.read(Some(sid));
        owned.is_some_and(|owned| compiled.refused.iter().any(|refused| refused.name == owned.name))
    };
    let mut live = member.live_sids(read, ownership);
    live.retain(|sid| !claimed(sid) && !shielded(sid));
    live
}

/// What would be done for an object that is only watched.
pub fn planned(plan: &Plan, member: &Member, ownership: &Ownership) -> Vec<PlannedStep> {
    let Role::Watched(_) = member.role else {
        return Vec::new();
    };
    let theirs = |sid: &Sid| ownership.read(Some(sid.as_str())).is_some_and(|owned| owned.object == member.id);
    let step = |action, sid: &Sid, form| PlannedStep { action, statement_id: sid.to_string(), form };
    let steps = plan.steps.iter().flat_map(|planned| match planned {
        Step::PutStatement { sid, .. } => vec![(PlannedAction::Put, sid, Some(WriteForm::Short))],
        Step::RemoveStatement { sid } => vec![(PlannedAction::Remove, sid, None)],
        Step::PutDocument { puts, drops, .. } => {
            let puts = puts.iter().map(|sid| (PlannedAction::Put, sid, Some(WriteForm::Document)));
            puts.chain(drops.iter().map(|sid| (PlannedAction::Remove, sid, Some(WriteForm::Document)))).collect()
        }
    });
    steps.filter(|(_, sid, _)| theirs(sid)).map(|(action, sid, form)| step(action, sid, form)).collect()
}

fn write_form(form: Form) -> WriteForm {
    match form {
        Form::Short => WriteForm::Short,
        Form::Document => WriteForm::Document,
    }
}
