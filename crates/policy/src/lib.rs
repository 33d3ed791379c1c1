//! Who may put events on an Amazon `EventBridge` bus, as data: the policy document of a bus, the statements in it, whose
//! they are, and the plan that leads from the document that is there to the one that is wanted.
//!
//! Everything here is pure: no clock, no I/O, no Kubernetes, no SDK. Same input, same answer.
//!
//! - [`ids`]: names that were checked once ([`Sid`], [`AccountId`], [`BusArn`], …), and the form of a Sid of ours.
//! - [`statement`]: a statement that we want, what it means, and how it is written.
//! - [`meaning`]: equality of statements as IAM understands them, not as text.
//! - [`document`]: the live document; statements of others are kept as the very text that was read.
//! - [`ownership`]: what may be done to the statements of each object.
//! - [`mod@plan`]: the steps from live to wanted. `survey` sorts what is there against what is wanted, `room` decides what
//!   fits under the size quota, `steps` puts the calls in order.

pub mod document;
pub mod ids;
pub mod meaning;
pub mod ownership;
pub mod plan;
mod room;
pub mod statement;
mod steps;
mod survey;

pub use document::{Document, ParseError};
pub use ids::{AccountId, BusArn, BusName, InvalidId, ObjectId, OrganizationId, OwnedSid, Owner, Region, Sid};
pub use meaning::Meaning;
pub use ownership::{Ownership, Stance, Standing};
pub use plan::{DocumentWrites, Finding, Form, Limits, Obstacle, Plan, Step, plan};
pub use statement::{Claim, Condition, Effect, Principals, ShortForm, Statement};
