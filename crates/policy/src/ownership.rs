//! Whose a live statement is, and what may be done to it. Ownership is the Sid and nothing else; the objects only say what
//! they want done with the Sids that are theirs.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ObjectId, OwnedSid, Owner, Sid};
use crate::statement::Effect;

/// Our part of the Sids, and each object that may have some.
#[derive(Debug, Clone)]
pub struct Ownership {
    /// The owner part that makes a Sid ours.
    pub owner: Owner,
    /// What is known of the objects on this bus. The statements of an object that is not here are left alone.
    pub objects: BTreeMap<ObjectId, Standing>,
}

/// One object, as far as the plan needs to know it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who comes first where room is short: smaller is older. Made of the time of creation and the object's name.
    pub seniority: (String, String),
    /// What is to become of its statements.
    pub stance: Stance,
}

/// What is to become of the statements of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stance {
    /// Exactly its claims stand; live statements that it no longer claims go.
    Enforced {
        /// Statements of the spec that can't be served, by name: the Sids they have are neither put nor removed.
        unserved: BTreeMap<String, Effect>,
    },
    /// Nothing of it is put, changed or removed.
    Shielded,
    /// Everything of it goes.
    Released {
        /// Sids to remove even when the read does not show them, since a read can be stale.
        named: BTreeSet<Sid>,
    },
}

impl Ownership {
    /// What a live Sid says, if it is one of ours.
    pub fn read(&self, sid: Option<&str>) -> Option<OwnedSid> {
        self.owner.read(sid?)
    }

    /// Whether a live statement is none of ours. A statement without a Sid is foreign.
    pub fn is_foreign(&self, sid: Option<&str>) -> bool {
        !sid.is_some_and(|sid| self.owner.owns(sid))
    }

    /// The stance of an object.
    pub fn stance(&self, object: &ObjectId) -> Option<&Stance> {
        self.objects.get(object).map(|standing| &standing.stance)
    }
}
