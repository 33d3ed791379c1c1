//! The one door to AWS: [`EventBuses`] by the AWS SDK. Nothing else names the SDK.
//!
//! Credentials can become another account's at any moment, and there may be a bus of the same name. So no request leaves under a
//! key whose account was not asked for.

mod errors;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_eventbridge::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_eventbridge::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::operation::RequestId;
use aws_sdk_eventbridge::types::Condition;
use busgrant_policy::{AccountId, BusArn, Region, ShortForm, Sid};
use thiserror::Error;

use self::errors::{chain, class_of_code, is_caused_by};
use crate::port::{BusError, BusPage, BusState, EventBuses, Identity, MaySend, Receipt, RetryClass};

/// The longest that a call may take to connect, where it may take that long at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// `EventBridge` and STS, with the credentials, Region and endpoint of the SDK's own environment.
pub struct Aws {
    config: SdkConfig,
    call_limit: Duration,
    may_send: MaySend,
    limits: TimeoutConfig,
    clients: Mutex<HashMap<Region, Client>>,
    known: Arc<Known>,
    /// One question of whose the credentials are at a time, so that the answer belongs to the key that asked.
    asking: tokio::sync::Mutex<()>,
}

/// Whose the credentials are, as far as that is known.
#[derive(Debug, Default)]
struct Known(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    account: Option<AccountId>,
    /// The key of that account.
    key: Option<String>,
    /// The key that the last question was signed with.
    asked: Option<String>,
    /// Whether a request was kept back that was signed with another key.
    changed: bool,
}

impl Known {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the key that a question of whose the credentials are is signed with.
#[derive(Debug)]
struct Witness(Arc<Known>);

/// Keeps back what is signed with any other, and everything while it may not be sent.
struct Fence {
    known: Arc<Known>,
    may_send: MaySend,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }
}

/// A request was not sent: somebody else may be at it.
#[derive(Debug, Error)]
#[error("not sent: this process can't prove that it leads")]
struct MayNotSend;

/// A request was not sent: its key's account is not known.
#[derive(Debug, Error)]
#[error("the credentials have changed, and whose they are is asked first")]
struct UnknownKey;

impl Intercept for Witness {
    fn name(&self) -> &'static str {
        "Witness"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.keys().asked = key_of(context);
        Ok(())
    }
}

impl Intercept for Fence {
    fn name(&self) -> &'static str {
        "Fence"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if !(self.may_send)() {
            return Err(MayNotSend.into());
        }
        let mut keys = self.known.keys();
        if keys.key.is_some() && keys.key == key_of(context) {
            return Ok(());
        }
        keys.changed = true;
        Err(UnknownKey.into())
    }
}

/// The access key id of a signed request: `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …` ("Signature
/// Version 4", AWS general reference).
fn key_of(context: &BeforeTransmitInterceptorContextRef<'_>) -> Option<String> {
    let authorization = context.request().headers().get("authorization")?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split_once('/').map(|(key, _)| key.to_owned())
}

impl Aws {
    /// Reads the environment: credentials, Region and endpoint as every AWS SDK finds them. One call may take as long as
    /// `call_limit`, connecting and reading included. `may_send` is asked before each call to a bus, and a `region` is
    /// taken instead of the environment's.
    pub async fn from_environment(call_limit: Duration, may_send: MaySend, region: Option<&Region>) -> Self {
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_LIMIT.min(call_limit))
            .operation_attempt_timeout(call_limit)
            .operation_timeout(call_limit)
            .build();
        let mut loader = aws_config::from_env();
        if let Some(region) = region {
            loader = loader.region(aws_config::Region::new(region.as_str().to_owned()));
        }
        let config = loader.load().await;
        let (known, asking) = (Arc::default(), tokio::sync::Mutex::default());
        Self { config, call_limit, may_send, limits, clients: Mutex::default(), known, asking }
    }

    async fn client(&self, region: &Region) -> Result<Client, BusError> {
        let changed = self.known.keys().changed;
        if changed {
            self.confirm().await?;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.clone()).or_insert_with(|| {
            let region = aws_config::Region::new(region.as_str().to_owned());
            // One attempt: hidden ones would falsify what status and metrics count, and repeat writes unseen.
            let config = aws_sdk_eventbridge::config::Builder::from(&self.config)
                .region(region)
                .retry_config(RetryConfig::disabled())
                .timeout_config(self.limits.clone())
                .interceptor(Fence { known: Arc::clone(&self.known), may_send: Arc::clone(&self.may_send) })
                .build();
            Client::from_conf(config)
        });
        Ok(client.clone())
    }

    /// The account of the credentials as they are now, and the key that said so.
    async fn ask(&self) -> Result<(Identity, Option<String>), BusError> {
        let config = aws_sdk_sts::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(self.limits.clone())
            .interceptor(Witness(Arc::clone(&self.known)))
            .build();
        let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| failure(WHO, &error, RetryClass::Transient))?;
        let partition = answer.arn().and_then(|arn| arn.split(':').nth(1));
        match (answer.account().map(str::parse), partition) {
            (Some(Ok(account)), Some(partition)) => {
                let identity = Identity { account, partition: partition.to_owned() };
                Ok((identity, self.known.keys().asked.take()))
            }
            _ => Err(of_identity(RetryClass::Transient, "the answer names no account".to_owned())),
        }
    }

    /// Goes on with other credentials of the same account, and with those of no other before somebody asked whose they are.
    async fn confirm(&self) -> Result<(), BusError> {
        let _asking = self.asking.lock().await;
        if !self.known.keys().changed {
            return Ok(());
        }
        let (Identity { account, .. }, key) = self.ask().await?;
        let mut keys = self.known.keys();
        match &keys.account {
            Some(known) if *known != account => {
                let message =
                    format!("the credentials have become those of account {account}, and were those of {known}");
                Err(of_identity(RetryClass::NoCredentials, message))
            }
            _ => {
                (keys.key, keys.changed) = (key, false);
                Ok(())
            }
        }
    }
}

