//! What a flight means for one object. Pure: the object, how the flight ended, and nothing else.

use busgrant_policy::{Document, Ownership, Stance};

use super::flight::Landing;
use super::retry::Problem;
use super::roster::{Member, Role};
use super::statements::{Judged, planned, refusal_text, refused_statement, statement, surplus};
use crate::api::{Compiled, PlannedStep, Reason, StatementStatus};

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

impl Verdict {
    /// Why, in one word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InSync => Reason::InSync,
            Self::Working(reason, _) | Self::Waiting(reason, _) | Self::Stalled(reason, _) => *reason,
            Self::Paused(_) => Reason::Paused,
            Self::Gone => Reason::Deleting,
        }
    }
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
    let Problem { reason, message, mendable } = problem.clone();
    let (verdict, acceptance) = if mendable {
        (trouble_verdict(problem), Acceptance::Unknown)
    } else {
        (Verdict::Stalled(reason, message.clone()), Acceptance::Refused(reason, message))
    };
    Outcome { verdict, acceptance, statements: Vec::new(), plan: Vec::new() }
}

fn deleting(member: &Member, landing: &Landing, around: &Circumstances) -> Outcome {
    let done =
        |verdict| Outcome { verdict, acceptance: Acceptance::Accepted, statements: Vec::new(), plan: Vec::new() };
    let confirmed = match around.ownership.stance(&member.id) {
        Some(Stance::Released { named }) => named.is_empty(),
        _ => false,
    };
    let clear = |read: &Document| confirmed && member.live_sids(read, around.ownership).is_empty();
    match (&landing.read, &landing.trouble) {
        _ if around.outcome_open => {
            let message = "while deleting: a call got no answer and may still take effect".to_owned();
            done(Verdict::Working(Reason::OutcomeUnknown, message))
        }
        // With the bus, its policy is gone. The account was checked before the bus was asked for.
        (None, Some(trouble)) if trouble.reason == Reason::EventBusNotFound => done(Verdict::Gone),
        (Some(read), _) if clear(read) => done(Verdict::Gone),
        (_, Some(trouble)) => {
            let message = format!("while deleting: {}", trouble.message);
            done(trouble_verdict(&Problem { message, ..trouble.clone() }))
        }
        _ => done(Verdict::Working(Reason::Deleting, "its statements are being removed".to_owned())),
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
    let mut statements: Vec<Judged> =
        compiled.claims.iter().map(|claim| statement(claim, member, landing, around)).collect();
    statements.extend(compiled.refused.iter().map(|refused| refused_statement(refused, member, around)));
    let acceptance = Acceptance::of(compiled);
    let plan = planned(&landing.watched, member, around.ownership);
    let verdict = verdict(member, landing, around, &statements, &acceptance, &plan);
    Outcome { verdict, acceptance, statements, plan }
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
        if !around.outcome_open {
            return Verdict::InSync;
        }
        let message = "a call got no answer and may still take effect; the policy is read again when it no longer can";
        return Verdict::Working(Reason::OutcomeUnknown, message.to_owned());
    }
    if let Role::Watched(_) = member.role {
        let changes = match plan.len() {
            1 => "1 step would make it so".to_owned(),
            steps => format!("{steps} steps would make it so"),
        };
        if member.object.is_observed() {
            let message = format!("the policy is not what the spec says; {changes}, see status.plan");
            return Verdict::Stalled(Reason::DriftDetected, message);
        }
        return Verdict::Paused(format!("paused by annotation, and the policy is not what the spec says; {changes}"));
    }
    if let Some(trouble) = &landing.trouble {
        return trouble_verdict(trouble);
    }
    let first = |class: fn(Reason) -> bool| unsynced.iter().find(|statement| class(statement.reason));
    let told = |statement: &Judged| {
        let more = match unsynced.len() {
            1 => String::new(),
            several => format!(" (and {} more)", count(several - 1, "statement")),
        };
        let StatementStatus { name, message, reason, .. } = &statement.status;
        format!("statement {name}: {}{more}", message.as_deref().unwrap_or(reason))
    };
    let permanent: fn(Reason) -> bool = |reason| matches!(reason, Reason::PolicyFull | Reason::DocumentWritesDenied);
    let mendable: fn(Reason) -> bool =
        |reason| matches!(reason, Reason::StatementRefused | Reason::DocumentBlocked | Reason::Contended);
    if let Some(statement) = first(permanent) {
        return Verdict::Stalled(statement.reason, told(statement));
    }
    if let Some(statement) = first(mendable) {
        return Verdict::Waiting(statement.reason, told(statement));
    }
    match unsynced.first() {
        Some(statement) => Verdict::Working(statement.reason, told(statement)),
        None => Verdict::Working(Reason::Applying, format!("{} to be removed", count(surplus.len(), "statement"))),
    }
}

/// What can be mended from outside waits; what is only a matter of time is work.
fn trouble_verdict(trouble: &Problem) -> Verdict {
    let Problem { reason, message, .. } = trouble.clone();
    if trouble.passes() { Verdict::Working(reason, message) } else { Verdict::Waiting(reason, message) }
}

/// A number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
