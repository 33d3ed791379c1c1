//! A Kubernetes operator for who may put events on an Amazon `EventBridge` event bus.
//!
//! - [`api`]: the kind `EventBusPermission`, its rules and reasons, and the way from a spec to claims.
//! - [`port`]: what is needed of a service that keeps event buses.
//! - [`aws`]: that service by the AWS SDK, the only place that names it.
//! - [`controller`]: watches objects, and makes each bus's policy hold what they say.
//! - [`cli`]: the commands.
//!
//! The rules themselves, documents, ownership and the plan, are the crate `busgrant_policy`, which knows none of these.

pub mod api;
pub mod aws;
pub mod cli;
pub mod controller;
pub mod port;
