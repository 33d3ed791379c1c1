//! What fits under the size quota. Statements that sit come first, then older objects; a newcomer or a grower never pushes
//! out a sitting grant.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Document;
use crate::ids::{ObjectId, Sid};
use crate::plan::{Limits, Obstacle};
use crate::survey::{Pending, Stale, Survey};

/// Which claims do not fit, and whether the way there is too narrow to put before removing.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) refused: BTreeMap<Sid, Obstacle>,
    pub(crate) tight: Option<Tight>,
    /// Claims that find room only when something else is gone.
    pub(crate) late: BTreeSet<Sid>,
}

/// How room is made where old and new do not fit side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tight {
    /// Statements that shrink are put before those that grow.
    ShrinkFirst,
    /// What goes anyway goes first.
    RemoveFirst,
    /// One document takes out the old and puts in the new at once.
    Swap,
}

/// Claims that are admitted together if they can be: of one statement, or of one object that waits for a Deny.
struct Group<'a, 'b> {
    pending: Vec<&'b Pending<'a>>,
    replaced: Vec<&'b Stale<'a>>,
}

/// A comma goes with every statement, so a document is its frame and these, less one comma.
fn cost(size: usize) -> isize {
    if size == 0 { 0 } else { signed(size + 1) }
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

fn growth(pending: &Pending) -> isize {
    cost(pending.text.len()) - cost(pending.sitting)
}

fn stale_cost(stale: &Stale) -> isize {
    cost(stale.live.map_or(0, super::document::LiveStatement::size))
}

impl Group<'_, '_> {
    fn net(&self) -> isize {
        self.pending.iter().map(|p| growth(p)).sum::<isize>() - self.freed()
    }

    fn freed(&self) -> isize {
        self.replaced.iter().map(|s| stale_cost(s)).sum()
    }

    /// What shrinks first, then what sits, then by age.
    fn rank(&self) -> (u8, &(String, String), &str) {
        let sits = !self.replaced.is_empty() || self.pending.iter().any(|p| p.sitting > 0);
        let class = match (self.net() <= 0, sits) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        let first = self.pending[0];
        (class, &first.standing.seniority, &first.claim.name)
    }
}

/// Sorts pending claims without a finding into those that fit and those that do not.
pub(crate) fn admit(
    survey: &Survey,
    findings: &BTreeMap<Sid, Obstacle>,
    live: &Document,
    limits: &Limits,
    documents: bool,
) -> Admission {
    let open: Vec<&Pending> = survey.pending.iter().filter(|p| !findings.contains_key(p.sid())).collect();
    let going: Vec<&Stale> =
        survey.stale.iter().filter(|s| !s.heirs.iter().any(|heir| findings.contains_key(heir))).collect();
    let mut groups = groups(&open, &going);
    groups.sort_by(|a, b| a.rank().cmp(&b.rank()));

    let used = signed(live.frame_size()) - 1;
    let mut room = Room { used, live: live.size(), allowed: limits.characters, admitted: BTreeSet::new() };
    room.used += live.statements().iter().map(|s| cost(s.size())).sum::<isize>();
    for stale in going.iter().filter(|s| s.heirs.is_empty()) {
        room.used -= stale_cost(stale);
    }
    let mut refused = BTreeMap::new();
    // What one group frees may be what another before it lacked: until nothing more fits.
    let mut admitted = usize::MAX;
    while admitted != room.admitted.len() {
        admitted = room.admitted.len();
        for group in &groups {
            room.admit(group);
        }
    }
    for group in &groups {
        let left_out = group.pending.iter().filter(|p| !room.admitted.contains(p.sid()));
        refused.extend(left_out.map(|p| (p.sid().clone(), room.refusal(group, p))));
    }
    let mut late = BTreeSet::new();
    let tight = way_through(&groups, &going, live, limits, documents, &mut refused, &mut late);
    Admission { refused, tight, late }
}

fn groups<'a, 'b>(open: &[&'b Pending<'a>], going: &[&'b Stale<'a>]) -> Vec<Group<'a, 'b>> {
    let denying: BTreeSet<&ObjectId> = open.iter().filter(|p| p.is_deny()).map(|p| p.object).collect();
    let mut by_key: BTreeMap<(&ObjectId, Option<&str>), Group> = BTreeMap::new();
    for pending in open {
        let name = (!denying.contains(pending.object)).then_some(pending.claim.name.as_str());
        let group = by_key.entry((pending.object, name)).or_insert_with(|| Group { pending: vec![], replaced: vec![] });
        group.pending.push(pending);
    }
    // Each statement that goes makes room once, for the first group that goes on with what it gave.
    let mut groups: Vec<Group> = by_key.into_values().collect();
    for stale in going {
        let heir = groups.iter_mut().find(|g| g.pending.iter().any(|p| stale.replaced_by(p)));
        if let Some(group) = heir {
            group.replaced.push(stale);
        }
    }
    for group in &mut groups {
        group.pending.sort_by_key(|p| (!p.is_deny(), p.sid().clone()));
    }
    groups
}

/// A claim that has no room beside what is there.
pub(crate) fn full(pending: &Pending, live: &Document, limits: &Limits) -> Obstacle {
    let needed = usize::try_from(signed(live.size().max(live.frame_size())) + growth(pending)).unwrap_or(0);
    Obstacle::PolicyFull { used: live.size(), needed, allowed: limits.characters }
}

struct Room<'b> {
    used: isize,
    live: usize,
    allowed: usize,
    admitted: BTreeSet<&'b Sid>,
}

