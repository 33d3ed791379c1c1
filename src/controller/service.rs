//! Every call to the bus service, at the rate that is allowed, and counted.

use std::future::Future;
use std::time::Duration;

use busgrant_policy::{AccountId, BusArn, Region, Step};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::metrics::Metrics;
use super::rate::{Rates, Urgency};
use crate::port::{BusError, BusState, EventBuses, Identity, Receipt, RetryClass};

const DESCRIBE: &str = "DescribeEventBus";
const WHO: &str = "GetCallerIdentity";

/// A list that has no end by then is given up: 1,000 pages of 100 buses.
const MOST_PAGES: usize = 1000;

/// The service as the controller calls it.
pub struct Service<B> {
    buses: B,
    rates: Rates,
    metrics: Metrics,
}

/// The right to make one call.
#[derive(Debug)]
pub struct Turn {
    /// How long it had to be waited for.
    pub waited: Duration,
}

impl<B: EventBuses> Service<B> {
    /// The service, called so often a second at most in each account and Region.
    pub fn new(buses: B, per_second: u32, metrics: Metrics) -> Self {
        Self { buses, rates: Rates::new(per_second), metrics }
    }

    /// The Region of a bus that names none.
    pub fn home_region(&self) -> Option<Region> {
        self.buses.home_region()
    }

    /// Calls that would have to wait are no longer made.
    pub fn close(&self) {
        self.rates.close();
    }

    /// Whose credentials these are.
    pub async fn identity(&self) -> Result<Identity, BusError> {
        self.counted(WHO, self.buses.home_region().as_ref(), self.buses.identity()).await
    }

    /// Waits until a bus may be read.
    pub async fn read_turn(&self, bus: &BusArn, urgency: Urgency) -> Result<Turn, BusError> {
        self.turn(bus.account(), bus.region(), urgency, DESCRIBE).await
    }

    /// One bus, whose turn has come.
    pub async fn describe(&self, bus: &BusArn, _turn: Turn) -> Result<BusState, BusError> {
        let answer = self.counted(DESCRIBE, Some(bus.region()), self.buses.describe(bus)).await;
        // A wrong Region or account is a common cause, and what AWS says names neither.
        answer.map_err(|error| BusError { message: format!("{bus}: {}", error.message), ..error })
    }

    /// Every bus of an account and Region.
    pub async fn list(&self, account: &AccountId, region: &Region) -> Result<Vec<BusState>, BusError> {
        const OPERATION: &str = "ListEventBuses";
        let mut buses = Vec::new();
        let mut after = None;
        for _ in 0..MOST_PAGES {
            self.turn(account, region, Urgency::Other, OPERATION).await?;
            let page = self.counted(OPERATION, Some(region), self.buses.list(region, after.as_deref())).await?;
            buses.extend(page.buses);
            // A token that comes again would have no end.
            match page.next.filter(|next| after.as_ref() != Some(next)) {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(buses)
    }

    /// Waits until a write of the bus may be sent.
    pub async fn write_turn(&self, bus: &BusArn, step: &Step) -> Result<Turn, BusError> {
        let urgency = match step {
            Step::RemoveStatement { .. } => Urgency::Removal,
            Step::PutStatement { .. } | Step::PutDocument { .. } => Urgency::Other,
        };
        self.turn(bus.account(), bus.region(), urgency, operation(step)).await
    }

    /// Sends a write, whose turn has come.
    pub async fn write(&self, bus: &BusArn, step: &Step, _turn: Turn) -> Result<Receipt, BusError> {
        let call = async {
            let receipt = match step {
                Step::PutStatement { sid, form } => self.buses.put_statement(bus, sid, form).await,
                Step::PutDocument { text, .. } => self.buses.put_document(bus, text).await,
                Step::RemoveStatement { sid } => self.buses.remove_statement(bus, sid).await,
            }?;
            Span::current().record("aws.request_id", &receipt.request_id);
            Ok(receipt)
        };
        self.counted(operation(step), Some(bus.region()), call).await
    }

    async fn counted<T>(
        &self,
        operation: &'static str,
        region: Option<&Region>,
        call: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        // As OpenTelemetry names calls of the AWS SDKs.
        let service = if operation == WHO { "STS" } else { "EventBridge" };
        let span = tracing::info_span!(
            "aws",
            otel.name = format!("{service}.{operation}"),
            otel.kind = "client",
            rpc.system = "aws-api",
            rpc.service = service,
            rpc.method = operation,
            otel.status_code = Empty,
            error.code = Empty,
            aws.request_id = Empty
        );
        let began = Instant::now();
        let answer = call.instrument(span.clone()).await;
        if let Err(BusError { code, request_id, .. }) = &answer {
            span.record("otel.status_code", "ERROR").record("error.code", code).record("aws.request_id", request_id);
        }
        self.metrics.call(operation, region.map(Region::as_str), answer.as_ref().err(), began.elapsed());
        answer
    }

    async fn turn(
        &self,
        account: &AccountId,
        region: &Region,
        urgency: Urgency,
        operation: &'static str,
    ) -> Result<Turn, BusError> {
        let waited = self.rates.turn(account, region, urgency).await;
        waited.map(|waited| Turn { waited }).map_err(|_| BusError {
            class: RetryClass::NotSent,
            operation,
            code: None,
            message: "not sent: the controller is about to end".to_owned(),
            request_id: None,
        })
    }
}

/// The call that a step is, as AWS names it.
pub fn operation(step: &Step) -> &'static str {
    match step {
        Step::PutStatement { .. } | Step::PutDocument { .. } => "PutPermission",
        Step::RemoveStatement { .. } => "RemovePermission",
    }
}
