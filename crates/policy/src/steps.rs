//! The calls in their order: see [`crate::plan`] for the rules.

use std::collections::BTreeSet;

use crate::document::{Document, LiveStatement};
use crate::ids::{ObjectId, Sid};
use crate::ownership::Ownership;
use crate::plan::{DocumentWrites, Limits, Step};
use crate::room::Tight;
use crate::statement::ShortForm;
use crate::survey::{Pending, Stale, Survey};

/// The steps, and how many of them may be taken before the next read.
pub(crate) fn arrange(
    survey: &Survey,
    tight: Option<Tight>,
    late: &BTreeSet<Sid>,
    live: &Document,
    ownership: &Ownership,
    limits: &Limits,
) -> (Vec<Step>, usize) {
    if let Some(living) = without_the_dead(survey, live, limits) {
        return (vec![living], 1);
    }
    let document = DocumentDraft::of(survey, tight, late, limits);
    let (first, mut last) = removals(survey, tight, &document, live, limits);
    let short = |p: &&Pending| !document.puts.contains(p.sid()) && p.form.is_some();
    let mut shorts: Vec<&Pending> = survey.pending.iter().filter(short).filter(|p| !document.delays(p)).collect();
    // New ones before changes, which take away what stood; where room is short, what shrinks before what grows.
    match tight {
        None => shorts.sort_by_key(|p| p.sitting > 0),
        Some(_) => shorts.sort_by_key(|p| p.text.len() > p.sitting),
    }
    let (late, shorts): (Vec<&Pending>, Vec<&Pending>) = shorts.into_iter().partition(|p| late.contains(p.sid()));
    // While statements go into the document one at a time, what others of them replace stays.
    let served = |sid: &Sid| document.puts.contains(sid) || shorts.iter().chain(&late).any(|p| p.sid() == sid);
    last.retain(|stale| stale.heirs.iter().all(served));
    let singly = survey.pending.iter().filter(|p| limits.singly && document.puts.contains(p.sid()));
    let putting: BTreeSet<&ObjectId> = shorts.iter().copied().chain(singly).map(|p| p.object).collect();
    let giving: BTreeSet<ObjectId> = last.iter().filter(|s| !s.is_deny()).map(|s| s.owned.object.clone()).collect();
    let waits = |stale: &Stale| {
        putting.contains(&stale.owned.object) || (stale.is_deny() && giving.contains(&stale.owned.object))
    };
    last.sort_by_key(|stale| (waits(stale), stale.is_deny(), stale.sid.clone()));

    let mut steps: Vec<Step> = first.iter().map(|sid| Step::RemoveStatement { sid: (*sid).clone() }).collect();
    let removed_first = steps.len();
    let again = document.write(survey, &first, live, ownership, &mut steps);
    let wrote_document = steps.len() > removed_first;
    let put = |(sid, form): (&Sid, ShortForm)| Step::PutStatement { sid: sid.clone(), form };
    let form = |p: &&Pending| Some((p.form.clone()?, p.sid().clone()));
    steps.extend(shorts.iter().filter_map(form).map(|(form, sid)| put((&sid, form))));
    steps.extend(again.into_iter().map(put));
    steps.extend(last.iter().map(|stale| Step::RemoveStatement { sid: stale.sid.clone() }));
    let before_late = steps.len();
    steps.extend(late.iter().filter_map(form).map(|(form, sid)| put((&sid, form))));

    let waiting = last.iter().filter(|stale| waits(stale)).count();
    let room_first = tight == Some(Tight::RemoveFirst) || wrote_document;
    let before_read = match before_late - waiting {
        _ if room_first && removed_first > 0 => removed_first,
        // Late ones wait for something that goes; without it they have no room.
        0 => {
            steps.clear();
            0
        }
        first => first,
    };
    (steps, before_read)
}

/// What a document would put and leave out.
#[derive(Default)]
struct DocumentDraft {
    puts: BTreeSet<Sid>,
    drops: BTreeSet<Sid>,
    /// Objects with a Deny that is not in the document yet, while statements go in one at a time.
    awaiting_deny: BTreeSet<ObjectId>,
    /// The one claim that is put on this read, where room is short as well.
    only: Option<Sid>,
}

