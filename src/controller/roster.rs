//! The objects on one bus as one flight sees them: which count, what each claims, and what is to become of its statements.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use busgrant_policy::{BusArn, Claim, Document, ObjectId, Ownership, Sid, Stance, Standing};
use tokio::time::Instant;

use super::context::Context;
use super::memory::Memory;
use super::permission::Permission;
use crate::api::naming::object_id;
use crate::api::{Compiled, Consent, DeletionPolicy, compile};
use crate::port::{EventBuses, Identity};

/// One object on the bus.
#[derive(Debug)]
pub struct Member {
    /// The object as it was when the flight began.
    pub object: Arc<Permission>,
    /// Its part of the Sids.
    pub id: ObjectId,
    /// What is done for it.
    pub role: Role,
    /// Whether the API server itself has shown it like this since the flight began; a watch may lag behind.
    pub is_confirmed: bool,
}

/// What is done for an object.
#[derive(Debug)]
pub enum Role {
    /// Its statements are made to stand.
    Enforced(Compiled),
    /// Its plan is reported: by managementPolicy Observe, or since it is paused.
    Watched(Compiled),
    /// Its statements are removed, and then it is let go. These are the Sids that spec and status know of.
    Deleting(BTreeSet<Sid>),
    /// Nothing: its statements stay as they are.
    Shielded,
}

/// The objects on one bus.
#[derive(Debug, Default)]
pub struct Roster {
    /// By the object's part of the Sids.
    pub members: Vec<Member>,
    /// Whether a member was shielded for want of an answer from Kubernetes, and the bus must be tried again.
    pub left_out: bool,
    /// Objects at which the controller itself failed.
    pub panicked: Vec<Arc<Permission>>,
    /// When the first of those is to be tried again that are left alone.
    pub quarantined_until: Option<Instant>,
}

impl Roster {
    /// Everything on this bus that the watch has shown.
    pub fn of<B: EventBuses>(context: &Context<B>, bus: &BusArn, identity: &Identity) -> Self {
        let (mut members, mut panicked) = (Vec::new(), Vec::new());
        let mut quarantined_until: Option<Instant> = None;
        for object in context.objects_on(bus) {
            let resolved = context.resolve(&object, identity).ok();
            let is_pinned = object.pinned_bus().is_some_and(|pinned| pinned == bus.to_string());
            if resolved.as_ref() != Some(bus) && !is_pinned {
                continue;
            }
            let Ok(id) = object_id(object.namespace(), object.name()) else {
                continue;
            };
            let until = context.quarantine.until(&object);
            quarantined_until = quarantined_until.into_iter().chain(until).min();
            if resolved.as_ref() != Some(bus) || until.is_some() {
                members.push(Member { object, id, role: Role::Shielded, is_confirmed: false });
                continue;
            }
            // An object that can't even be looked at fails alone.
            let role = catch_unwind(AssertUnwindSafe(|| role(context, bus, &id, &object))).unwrap_or_else(|_| {
                panicked.push(Arc::clone(&object));
                Role::Shielded
            });
            members.push(Member { object, id, role, is_confirmed: false });
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Self { members, left_out: false, panicked, quarantined_until }
    }

    /// Whether any object's statements are to go with it.
    pub fn has_deleting(&self) -> bool {
        self.members.iter().any(|member| matches!(member.role, Role::Deleting(_)))
    }

    /// The objects whose statements are to go with them.
    pub fn deleting(&self) -> Vec<Arc<Permission>> {
        let deleting = self.members.iter().filter(|member| matches!(member.role, Role::Deleting(_)));
        deleting.map(|member| Arc::clone(&member.object)).collect()
    }

    /// Leaves an object's statements as they are, and has the bus tried again for it.
    pub fn leave_out(&mut self, id: &ObjectId) {
        for member in self.members.iter_mut().filter(|member| member.id == *id) {
            member.role = Role::Shielded;
            self.left_out = true;
        }
    }

    /// The objects whose these Sids are.
    pub fn members_of(&self, sids: &[Sid], ownership: &Ownership) -> Vec<Arc<Permission>> {
        let theirs = |member: &&Member| {
            let owns = |sid: &Sid| ownership.read(Some(sid.as_str())).is_some_and(|owned| owned.object == member.id);
            sids.iter().any(owns)
        };
        self.members.iter().filter(theirs).map(|member| Arc::clone(&member.object)).collect()
    }

    /// Leaves the statements of deleted objects where they are.
    pub fn shield_deleting(&mut self) {
        for member in self.members.iter_mut().filter(|member| matches!(member.role, Role::Deleting(_))) {
            member.role = Role::Shielded;
        }
    }

    /// The claims of the objects whose role that is.
    pub fn claims(&self, watched_too: bool) -> Vec<Claim> {
        let counted = self.members.iter().filter_map(|member| match &member.role {
            Role::Enforced(compiled) => Some(compiled),
            Role::Watched(compiled) if watched_too => Some(compiled),
            _ => None,
        });
        counted.flat_map(|compiled| compiled.claims.clone()).collect()
    }

    /// What may be done to the statements of each object.
    pub fn ownership<B>(
        &self,
        context: &Context<B>,
        memory: &Memory,
        buried: &[ObjectId],
        watched_too: bool,
    ) -> Ownership {
        let gone = |id: &ObjectId| {
            let stance = Stance::Released { named: BTreeSet::new() };
            (id.clone(), Standing { seniority: (String::new(), String::new()), stance })
        };
        let mut objects: BTreeMap<ObjectId, Standing> = buried.iter().map(gone).collect();
        for member in &self.members {
            let stance = match &member.role {
                Role::Enforced(compiled) => enforced(compiled),
                Role::Watched(compiled) if watched_too => enforced(compiled),
                Role::Deleting(sids) => Stance::Released { named: member.unconfirmed(sids, memory) },
                Role::Watched(_) | Role::Shielded => Stance::Shielded,
            };
            objects.insert(member.id.clone(), Standing { seniority: member.seniority(), stance });
        }
        Ownership { owner: context.settings.owner.clone(), objects }
    }
}

impl Member {
    /// Namespace and name, for people.
    pub fn label(&self) -> String {
        format!("{}/{}", self.object.namespace(), self.object.name())
    }