impl<'b> Room<'b> {
    /// Admits of a group what fits now: all of it, or each claim with the room that only it makes.
    fn admit(&mut self, group: &Group<'_, 'b>) {
        let open: Vec<&'b Pending> =
            group.pending.iter().copied().filter(|p| !self.admitted.contains(p.sid())).collect();
        let net = open.iter().map(|p| growth(p)).sum::<isize>() - self.freed(group, &open);
        if !open.is_empty() && self.fits(net) {
            self.used += net;
            self.admitted.extend(open.iter().map(|p| p.sid()));
            return;
        }
        for pending in open {
            let net = growth(pending) - self.freed(group, &[pending]);
            if self.fits(net) && (pending.is_deny() || self.missing_deny(group).is_none()) {
                self.used += net;
                self.admitted.insert(pending.sid());
            }
        }
    }

    /// What goes once these are admitted, and would not go before.
    fn freed(&self, group: &Group, more: &[&Pending]) -> isize {
        let admitted = |p: &Pending| self.admitted.contains(p.sid()) || more.iter().any(|m| m.sid() == p.sid());
        let heirs = |stale: &Stale| group.pending.iter().copied().filter(|p| stale.replaced_by(p)).collect::<Vec<_>>();
        let freed = group.replaced.iter().filter(|stale| {
            let heirs = heirs(stale);
            heirs.iter().all(|p| admitted(p)) && !heirs.iter().all(|p| self.admitted.contains(p.sid()))
        });
        freed.map(|stale| stale_cost(stale)).sum()
    }

    fn missing_deny(&self, group: &Group<'_, 'b>) -> Option<&'b Pending<'_>> {
        group.pending.iter().copied().find(|p| p.is_deny() && !self.admitted.contains(p.sid()))
    }

    fn fits(&self, more: isize) -> bool {
        more <= 0 || self.used + more <= signed(self.allowed)
    }

    /// Why a claim was left out in the end.
    fn refusal(&self, group: &Group<'_, 'b>, pending: &Pending) -> Obstacle {
        if let Some(deny) = self.missing_deny(group).filter(|_| !pending.is_deny()) {
            return Obstacle::DenyUnserved { deny: deny.claim.name.clone() };
        }
        let needed = self.used + growth(pending) - self.freed(group, &[pending]);
        let needed = usize::try_from(needed).unwrap_or(0);
        Obstacle::PolicyFull { used: self.live, needed, allowed: self.allowed }
    }
}

/// Whether everything admitted can be put before anything goes; where not, how, or what must wait after all.
fn way_through(
    groups: &[Group],
    going: &[&Stale],
    live: &Document,
    limits: &Limits,
    documents: bool,
    refused: &mut BTreeMap<Sid, Obstacle>,
    late: &mut BTreeSet<Sid>,
) -> Option<Tight> {
    let admitted: Vec<&Pending> =
        groups.iter().flat_map(|g| &g.pending).copied().filter(|p| !refused.contains_key(p.sid())).collect();
    let allowed = signed(limits.characters);
    let base = signed(live.size().max(live.frame_size()));
    let grown: isize = admitted.iter().map(|p| growth(p).max(0)).sum();
    if grown == 0 || base + grown <= allowed {
        return None;
    }
    let mut peak = base + admitted.iter().map(|p| growth(p)).sum::<isize>();
    if peak <= allowed {
        return Some(Tight::ShrinkFirst);
    }
    if going.iter().any(|stale| stale.may_go_first() && stale.live.is_some()) {
        return Some(Tight::RemoveFirst);
    }
    if documents {
        return Some(Tight::Swap);
    }
    // Youngest first: those that would need the room of what they replace keep what they have.
    for group in groups.iter().rev().filter(|g| !g.replaced.is_empty()) {
        for pending in &group.pending {
            if peak <= allowed || growth(pending) <= 0 || refused.contains_key(pending.sid()) {
                continue;
            }
            let needed = usize::try_from(peak).unwrap_or(0);
            let full = Obstacle::PolicyFull { used: live.size(), needed, allowed: limits.characters };
            refused.insert(pending.sid().clone(), full);
            peak -= growth(pending);
        }
        let unserved = group.pending.iter().find(|p| p.is_deny() && refused.contains_key(p.sid()));
        if let Some(deny) = unserved.map(|deny| deny.claim.name.clone()) {
            for allow in group.pending.iter().filter(|p| !p.is_deny()) {
                let held = Obstacle::DenyUnserved { deny: deny.clone() };
                refused.entry(allow.sid().clone()).or_insert(held);
            }
        }
    }
    // What was counted on to go goes after what replaces it, and only then is there room for these.
    let newcomers = groups.iter().rev().filter(|g| g.replaced.is_empty()).flat_map(|g| &g.pending);
    for pending in newcomers.filter(|p| growth(p) > 0 && !refused.contains_key(p.sid())) {
        if peak > allowed {
            late.insert(pending.sid().clone());
            peak -= growth(pending);
        }
    }
    Some(Tight::ShrinkFirst)
}
