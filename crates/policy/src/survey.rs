//! What is there against what is wanted: the claims that do not stand, the statements that no one claims any more, and the
//! claims that can't be served whatever the room.

use std::collections::BTreeMap;

use crate::document::{Document, LiveStatement};
use crate::ids::{ObjectId, OwnedSid, Sid};
use crate::ownership::{Ownership, Stance, Standing};
use crate::plan::{DocumentWrites, Limits, Obstacle};
use crate::statement::{Claim, Effect, ShortForm};

/// A claim whose statement does not stand as it should.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    pub(crate) claim: &'a Claim,
    pub(crate) object: &'a ObjectId,
    pub(crate) standing: &'a Standing,
    pub(crate) text: String,
    /// The size of the live statement of this Sid, 0 without one.
    pub(crate) sitting: usize,
    pub(crate) form: Option<ShortForm>,
}

/// A live statement that is to go.
#[derive(Debug)]
pub(crate) struct Stale<'a> {
    pub(crate) sid: Sid,
    pub(crate) owned: OwnedSid,
    /// Absent where the read does not show it, yet it must be removed all the same.
    pub(crate) live: Option<&'a LiveStatement>,
    /// The whole object goes, not this statement alone.
    pub(crate) released: bool,
    /// The pending claims under which what it gives is meant to go on: it goes only when all of them stand.
    pub(crate) heirs: Vec<Sid>,
    /// A Deny, and Allows of its object go too: it goes after them.
    pub(crate) guards: bool,
}

/// Live against wanted.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    pub(crate) pending: Vec<Pending<'a>>,
    pub(crate) stale: Vec<Stale<'a>>,
    /// Claims that stand already.
    pub(crate) standing: BTreeMap<&'a Sid, (&'a Claim, &'a ObjectId)>,
}

impl Pending<'_> {
    pub(crate) fn sid(&self) -> &Sid {
        &self.claim.statement.sid
    }

    pub(crate) fn is_deny(&self) -> bool {
        self.claim.statement.effect == Effect::Deny
    }
}

impl Stale<'_> {
    /// A statement that is not understood counts as a Deny: removed too late it takes away, too early it gives.
    pub(crate) fn is_deny(&self) -> bool {
        let meaning = self.live.map(LiveStatement::meaning);
        meaning.is_some_and(|meaning| meaning.is_none_or(|meaning| meaning.effect() == Effect::Deny))
    }

    /// Whether it may go before anything is put.
    pub(crate) fn may_go_first(&self) -> bool {
        self.heirs.is_empty() && !self.guards
    }

    /// Whether it makes way for that claim.
    pub(crate) fn replaced_by(&self, pending: &Pending) -> bool {
        self.heirs.contains(pending.sid())
    }

    /// The claims of the same name, else the first that says the same under another name.
    ///
    /// A Deny goes only when every Deny of its object stands: it holds back Allows that it is not named with.
    fn find_heirs(
        &self,
        pending: &[Pending],
        standing: &BTreeMap<&Sid, (&Claim, &ObjectId)>,
        limits: &Limits,
    ) -> Vec<Sid> {
        if self.released {
            return Vec::new();
        }
        if self.is_deny() {
            let denies = pending.iter().filter(|p| self.owned.object == *p.object && p.is_deny());
            return denies.map(|p| p.sid().clone()).collect();
        }
        let siblings = || pending.iter().filter(|p| self.owned.object == *p.object);
        let named: Vec<Sid> = siblings().filter(|p| p.claim.name == self.owned.name).map(|p| p.sid().clone()).collect();
        if !named.is_empty() {
            return named;
        }
        let meaning = self.live.and_then(LiveStatement::meaning);
        let same = |claim: &Claim, object: Option<&ObjectId>| {
            object == Some(&self.owned.object) && Some(&claim.statement.meaning()) == meaning
        };
        if standing.values().any(|(claim, object)| same(claim, Some(object))) {
            return Vec::new();
        }
        let denied = limits.document_writes == DocumentWrites::Deny;
        let mut same: Vec<&Pending> = pending.iter().filter(|p| same(p.claim, Some(p.object))).collect();
        same.sort_by_key(|p| (limits.refused.contains(&p.text), denied && p.form.is_none(), p.sid().clone()));
        same.first().map(|p| p.sid().clone()).into_iter().collect()
    }
}

impl<'a> Survey<'a> {
    pub(crate) fn of(claims: &'a [Claim], live: &'a Document, ownership: &'a Ownership, limits: &Limits) -> Self {
        let mut survey = Self { pending: Vec::new(), stale: Vec::new(), standing: BTreeMap::new() };
        let claims = enforced(claims, ownership);
        for (sid, (claim, object, standing)) in &claims {
            if live.holds(sid.as_str(), &claim.statement.meaning()) {
                survey.standing.insert(sid, (claim, object));
            } else {
                survey.pending.push(Pending {
                    claim,
                    object,
                    standing,
                    text: claim.statement.to_text(),
                    sitting: live.get(sid.as_str()).map_or(0, LiveStatement::size),
                    form: claim.statement.short_form(),
                });
            }
        }
        let mut stale: BTreeMap<Sid, Stale> = BTreeMap::new();
        for (sid, owned) in named_for_removal(ownership) {
            stale.insert(sid.clone(), Stale { sid, owned, live: None, released: true, heirs: vec![], guards: false });
        }
        for statement in live.statements() {
            let Some(owned) = ownership.read(statement.sid()) else {
                continue;
            };
            let Some(Ok(sid)) = statement.sid().map(str::parse::<Sid>) else {
                continue;
            };
            let released = match ownership.stance(&owned.object) {
                Some(Stance::Released { .. }) => true,
                Some(Stance::Enforced { unserved }) if !unserved.contains_key(&owned.name) => false,
                _ => continue,
            };
            let found =
                Stale { sid: sid.clone(), owned, live: Some(statement), released, heirs: vec![], guards: false };
            let kept_for_deny =
                found.is_deny() && !released && invalid_deny_of(ownership, &found.owned.object).is_some();
            if !claims.contains_key(&sid) && !kept_for_deny {
                stale.insert(sid, found);
            }
        }
        survey.stale = stale.into_values().collect();
        let allows: Vec<ObjectId> =
            survey.stale.iter().filter(|s| !s.is_deny()).map(|s| s.owned.object.clone()).collect();
        for stale in &mut survey.stale {
            stale.heirs = stale.find_heirs(&survey.pending, &survey.standing, limits);
            stale.guards = stale.is_deny() && allows.contains(&stale.owned.object);
        }
        survey
    }