    /// What it claims, whatever is done about that.
    pub fn compiled(&self) -> Option<&Compiled> {
        match &self.role {
            Role::Enforced(compiled) | Role::Watched(compiled) => Some(compiled),
            Role::Deleting(_) | Role::Shielded => None,
        }
    }

    /// The statements of this object in a document.
    pub fn live_sids<'a>(&self, document: &'a Document, ownership: &Ownership) -> Vec<&'a str> {
        let theirs = |sid: &&str| ownership.read(Some(sid)).is_some_and(|owned| owned.object == self.id);
        document.statements().iter().filter_map(|live| live.sid()).filter(theirs).collect()
    }

    /// Sids whose removal is not confirmed yet: they are removed whatever a read shows, since that may be stale.
    fn unconfirmed(&self, sids: &BTreeSet<Sid>, memory: &Memory) -> BTreeSet<Sid> {
        let removed = memory.removed.get(self.object.uid());
        let sent = |sid: &Sid| removed.and_then(|removed| removed.get(sid)).copied();
        let is_settled = |sent| memory.is_settled(sent, Instant::now());
        sids.iter().filter(|sid| !sent(sid).is_some_and(is_settled)).cloned().collect()
    }

    fn seniority(&self) -> (String, String) {
        let created = self.object.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
        (created.unwrap_or_default(), self.label())
    }
}

fn enforced(compiled: &Compiled) -> Stance {
    let unserved = compiled.refused.iter().map(|refused| (refused.name.clone(), refused.effect)).collect();
    Stance::Enforced { unserved }
}

/// A claim counts once the API server itself has shown the object with our finalizer and not being deleted: what we asked
/// for may not have happened.
fn role<B>(context: &Context<B>, bus: &BusArn, id: &ObjectId, object: &Permission) -> Role {
    if object.is_deleting() {
        let goes = object.is_held() && object.deletion_policy() == Ok(DeletionPolicy::Delete);
        return if goes { Role::Deleting(known_sids(context, bus, id, object)) } else { Role::Shielded };
    }
    match object.spec() {
        Ok(spec) if object.is_held() => {
            let compiled = compile(&spec, bus, &context.settings.owner, id, context.settings.consent);
            if object.is_paused() || object.is_observed() { Role::Watched(compiled) } else { Role::Enforced(compiled) }
        }
        _ => Role::Shielded,
    }
}

/// Every Sid that the spec or the status of an object speaks of and that is the object's own: a status can be forged.
fn known_sids<B>(context: &Context<B>, bus: &BusArn, id: &ObjectId, object: &Permission) -> BTreeSet<Sid> {
    let owner = &context.settings.owner;
    let told = object.status().statements.into_iter().filter_map(|statement| statement.statement_id.parse().ok());
    let mut sids: BTreeSet<Sid> = told.collect();
    if let Ok(spec) = object.spec() {
        let compiled = compile(&spec, bus, owner, id, Consent { allow_public: true });
        sids.extend(compiled.claims.into_iter().map(|claim| claim.statement.sid));
    }
    sids.retain(|sid| owner.read(sid.as_str()).is_some_and(|owned| owned.object == *id));
    sids
}
