//! What a flight means for one object. Pure: the object, how the flight ended, and nothing else.

use busgrant_policy::plan::Obstacle;
use busgrant_policy::{Claim, Document, Finding, Form, Ownership, Plan, Sid, Step};

use super::context::Problem;
use super::flight::Landing;
use super::roster::{Member, Role};
use crate::api::naming::content_hash;
use crate::api::{Compiled, PlannedAction, PlannedStep, Reason, RefusedStatement, StatementStatus, WriteForm};

/// How an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The last read held exactly its statements.
    InSync,
    /// The controller is at work, or tries again by itself.
    Working(Reason, String),
    /// Somebody can mend it outside the object: at first it may mend itself.
    Waiting(Reason, String),
    /// A person must act on the object.
    Stalled(Reason, String),
    /// Puts and edits are stopped, and the bus differs.
    Paused(String),
    /// Its statements are gone, and it may go.
    Gone,
}

/// How an object stands, in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The summary.
    pub verdict: Verdict,
    /// Whether every statement of the spec can be served.
    pub acceptance: Acceptance,
    /// Each statement.
    pub statements: Vec<Judged>,
    /// What would be done, for an object that is only watched.
    pub plan: Vec<PlannedStep>,
}

/// Whether every statement of a spec can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It can.
    Accepted,
    /// It can't.
    Refused(Reason, String),
    /// The spec could not be looked at for its bus.
    Unknown,
}

impl Acceptance {
    /// Of a spec that was compiled.
    pub fn of(compiled: &Compiled) -> Self {
        let Some(first) = compiled.refused.first() else {
            return Self::Accepted;
        };
        let messages: Vec<String> = compiled.refused.iter().map(refusal_text).collect();
        Self::Refused(first.reason, messages.join("; "))
    }
}

/// How one statement stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Why.
    pub reason: Reason,
    /// As the object's status says it.
    pub status: StatementStatus,
}

/// What the flight knows beyond its landing.
pub struct Circumstances<'a> {
    /// Whose the live statements are.
    pub ownership: &'a Ownership,
    /// Whether a call of ours may still take effect.
    pub outcome_open: bool,
    /// Whether documents may be written at all: while an outcome is open they may not for now.
    pub documents_allowed: bool,
    /// What the service said of a statement that it refused.
    pub refusal: &'a dyn Fn(&str) -> Option<String>,
}

/// How an object stands after a flight.
pub fn judge(member: &Member, landing: &Landing, around: &Circumstances) -> Outcome {
    match &member.role {
        Role::Deleting(_) => deleting(member, landing, around),
        _ => standing(member, landing, around),
    }
}

/// An object whose bus can't be worked on at all.
pub fn unworkable(problem: &Problem) -> Outcome {
    let Problem {
        reason,
        message,
        mendable,
    } = problem.clone();
    let (verdict, acceptance) = if mendable {
        (trouble_verdict(problem), Acceptance::Unknown)
    } else {
        (
            Verdict::Stalled(reason, message.clone()),
            Acceptance::Refused(reason, message),
        )
    };
    Outcome {
        verdict,
        acceptance,
        statements: Vec::new(),
        plan: Vec::new(),
    }
}

fn deleting(member: &Member, landing: &Landing, around: &Circumstances) -> Outcome {
    let done = |verdict| Outcome {
        verdict,
        acceptance: Acceptance::Accepted,
        statements: Vec::new(),
        plan: Vec::new(),
    };
    match (&landing.read, &landing.trouble) {
        // With the bus, its policy is gone. The account was checked before the bus was asked for.
        (_, Some(trouble)) if trouble.reason == Reason::EventBusNotFound => done(Verdict::Gone),
        (_, Some(trouble)) => done(Verdict::Waiting(
            trouble.reason,
            format!("while deleting: {}", trouble.message),
        )),
        (None, None) => done(Verdict::Working(
            Reason::Deleting,
            "its statements are being removed".to_owned(),
        )),
        (Some(_), None) if around.outcome_open => {
            let message = "while deleting: a call got no answer and may still take effect".to_owned();
            done(Verdict::Working(Reason::OutcomeUnknown, message))
        }
        (Some(read), None) if member.live_sids(read, around.ownership).is_empty() => done(Verdict::Gone),
        (Some(_), None) => done(Verdict::Working(
            Reason::Deleting,
            "its statements are being removed".to_owned(),
        )),
    }
}

