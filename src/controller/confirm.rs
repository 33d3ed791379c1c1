//! Before anything is written for an object: its status says which bus it means, and the API server itself shows it as the
//! watch did.

use busgrant_policy::{BusArn, ObjectId, Ownership, Sid};
use futures::FutureExt;
use jiff::Timestamp;

use super::context::Context;
use super::judge::Acceptance;
use super::kubernetes::Error;
use super::report::at_once;
use super::roster::{Member, Role, Roster};
use super::status::{BusFacts, pinned};
use crate::port::EventBuses;

/// Whether the status of an object says which bus it means.
enum Pin {
    /// It did before.
    Before,
    /// The API server took it just now, and so has the object as it was seen.
    Now,
    Failed,
}

impl<B: EventBuses> Context<B> {
    /// Says which bus each new object means, before anything is written for it there. An object whose status can't be
    /// written is left out of the flight.
    pub async fn pin(&self, bus: &BusArn, roster: &mut Roster) {
        let facts = BusFacts { bus: bus.clone(), policy: None };
        let pins = roster.members.iter().map(|member| self.pin_one(member, &facts).boxed()).collect();
        let pinned = at_once(pins).await;
        for (member, pinned) in roster.members.iter_mut().zip(pinned) {
            match pinned {
                Pin::Before => {}
                Pin::Now => member.is_confirmed = true,
                Pin::Failed => {
                    member.role = Role::Shielded;
                    roster.left_out = true;
                }
            }
        }
    }

    async fn pin_one(&self, member: &Member, facts: &BusFacts) -> Pin {
        let status = self.status_of(&member.object);
        let Some(compiled) = member.compiled().filter(|_| status.event_bus.is_none()) else {
            return Pin::Before;
        };
        let (generation, acceptance) = (member.object.generation(), Acceptance::of(compiled));
        let status = pinned(&status, generation, &acceptance, facts, Timestamp::now());
        match self.write_status(&member.object, &status).await {
            Ok(()) => Pin::Now,
            Err(error) => {
                tracing::warn!(object = member.label(), %error, "left out: its status can't be written");
                Pin::Failed
            }
        }
    }

    /// Asks the API server itself for each object that a step is about, once in a flight: the watch may show one that was
    /// deleted and made again. What is not as it was seen is left out. Gives whether anything was.
    pub async fn confirm(&self, roster: &mut Roster, sids: &[Sid], ownership: &Ownership) -> bool {
        let meant = roster.members_of(sids, ownership);
        let meant = |member: &&Member| meant.iter().any(|object| object.uid() == member.object.uid());
        let unsure: Vec<&Member> = roster.members.iter().filter(|member| !member.is_confirmed).filter(meant).collect();
        let asked = unsure.iter().map(|member| self.is_as_seen(&member.object).boxed()).collect();
        let answers = at_once(asked).await;
        let answers: Vec<(ObjectId, Result<bool, Error>)> =
            unsure.iter().map(|member| member.id.clone()).zip(answers).collect();
        let mut any = false;
        for (id, answer) in answers {
            if matches!(answer, Ok(true)) {
                roster
                    .members
                    .iter_mut()
                    .filter(|member| member.id == id)
                    .for_each(|member| member.is_confirmed = true);
                continue;
            }
            tracing::info!(object = %id, ?answer, "left out: the API server does not show the object as the watch did");
            roster.leave_out(&id);
            any = true;
        }
        any
    }
}
