//! The one door to AWS: [`EventBuses`] by the AWS SDK. Nothing else names the SDK.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::types::Condition;
use busgrant_policy::{BusArn, Region, ShortForm, Sid};

use crate::port::{BusError, BusPage, BusState, EventBuses, Identity, RetryClass};

/// The longest that a call may take to connect, where it may take that long at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// `EventBridge` and STS, with the credentials, Region and endpoint of the SDK's own environment.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    call_limit: Duration,
    limits: TimeoutConfig,
    clients: Mutex<HashMap<Region, Client>>,
}

impl Aws {
    /// Reads the environment: credentials, Region and endpoint as every AWS SDK finds them. One call may take as long as
    /// `call_limit`, connecting and reading included.
    pub async fn from_environment(call_limit: Duration) -> Self {
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_LIMIT.min(call_limit))
            .operation_attempt_timeout(call_limit)
            .operation_timeout(call_limit)
            .build();
        let config = aws_config::from_env().load().await;
        Self { config, call_limit, limits, clients: Mutex::default() }
    }

    fn client(&self, region: &Region) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.clone()).or_insert_with(|| {
            let region = aws_config::Region::new(region.as_str().to_owned());
            // One attempt: hidden ones would falsify what status and metrics count, and repeat writes unseen.
            let config = aws_sdk_eventbridge::config::Builder::from(&self.config)
                .region(region)
                .retry_config(RetryConfig::disabled())
                .timeout_config(self.limits.clone())
                .build();
            Client::from_conf(config)
        });
        client.clone()
    }
}

impl EventBuses for Aws {
    fn call_limit(&self) -> Duration {
        self.call_limit
    }

    fn home_region(&self) -> Option<Region> {
        self.config.region()?.as_ref().parse().ok()
    }

    async fn identity(&self) -> Result<Identity, BusError> {
        const OPERATION: &str = "GetCallerIdentity";
        if self.config.region().is_none() {
            return Err(BusError {
                class: RetryClass::NoCredentials,
                operation: OPERATION,
                code: None,
                message: "no Region is configured: AWS_REGION must name one".to_owned(),
            });
        }
        let config = aws_sdk_sts::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(self.limits.clone())
            .build();
        let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| failure(OPERATION, &error, RetryClass::Transient))?;
        let partition = answer.arn().and_then(|arn| arn.split(':').nth(1));
        match (answer.account().map(str::parse), partition) {
            (Some(Ok(account)), Some(partition)) => Ok(Identity { account, partition: partition.to_owned() }),
            _ => Err(BusError {
                class: RetryClass::Transient,
                operation: OPERATION,
                code: None,
                message: "the answer names no account".to_owned(),
            }),
        }
    }

    async fn describe(&self, bus: &BusArn) -> Result<BusState, BusError> {
        let answer = self.client(bus.region()).describe_event_bus().name(bus.name().as_str()).send().await;
        let answer = answer.map_err(|error| failure("DescribeEventBus", &error, RetryClass::Transient))?;
        Ok(BusState { arn: answer.arn.unwrap_or_default(), policy: answer.policy })
    }

    async fn list(&self, region: &Region, after: Option<&str>) -> Result<BusPage, BusError> {
        let call = self.client(region).list_event_buses().limit(100).set_next_token(after.map(str::to_owned));
        let page = call.send().await.map_err(|error| failure("ListEventBuses", &error, RetryClass::Transient))?;
        let found = page.event_buses.unwrap_or_default().into_iter();
        let buses = found.map(|bus| BusState { arn: bus.arn.unwrap_or_default(), policy: bus.policy }).collect();
        Ok(BusPage { buses, next: page.next_token })
    }

    async fn put_statement(&self, bus: &BusArn, sid: &Sid, form: &ShortForm) -> Result<(), BusError> {
        let call = self.client(bus.region()).put_permission();
        let call = call.event_bus_name(bus.name().as_str()).statement_id(sid.as_str()).action("events:PutEvents");
        let call = match form {
            ShortForm::Account(account) => call.principal(account.as_str()),
            ShortForm::Anyone => call.principal("*"),
            ShortForm::Organization(organization) => {
                let condition = Condition::builder().r#type("StringEquals").key("aws:PrincipalOrgID");
                let condition = condition.value(organization.as_str()).build();
                let condition = condition.map_err(|error| BusError {
                    class: RetryClass::Invalid,
                    operation: "PutPermission",
                    code: None,
                    message: error.to_string(),
                })?;
                call.principal("*").condition(condition)
            }
        };
        written("PutPermission", call.send().await)
    }

    async fn put_document(&self, bus: &BusArn, document: &str) -> Result<(), BusError> {
        let call = self.client(bus.region()).put_permission().event_bus_name(bus.name().as_str()).policy(document);
        written("PutPermission", call.send().await)
    }

    async fn remove_statement(&self, bus: &BusArn, sid: &Sid) -> Result<(), BusError> {
        let call = self.client(bus.region()).remove_permission();
        let call = call.event_bus_name(bus.name().as_str()).statement_id(sid.as_str());
        written("RemovePermission", call.send().await)
    }
}

fn written<T, E, R>(operation: &'static str, answer: Result<T, SdkError<E, R>>) -> Result<(), BusError>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    answer.map(drop).map_err(|error| failure(operation, &error, RetryClass::UnknownOutcome))
}

/// `unanswered` is what a call without an answer is worth: a read can be sent again, a write may have been done.
fn failure<E, R>(operation: &'static str, error: &SdkError<E, R>, unanswered: RetryClass) -> BusError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let class = match (code, error) {
        (Some(code), _) => class_of_code(code),
        (None, _) if lacks_credentials(error) => RetryClass::NoCredentials,
        (None, SdkError::ConstructionFailure(_)) => RetryClass::Invalid,
        _ => unanswered,
    };
    let message = match error.as_service_error() {
        Some(service) => service.message().map_or_else(|| service.to_string(), str::to_owned),
        None => chain(error),
    };
    BusError { class, operation, code: code.map(str::to_owned), message }
}

/// The codes that EventBridge and STS answer with. Validation, throttling and access errors are not in the service's model
/// of these operations, so they are told by code alone.
fn class_of_code(code: &str) -> RetryClass {
    match code {
        "ConcurrentModificationException" => RetryClass::ConcurrentModification,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "LimitExceededException" => RetryClass::Throttled,
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" | "OptInRequired" => {
            RetryClass::Denied
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidAccessKeyId" => RetryClass::NoCredentials,
        "ResourceNotFoundException" => RetryClass::NotFound,
        "PolicyLengthExceededException" => RetryClass::TooLong,
        "OperationDisabledException" => RetryClass::Disabled,
        "ValidationException" | "ValidationError" | "InvalidParameterValue" | "SerializationException" => {
            RetryClass::Invalid
        }
        _ => RetryClass::Transient,
    }
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<CredentialsError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_no_model_of_the_operation_lists_have_their_class() {
        let classes = [
            ("ValidationException", RetryClass::Invalid),
            ("ThrottlingException", RetryClass::Throttled),
            ("TooManyRequestsException", RetryClass::Throttled),
            ("AccessDeniedException", RetryClass::Denied),
            ("ExpiredTokenException", RetryClass::NoCredentials),
            ("InternalException", RetryClass::Transient),
            ("SomethingNew", RetryClass::Transient),
        ];
        for (code, class) in classes {
            assert_eq!(class_of_code(code), class, "{code}");
        }
    }
}