    /// Whether a live statement of that Sid is one that the plan puts or removes.
    pub(crate) fn may_change(&self, sid: &str) -> bool {
        self.pending.iter().any(|p| p.sid().as_str() == sid) || self.stale.iter().any(|s| s.sid.as_str() == sid)
    }

    /// Leaves what will be done: claims without a finding, and statements that nothing unserved still needs.
    pub(crate) fn settle(mut self, findings: &BTreeMap<Sid, Obstacle>) -> Self {
        self.pending.retain(|pending| !findings.contains_key(pending.sid()));
        self.stale.retain(|stale| !stale.heirs.iter().any(|heir| findings.contains_key(heir)));
        self
    }
}

type Wanted<'a> = (&'a Claim, &'a ObjectId, &'a Standing);

/// The claims of objects whose claims count, each under a Sid that is theirs.
fn enforced<'a>(claims: &'a [Claim], ownership: &'a Ownership) -> BTreeMap<&'a Sid, Wanted<'a>> {
    let mut wanted = BTreeMap::new();
    for claim in claims {
        let sid = &claim.statement.sid;
        let Some(owned) = ownership.read(Some(sid.as_str())) else {
            continue;
        };
        let Some((object, standing)) = ownership.objects.get_key_value(&owned.object) else {
            continue;
        };
        if matches!(standing.stance, Stance::Enforced { .. }) {
            wanted.insert(sid, (claim, object, standing));
        }
    }
    wanted
}

fn named_for_removal(ownership: &Ownership) -> Vec<(Sid, OwnedSid)> {
    let mut all = Vec::new();
    for (object, standing) in &ownership.objects {
        let Stance::Released { named } = &standing.stance else {
            continue;
        };
        let read = named.iter().filter_map(|sid| Some((sid.clone(), ownership.read(Some(sid.as_str()))?)));
        all.extend(read.filter(|(_, owned)| owned.object == *object));
    }
    all
}

/// What stands in the way of pending claims whatever the room.
pub(crate) fn obstacles(survey: &Survey, limits: &Limits, blocked: Option<&String>) -> BTreeMap<Sid, Obstacle> {
    let mut found = BTreeMap::new();
    for pending in &survey.pending {
        let obstacle = if limits.refused.contains(&pending.text) {
            Some(Obstacle::Refused)
        } else if limits.contended.contains(&pending.text) {
            Some(Obstacle::Contended)
        } else if pending.form.is_some() {
            None
        } else if limits.document_writes == DocumentWrites::Deny {
            Some(Obstacle::DocumentWritesDenied)
        } else {
            blocked.map(|by| Obstacle::DocumentBlocked { by: by.clone() })
        };
        found.extend(obstacle.map(|obstacle| (pending.sid().clone(), obstacle)));
    }
    for pending in survey.pending.iter().filter(|p| !p.is_deny()) {
        let unserved_deny = survey
            .pending
            .iter()
            .find(|deny| deny.is_deny() && deny.object == pending.object && found.contains_key(deny.sid()));
        let deny = unserved_deny.map(|deny| deny.claim.name.clone()).or_else(|| invalid_deny(pending.standing));
        if let Some(deny) = deny {
            found.entry(pending.sid().clone()).or_insert(Obstacle::DenyUnserved { deny });
        }
    }
    found
}

fn invalid_deny_of(ownership: &Ownership, object: &ObjectId) -> Option<String> {
    ownership.objects.get(object).and_then(invalid_deny)
}

fn invalid_deny(standing: &Standing) -> Option<String> {
    let Stance::Enforced { unserved } = &standing.stance else {
        return None;
    };
    unserved.iter().find(|(_, effect)| **effect == Effect::Deny).map(|(name, _)| name.clone())
}

/// A statement that would have to be carried in a document and can't be. Ours that we may change are no obstacle.
pub(crate) fn blocking_statement(
    survey: &Survey,
    live: &Document,
    ownership: &Ownership,
    limits: &Limits,
) -> Option<String> {
    if !live.statements().is_empty() && !live.knows_variables() {
        return Some("the document's Version, which is not 2012-10-17".to_owned());
    }
    let ours_to_change = |sid: &str| survey.standing.keys().any(|ours| ours.as_str() == sid) || survey.may_change(sid);
    let blocks = |statement: &&LiveStatement| match statement.sid() {
        Some(sid) if ours_to_change(sid) => false,
        sid if ownership.is_foreign(sid) => limits.blocking.contains(statement.text()),
        _ => statement.dead_principals().next().is_some(),
    };
    let blocking = live.statements().iter().find(blocks)?;
    Some(blocking.sid().map_or_else(|| "a statement without a Sid".to_owned(), |sid| format!("statement {sid}")))
}
