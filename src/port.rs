//! What busgrant needs of a service that keeps event buses: a few calls, and errors that know what may be done about them.

use std::future::Future;

use busgrant_policy::{AccountId, BusArn, Region, ShortForm, Sid};
use thiserror::Error;

/// Who the credentials say we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// The partition of its ARN, such as `aws` or `aws-cn`.
    pub partition: String,
}

/// A bus as one read found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusState {
    /// The bus's ARN, as the service gives it.
    pub arn: String,
    /// The policy document, if there is one.
    pub policy: Option<String>,
}

/// Some of the buses of a Region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BusPage {
    /// The buses.
    pub buses: Vec<BusState>,
    /// What gives the buses after these, if there are more.
    pub next: Option<String>,
}

/// What the service says of a write that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The service's name for the call, by which its support and its audit log find it.
    pub request_id: Option<String>,
}

/// Whether a call may be sent now, asked as close to the wire as can be.
pub type MaySend = std::sync::Arc<dyn Fn() -> bool + Send + Sync>;

/// The calls. Each is sent once and comes back within [`EventBuses::call_limit`]: trying again is the caller's.
pub trait EventBuses: Send + Sync + 'static {
    /// The longest that a call may take before it is given up. It may still take effect afterwards.
    fn call_limit(&self) -> std::time::Duration;

    /// The Region of a bus that names none; nothing where none is configured.
    fn home_region(&self) -> Option<Region>;

    /// Whose credentials these are.
    fn identity(&self) -> impl Future<Output = Result<Identity, BusError>> + Send;

    /// One bus.
    fn describe(&self, bus: &BusArn) -> impl Future<Output = Result<BusState, BusError>> + Send;

    /// Some buses of one Region, at most 100: the first ones, or those after a page before.
    fn list(&self, region: &Region, after: Option<&str>) -> impl Future<Output = Result<BusPage, BusError>> + Send;

    /// Puts one statement by its Sid.
    fn put_statement(
        &self,
        bus: &BusArn,
        sid: &Sid,
        form: &ShortForm,
    ) -> impl Future<Output = Result<Receipt, BusError>> + Send;

    /// Puts a whole document in place of the one that is there.
    fn put_document(&self, bus: &BusArn, document: &str) -> impl Future<Output = Result<Receipt, BusError>> + Send;

    /// Removes one statement by its Sid.
    fn remove_statement(&self, bus: &BusArn, sid: &Sid) -> impl Future<Output = Result<Receipt, BusError>> + Send;
}

/// What may be done about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Somebody else changed the bus meanwhile: read again, plan again.
    ConcurrentModification,
    /// Too many calls: later.
    Throttled,
    /// The service failed or could not be reached: later. A write that it answered so is over, and may have been done.
    Transient,
    /// No answer to a write that was sent: it may take effect yet.
    UnknownOutcome,
    /// Our credentials are not allowed this call: a person must act.
    Denied,
    /// There are no credentials, or they are no longer good.
    NoCredentials,
    /// No such bus, or no such statement: only a read of the bus tells which.
    NotFound,
    /// The policy would exceed the quota.
    TooLong,
    /// The Region does not offer this call.
    Disabled,
    /// The service refuses what the call says.
    Invalid,
    /// It was not sent, since the controller is about to end.
    NotSent,
}

impl RetryClass {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::ConcurrentModification,
        Self::Throttled,
        Self::Transient,
        Self::UnknownOutcome,
        Self::Denied,
        Self::NoCredentials,
        Self::NotFound,
        Self::TooLong,
        Self::Disabled,
        Self::Invalid,
        Self::NotSent,
    ];
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {message}")]
pub struct BusError {
    /// What may be done about it.
    pub class: RetryClass,
    /// The call, as AWS names it.
    pub operation: &'static str,
    /// The service's code, where there was an answer.
    pub code: Option<String>,
    /// What the service said.
    pub message: String,
    /// The service's name for the call, where there was an answer.
    pub request_id: Option<String>,
}