impl DocumentDraft {
    fn of(survey: &Survey, tight: Option<Tight>, late: &BTreeSet<Sid>, limits: &Limits) -> Self {
        let mut draft = Self::default();
        let needs = |p: &&Pending| p.form.is_none();
        let mut needing: Vec<&Pending> = survey.pending.iter().filter(needs).collect();
        if limits.singly {
            needing.sort_by_key(|p| (!p.is_deny(), p.sid().clone()));
            draft.awaiting_deny.extend(needing.iter().filter(|p| p.is_deny()).map(|p| p.object.clone()));
            if tight.is_none() {
                draft.puts.extend(needing.first().map(|p| p.sid().clone()));
                return draft;
            }
            // Where room is short, one at a time whatever its form, what shrinks before what grows.
            let eligible = survey.pending.iter().filter(|p| !draft.delays(p) && !late.contains(p.sid()));
            let next = eligible.min_by_key(|p| (p.text.len().saturating_sub(p.sitting), p.text.len(), p.sid().clone()));
            draft.only = next.map(|p| p.sid().clone());
            draft.puts.extend(next.filter(|p| p.form.is_none()).map(|p| p.sid().clone()));
            return draft;
        }
        // Where room is short, one document puts everything, so that what shrinks makes room for what grows.
        let swap = tight == Some(Tight::Swap) || (tight.is_some() && !needing.is_empty());
        if needing.is_empty() && !swap {
            return draft;
        }
        draft.puts.extend(needing.iter().map(|p| p.sid().clone()));
        let swapping = |object: &ObjectId| survey.stale.iter().any(|s| !s.released && s.owned.object == *object);
        let denying = |object: &ObjectId| survey.pending.iter().any(|p| p.is_deny() && p.object == object);
        for pending in &survey.pending {
            if swap || swapping(pending.object) || denying(pending.object) {
                draft.puts.insert(pending.sid().clone());
                let theirs = survey.stale.iter().filter(|s| !s.released && s.owned.object == *pending.object);
                draft.drops.extend(theirs.map(|s| s.sid.clone()));
            }
        }
        draft
    }

    /// Whether a put must wait: until a Deny of its object stands, or for another put.
    fn delays(&self, pending: &Pending) -> bool {
        let another = self.only.as_ref().is_some_and(|only| only != pending.sid());
        another || (self.awaiting_deny.contains(pending.object) && !pending.is_deny())
    }

    /// Appends the write of the document, if there is one; gives the short puts that must follow it.
    fn write<'a>(
        &self,
        survey: &'a Survey,
        removed: &[&Sid],
        live: &Document,
        ownership: &Ownership,
        steps: &mut Vec<Step>,
    ) -> Vec<(&'a Sid, ShortForm)> {
        if self.puts.is_empty() {
            return Vec::new();
        }
        let mut again = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        for statement in live.statements() {
            let sid = statement.sid().unwrap_or_default();
            if removed.iter().any(|gone| gone.as_str() == sid) || self.drops.iter().any(|gone| gone.as_str() == sid) {
                continue;
            }
            let put = survey.pending.iter().find(|p| p.sid().as_str() == sid && self.puts.contains(p.sid()));
            if let Some(put) = put {
                if placed.insert(put.sid().as_str()) {
                    texts.push(put.text.clone());
                }
            } else if ownership.is_foreign(statement.sid()) || statement.dead_principals().next().is_none() {
                texts.push(statement.text().to_owned());
            } else if let Some((sid, (claim, _))) = survey.standing.iter().find(|(ours, _)| ours.as_str() == sid) {
                // An account that does not exist stands by the short form alone, so it is put again by that.
                again.extend(claim.statement.short_form().map(|form| (*sid, form)));
            } else if survey.may_change(sid) {
                texts.extend(statement.text_of_the_living());
            } else {
                texts.push(statement.text().to_owned());
            }
        }
        let mut new: Vec<&Pending> = survey.pending.iter().collect();
        new.retain(|p| self.puts.contains(p.sid()) && !placed.contains(p.sid().as_str()));
        new.sort_by_key(|p| (!p.is_deny(), p.sid().clone()));
        texts.extend(new.iter().map(|p| p.text.clone()));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        steps.push(Step::PutDocument { text: live.render(&texts), puts: self.puts.clone(), drops: self.drops.clone() });
        again
    }
}

/// Where the service keeps a dead principal of ours although the statement was put again: the document without the dead, so
/// that the next put says something else, and those who live keep what they have meanwhile. Where nobody of a statement
/// lives, it is removed instead.
fn without_the_dead(survey: &Survey, live: &Document, limits: &Limits) -> Option<Step> {
    if limits.document_writes == DocumentWrites::Deny {
        return None;
    }
    let resets = |sid: Option<&str>| {
        let pending = survey.pending.iter().map(Pending::sid);
        limits.reset.iter().any(|reset| Some(reset.as_str()) == sid)
            && pending.into_iter().any(|p| Some(p.as_str()) == sid)
    };
    let living = |one: &LiveStatement| resets(one.sid()).then(|| one.text_of_the_living()).flatten();
    live.statements().iter().find_map(living)?;
    let texts: Vec<String> =
        live.statements().iter().map(|one| living(one).unwrap_or_else(|| one.text().to_owned())).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Some(Step::PutDocument { text: live.render(&texts), puts: BTreeSet::new(), drops: BTreeSet::new() })
}

/// What is removed before anything is put, and after.
fn removals<'a>(
    survey: &'a Survey,
    tight: Option<Tight>,
    document: &DocumentDraft,
    live: &Document,
    limits: &'a Limits,
) -> (Vec<&'a Sid>, Vec<&'a Stale<'a>>) {
    let goes_first = |stale: &Stale| tight == Some(Tight::RemoveFirst) && stale.may_go_first();
    let reset =
        limits.reset.iter().filter(|sid| live.contains(sid.as_str()) && survey.pending.iter().any(|p| p.sid() == *sid));
    let first = survey.stale.iter().filter(|s| goes_first(s)).map(|s| &s.sid).chain(reset).collect();
    let last = survey.stale.iter().filter(|s| !goes_first(s) && !document.drops.contains(&s.sid)).collect();
    (first, last)
}