fn standing(member: &Member, landing: &Landing, around: &Circumstances) -> Outcome {
    let Some(compiled) = member.compiled() else {
        return unworkable(&Problem {
            reason: Reason::Applying,
            message: "waiting for the object to be shown with its finalizer".to_owned(),
            mendable: true,
        });
    };
    let mut statements: Vec<Judged> = compiled
        .claims
        .iter()
        .map(|claim| statement(claim, member, landing, around))
        .collect();
    statements.extend(
        compiled
            .refused
            .iter()
            .map(|refused| refused_statement(refused, member, around)),
    );
    let acceptance = Acceptance::of(compiled);
    let plan = planned(&landing.watched, member, around.ownership);
    let verdict = verdict(member, landing, around, &statements, &acceptance, &plan);
    Outcome {
        verdict,
        acceptance,
        statements,
        plan,
    }
}

fn verdict(
    member: &Member,
    landing: &Landing,
    around: &Circumstances,
    statements: &[Judged],
    acceptance: &Acceptance,
    plan: &[PlannedStep],
) -> Verdict {
    if let Acceptance::Refused(reason, message) = acceptance {
        return Verdict::Stalled(*reason, message.clone());
    }
    let unsynced: Vec<&Judged> = statements.iter().filter(|statement| !statement.status.synced).collect();
    let Some(read) = &landing.read else {
        let trouble = landing.trouble.clone().unwrap_or_else(|| Problem {
            reason: Reason::OutcomeUnknown,
            message: "the policy could not be read after the last write".to_owned(),
            mendable: true,
        });
        return trouble_verdict(&trouble);
    };
    let surplus = surplus(member, read, around.ownership);
    if unsynced.is_empty() && surplus.is_empty() {
        return match around.outcome_open {
            false => Verdict::InSync,
            true => Verdict::Working(
                Reason::OutcomeUnknown,
                "a call got no answer and may still take effect; the policy is read again when it no longer can"
                    .to_owned(),
            ),
        };
    }
    if let Role::Watched(_) = member.role {
        let changes = match plan.len() {
            1 => "1 step would make it so".to_owned(),
            steps => format!("{steps} steps would make it so"),
        };
        return match member.object.is_observed() {
            true => Verdict::Stalled(
                Reason::DriftDetected,
                format!("the policy is not what the spec says; {changes}, see status.plan"),
            ),
            false => Verdict::Paused(format!(
                "paused by annotation, and the policy is not what the spec says; {changes}"
            )),
        };
    }
    if let Some(trouble) = &landing.trouble {
        return trouble_verdict(trouble);
    }
    let first = |class: fn(Reason) -> bool| unsynced.iter().find(|statement| class(statement.reason));
    let told = |statement: &Judged| {
        let more = match unsynced.len() {
            1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        let StatementStatus {
            name, message, reason, ..
        } = &statement.status;
        format!("statement {name}: {}{more}", message.as_deref().unwrap_or(reason))
    };
    let permanent: fn(Reason) -> bool = |reason| matches!(reason, Reason::PolicyFull | Reason::DocumentWritesDenied);
    let mendable: fn(Reason) -> bool = |reason| matches!(reason, Reason::StatementRefused | Reason::DocumentBlocked);
    if let Some(statement) = first(permanent) {
        return Verdict::Stalled(statement.reason, told(statement));
    }
    if let Some(statement) = first(mendable) {
        return Verdict::Waiting(statement.reason, told(statement));
    }
    match unsynced.first() {
        Some(statement) => Verdict::Working(statement.reason, told(statement)),
        None => Verdict::Working(
            Reason::Applying,
            format!("{} to be removed", count(surplus.len(), "statement")),
        ),
    }
}

/// What can be mended from outside waits; what is only a matter of time is work.
fn trouble_verdict(trouble: &Problem) -> Verdict {
    let Problem { reason, message, .. } = trouble.clone();
    match reason {
        Reason::ConcurrentModification | Reason::Throttled | Reason::ServiceUnavailable | Reason::OutcomeUnknown => {
            Verdict::Working(reason, message)
        }
        _ => Verdict::Waiting(reason, message),
    }
}

fn statement(claim: &Claim, member: &Member, landing: &Landing, around: &Circumstances) -> Judged {
    let wanted = &claim.statement;
    let sid = &wanted.sid;
    let held = landing
        .read
        .as_ref()
        .map(|read| read.holds(sid.as_str(), &wanted.meaning()));
    let finding = landing.findings.iter().find(|finding| finding.sid == *sid);
    let (reason, message) = match (held, finding) {
        (Some(true), _) => (Reason::InSync, unverified(sid, landing.read.as_ref())),
        (Some(false), _) if matches!(member.role, Role::Watched(_)) => match member.object.is_observed() {
            true => (Reason::DriftDetected, None),
            false => (Reason::Paused, None),
        },
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
    match &finding.obstacle {
        Obstacle::PolicyFull { used, needed, allowed } => {
            let message = format!("the policy uses {used} characters and would need {needed}; {allowed} are allowed");
            (Reason::PolicyFull, Some(message))
        }
        Obstacle::DocumentWritesDenied if around.documents_allowed => {
            let message = "only the whole policy can say it, which is not written while a call may still take effect";
            (Reason::OutcomeUnknown, Some(message.to_owned()))
        }
        Obstacle::DocumentWritesDenied => {
            let message = "only a write of the whole policy can say it, and --document-writes=deny forbids that";
            (Reason::DocumentWritesDenied, Some(message.to_owned()))
        }
        Obstacle::DocumentBlocked { by } => {
            let message =
                format!("the policy can't be written as a whole because of {by}, which somebody else put there");
            (Reason::DocumentBlocked, Some(message))
        }
        Obstacle::Refused => {
            let said = (around.refusal)(text).unwrap_or_default();
            (Reason::StatementRefused, Some(format!("AWS refused it: {said}")))
        }
        Obstacle::DenyUnserved { deny } => (
            Reason::DenyUnserved,
            Some(format!("held back until the Deny {deny} of this object stands")),
        ),
    }
}

fn refused_statement(refused: &RefusedStatement, member: &Member, around: &Circumstances) -> Judged {
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
    Judged {
        reason: refused.reason,
        status,
    }
}

fn refusal_text(refused: &RefusedStatement) -> String {
    format!("statement {}: {}", refused.name, refused.messages.join(", "))
}

/// Live statements of an object that it does not claim and that are to go.
fn surplus<'a>(member: &Member, read: &'a Document, ownership: &Ownership) -> Vec<&'a str> {
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

fn planned(plan: &Plan, member: &Member, ownership: &Ownership) -> Vec<PlannedStep> {
    let Role::Watched(_) = member.role else {
        return Vec::new();
    };
    let theirs = |sid: &Sid| {
        ownership
            .read(Some(sid.as_str()))
            .is_some_and(|owned| owned.object == member.id)
    };
    let step = |action, sid: &Sid, form| PlannedStep {
        action,
        statement_id: sid.to_string(),
        form,
    };
    let steps = plan.steps.iter().flat_map(|planned| match planned {
        Step::PutStatement { sid, .. } => vec![(PlannedAction::Put, sid, Some(WriteForm::Short))],
        Step::RemoveStatement { sid } => vec![(PlannedAction::Remove, sid, None)],
        Step::PutDocument { puts, drops, .. } => {
            let puts = puts
                .iter()
                .map(|sid| (PlannedAction::Put, sid, Some(WriteForm::Document)));
            puts.chain(
                drops
                    .iter()
                    .map(|sid| (PlannedAction::Remove, sid, Some(WriteForm::Document))),
            )
            .collect()
        }
    });
    steps
        .filter(|(_, sid, _)| theirs(sid))
        .map(|(action, sid, form)| step(action, sid, form))
        .collect()
}

fn write_form(form: Form) -> WriteForm {
    match form {
        Form::Short => WriteForm::Short,
        Form::Document => WriteForm::Document,
    }
}

/// A number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}
