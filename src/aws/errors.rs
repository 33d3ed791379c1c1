//! What an error means: by the code that the service gave, or by what caused it.

use std::error::Error;

use crate::port::RetryClass;

/// The codes that EventBridge and STS answer with. Validation, throttling and access errors are not in the service's model
/// of these operations, so they are told by code alone.
pub(super) fn class_of_code(code: &str) -> RetryClass {
    match code {
        "ConcurrentModificationException" => RetryClass::ConcurrentModification,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException" => RetryClass::Throttled,
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

pub(super) fn is_caused_by<C: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<C>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
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