/// The call that says whose the credentials are.
const WHO: &str = "GetCallerIdentity";

fn of_identity(class: RetryClass, message: String) -> BusError {
    BusError { class, operation: WHO, code: None, message, request_id: None }
}

impl EventBuses for Aws {
    fn call_limit(&self) -> Duration {
        self.call_limit
    }

    fn home_region(&self) -> Option<Region> {
        self.config.region()?.as_ref().parse().ok()
    }

    async fn identity(&self) -> Result<Identity, BusError> {
        if self.config.region().is_none() {
            let message = "no Region is configured: AWS_REGION must name one".to_owned();
            return Err(of_identity(RetryClass::NoCredentials, message));
        }
        let _asking = self.asking.lock().await;
        let (identity, key) = self.ask().await?;
        *self.known.keys() = Keys { account: Some(identity.account.clone()), key, ..Keys::default() };
        Ok(identity)
    }

    async fn describe(&self, bus: &BusArn) -> Result<BusState, BusError> {
        let answer = self.client(bus.region()).await?.describe_event_bus().name(bus.name().as_str()).send().await;
        let answer = answer.map_err(|error| failure("DescribeEventBus", &error, RetryClass::Transient))?;
        Ok(BusState { arn: answer.arn.unwrap_or_default(), policy: answer.policy })
    }

    async fn list(&self, region: &Region, after: Option<&str>) -> Result<BusPage, BusError> {
        let call = self.client(region).await?.list_event_buses().limit(100).set_next_token(after.map(str::to_owned));
        let page = call.send().await.map_err(|error| failure("ListEventBuses", &error, RetryClass::Transient))?;
        let found = page.event_buses.unwrap_or_default().into_iter();
        let buses = found.map(|bus| BusState { arn: bus.arn.unwrap_or_default(), policy: bus.policy }).collect();
        Ok(BusPage { buses, next: page.next_token })
    }

    async fn put_statement(&self, bus: &BusArn, sid: &Sid, form: &ShortForm) -> Result<Receipt, BusError> {
        let call = self.client(bus.region()).await?.put_permission();
        let call = call.event_bus_name(bus.name().as_str()).statement_id(sid.as_str()).action("events:PutEvents");
        let call = call.principal(form.principal());
        let condition = form.organization().map(|organization| {
            let condition = Condition::builder().r#type("StringEquals").key("aws:PrincipalOrgID");
            condition.value(organization.as_str()).build().map_err(|error| BusError {
                class: RetryClass::Invalid,
                operation: "PutPermission",
                code: None,
                message: error.to_string(),
                request_id: None,
            })
        });
        let call = call.set_condition(condition.transpose()?);
        written("PutPermission", call.send().await)
    }

    async fn put_document(&self, bus: &BusArn, document: &str) -> Result<Receipt, BusError> {
        let call =
            self.client(bus.region()).await?.put_permission().event_bus_name(bus.name().as_str()).policy(document);
        written("PutPermission", call.send().await)
    }

    async fn remove_statement(&self, bus: &BusArn, sid: &Sid) -> Result<Receipt, BusError> {
        let call = self.client(bus.region()).await?.remove_permission();
        let call = call.event_bus_name(bus.name().as_str()).statement_id(sid.as_str());
        written("RemovePermission", call.send().await)
    }
}

fn written<T, E, R>(operation: &'static str, answer: Result<T, SdkError<E, R>>) -> Result<Receipt, BusError>
where
    T: RequestId,
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    match answer {
        Ok(taken) => Ok(Receipt { request_id: taken.request_id().map(str::to_owned) }),
        Err(error) => Err(failure(operation, &error, RetryClass::UnknownOutcome)),
    }
}

/// `unanswered` is what a call without an answer is worth: a read can be sent again, a write may have been done.
fn failure<E, R>(operation: &'static str, error: &SdkError<E, R>, unanswered: RetryClass) -> BusError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let class = match (code, error) {
        (Some(code), _) => class_of_code(code),
        (None, _) if is_caused_by::<CredentialsError>(error) => RetryClass::NoCredentials,
        // Nothing was sent. The next call asks first.
        (None, _) if is_caused_by::<UnknownKey>(error) => RetryClass::Transient,
        (None, _) if is_caused_by::<MayNotSend>(error) => RetryClass::NotSent,
        (None, SdkError::ConstructionFailure(_)) => RetryClass::Invalid,
        _ => unanswered,
    };
    let message = match error.as_service_error() {
        Some(service) => service.message().map_or_else(|| service.to_string(), str::to_owned),
        None => chain(error),
    };
    let request_id = error.meta().request_id().map(str::to_owned);
    BusError { class, operation, code: code.map(str::to_owned), message, request_id }
}
