//! A simulated Amazon `EventBridge` that answers as the real one was observed to, and fails on demand.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use busgrant_sim::{Config, Fault, FaultKind, Operation, Sim};
//!
//! let sim = Sim::start(Config::default()).await?;
//! sim.create_bus("123456789012", "eu-west-1", "orders");
//! sim.inject(Fault::new(FaultKind::Throttling).on(Operation::PutPermission).times(2));
//! // … point an AWS client at `sim.endpoint()`, with access key id 123456789012 …
//! assert!(sim.policy("123456789012", "eu-west-1", "orders").is_none());
//! # Ok(())
//! # }
//! ```
//!
//! What the real service does is taken from recorded answers: the facts that this crate's tests replay, called
//! aws-observations here and in comments by their number. What nobody observed is said to be so where it is decided.

mod arn;
mod buses;
mod conditions;
mod config;
mod control;
mod core;
mod dispatch;
mod document;
mod error;
mod evaluate;
mod events;
mod fault;
mod foreign;
mod iam;
mod input;
mod java;
mod journal;
mod operation;
mod permissions;
mod policy;
mod probe;
mod random;
mod server;
mod sim;
mod sts;
mod wire;
mod world;

pub use config::{Config, Semantics, Settings};
pub use fault::{Fault, FaultId, FaultKind, ForeignWrite, Moment};
pub use foreign::ForeignWriter;
pub use iam::{Account, IdentityPolicy, Principal, Trust};
pub use journal::{Change, JournalEntry, JournalFilter, Writer};
pub use operation::Operation;
pub use probe::{Probe, Verdict};
pub use sim::{Sim, State};
pub use world::BusName;
