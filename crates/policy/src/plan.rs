//! The way from the live document to the claims: which calls, in which order, and what can't be had.
//!
//! Order: puts before removals, so that nobody loses access in a change; a Deny first and, on the way out, last. What must
//! not go before another step was seen to stand comes after [`Plan::before_read`] steps. Where the document is written
//! anyway, an object that swaps statements or denies changes in that one write.

use std::collections::BTreeSet;

use crate::document::Document;
use crate::ids::Sid;
use crate::ownership::Ownership;
use crate::statement::{Claim, ShortForm};
use crate::survey::{Pending, Survey, blocking_statement, obstacles};
use crate::{room, steps};

/// One call to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `PutPermission(Action, Principal, StatementId, Condition)`.
    PutStatement {
        /// The statement that is put.
        sid: Sid,
        /// What it says.
        form: ShortForm,
    },
    /// `PutPermission(Policy)`. To be written only on a read that nothing came after.
    PutDocument {
        /// The whole document.
        text: String,
        /// The statements of ours that it puts or changes.
        puts: BTreeSet<Sid>,
        /// The statements of ours that it leaves out.
        drops: BTreeSet<Sid>,
    },
    /// `RemovePermission(StatementId)`.
    RemoveStatement {
        /// The statement that goes.
        sid: Sid,
    },
}

/// Whether `PutPermission(Policy)` may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentWrites {
    /// Where nothing narrower can say it.
    Allow,
    /// Never.
    Deny,
}

/// What the plan must keep within.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The size quota of a policy, in characters (10,240 by default, quota L-FC354966).
    pub characters: usize,
    /// Whether the document form may be used.
    pub document_writes: DocumentWrites,
    /// Statements (by [`crate::Statement::to_text`]) that the service refused and that are not to be tried now.
    pub refused: BTreeSet<String>,
    /// Statements (likewise) that others change again and again, and that are not to be put again now.
    pub contended: BTreeSet<String>,
    /// Texts of live statements of others with which the service refuses any document.
    pub blocking: BTreeSet<String>,
    /// Statements of ours to remove before they are put again: the service keeps a dead principal of theirs otherwise.
    pub reset: BTreeSet<Sid>,
    /// Put one new statement by document at a time: the last document was refused, and it is not known for which.
    pub singly: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            characters: 10_240,
            document_writes: DocumentWrites::Allow,
            refused: BTreeSet::new(),
            contended: BTreeSet::new(),
            blocking: BTreeSet::new(),
            reset: BTreeSet::new(),
            singly: false,
        }
    }
}

/// How a statement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By its own Sid alone.
    Short,
    /// With the whole document.
    Document,
}

impl Form {
    /// The narrowest form that can say the claim.
    pub fn of(claim: &Claim) -> Self {
        if claim.statement.short_form().is_some() { Self::Short } else { Self::Document }
    }
}

/// Why a claim is not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The policy has no room: characters it has now, those it would have with the claim, and those allowed.
    PolicyFull {
        /// The live document's characters.
        used: usize,
        /// Characters with this claim, beside what comes before it.
        needed: usize,
        /// The quota.
        allowed: usize,
    },
    /// Only a document can say it, and documents are not to be written.
    DocumentWritesDenied,
    /// Only a document can say it, and a statement that would have to be carried makes the service refuse any.
    DocumentBlocked {
        /// The statement in the way, by Sid where it has one.
        by: String,
    },
    /// The service refused this very statement.
    Refused,
    /// Others change this very statement again and again.
    Contended,
    /// An Allow, held back while a Deny of the same object does not stand.
    DenyUnserved {
        /// The Deny's name in the object.
        deny: String,
    },
}

/// A claim that is not put, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The claim.
    pub sid: Sid,
    /// What stands in its way.
    pub obstacle: Obstacle,
}

/// The steps, and the claims that none of them serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In the order in which they are to be taken.
    pub steps: Vec<Step>,
    /// By Sid.
    pub findings: Vec<Finding>,
    /// How many of the steps may be taken on this read; the rest must be planned again on a read after those.
    pub before_read: usize,
}

/// The steps that lead from `live` to the claims, without touching what is not to be touched.
pub fn plan(claims: &[Claim], live: &Document, ownership: &Ownership, limits: &Limits) -> Plan {
    let survey = Survey::of(claims, live, ownership, limits);
    let blocked = blocking_statement(&survey, live, ownership, limits);
    let mut findings = obstacles(&survey, limits, blocked.as_ref());
    let documents = limits.document_writes == DocumentWrites::Allow && blocked.is_none() && !limits.singly;
    let admission = room::admit(&survey, &findings, live, limits, documents);
    findings.extend(admission.refused);
    let mut outcome = survey.settle(&findings);
    let arranged =
        |outcome: &Survey| steps::arrange(outcome, admission.tight, &admission.late, live, ownership, limits);
    let (mut steps, mut before_read) = arranged(&outcome);
    if steps.is_empty() && !outcome.pending.is_empty() {
        // Nothing goes that they could wait for.
        findings
            .extend(outcome.pending.iter().map(|pending| (pending.sid().clone(), room::full(pending, live, limits))));
        outcome = outcome.settle(&findings);
        (steps, before_read) = arranged(&outcome);
    }
    // One at a time, a Deny can need the room that an Allow of its object makes only after it.
    while let Some(puts) = too_long(&steps[..before_read], live, limits) {
        let (left, others): (Vec<&Pending>, Vec<&Pending>) =
            outcome.pending.iter().partition(|pending| puts.contains(pending.sid()));
        for allow in others.into_iter().filter(|pending| !pending.is_deny()) {
            if let Some(deny) = left.iter().find(|deny| deny.is_deny() && deny.object == allow.object) {
                findings.insert(allow.sid().clone(), Obstacle::DenyUnserved { deny: deny.claim.name.clone() });
            }
        }
        findings.extend(left.into_iter().map(|pending| (pending.sid().clone(), room::full(pending, live, limits))));
        outcome = outcome.settle(&findings);
        (steps, before_read) = arranged(&outcome);
    }
    let findings = findings.into_iter().map(|(sid, obstacle)| Finding { sid, obstacle }).collect();
    Plan { steps, findings, before_read }
}

/// What a document would put that is longer than the quota allows and than the document that it replaces.
fn too_long(steps: &[Step], live: &Document, limits: &Limits) -> Option<BTreeSet<Sid>> {
    let longest = limits.characters.max(live.size());
    steps.iter().find_map(|step| match step {
        Step::PutDocument { text, puts, .. } if text.len() > longest && !puts.is_empty() => Some(puts.clone()),
        _ => None,
    })
}
