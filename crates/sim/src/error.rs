//! What the service says instead of an output.

use std::borrow::Cow;

/// An error answer: HTTP status, error type and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
}

/// The body of an answer, or the error that is answered instead.
pub(crate) type Outcome = Result<String, Refusal>;

impl Refusal {
    pub(crate) fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// `ValidationException`, HTTP 400: what the service answers to nearly every bad input.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// The bus is not there (aws-observations #225; #139: looked up in the caller's own account).
    pub(crate) fn no_bus(name: &str) -> Self {
        Self::new(400, "ResourceNotFoundException", format!("Event bus {name} does not exist."))
    }

    /// The same code for a statement that is not there; only the message differs (aws-observations #6).
    pub(crate) fn no_statement() -> Self {
        Self::new(400, "ResourceNotFoundException", "Statement with the provided id does not exist.")
    }

    /// The body was JSON, but not of the operation's types (AWS JSON 1.1 protocol; not observed here).
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    pub(crate) fn access_denied(caller: &str, action: &str, resource: &str, because: &str) -> Self {
        let message =
            format!("User: {caller} is not authorized to perform: {action} on resource: {resource} {because}");
        Self::new(400, "AccessDeniedException", message)
    }
}
