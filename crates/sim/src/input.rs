//! Reading an operation's input: types first, then the patterns and lengths of the service model.

use serde_json::{Map, Value};

use crate::error::Refusal;

/// The fields of one JSON structure, read with the types that the service model gives them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A field of a type, where `null` counts as absent.
    fn read<T>(self, name: &str, kind: &str, as_type: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Refusal> {
        let value = self.0.get(name).filter(|value| !value.is_null());
        value.map(|value| as_type(value).ok_or_else(|| wrong_type(value, kind))).transpose()
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.read(name, "String", Value::as_str)
    }

    pub(crate) fn flag(self, name: &str) -> Result<Option<bool>, Refusal> {
        self.read(name, "Boolean", Value::as_bool)
    }

    pub(crate) fn number(self, name: &str) -> Result<Option<i64>, Refusal> {
        self.read(name, "Integer", Value::as_i64)
    }

    pub(crate) fn structure(self, name: &str) -> Result<Option<Self>, Refusal> {
        self.read(name, "Structure", |value| value.as_object().map(Fields))
    }

    pub(crate) fn list(self, name: &str) -> Result<Option<&'a [Value]>, Refusal> {
        self.read(name, "List", |value| value.as_array().map(Vec::as_slice))
    }
}

/// The wording of other AWS JSON services for a value of the wrong type; not observed on this one.
pub(crate) fn wrong_type(value: &Value, wanted: &str) -> Refusal {
    let found = match value {
        Value::Object(_) => "START_OBJECT",
        Value::Array(_) => "START_ARRAY",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) | Value::Null => "STRING_VALUE",
    };
    Refusal::serialization(format!("{found} can not be converted to a {wanted}"))
}

/// Violations of the request's patterns and lengths. The service reports all of them in one answer, length before
/// pattern (aws-observations #24), before it looks whether the bus exists (#141).
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    fn add(&mut self, field: &str, value: Option<&str>, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |text| format!("'{text}'"));
        self.0.push(format!("Value {value} at '{field}' failed to satisfy constraint: Member must {constraint}"));
    }

    pub(crate) fn required(&mut self, field: &str, value: Option<&str>) {
        if value.is_none() {
            self.add(field, None, "not be null");
        }
    }

    pub(crate) fn length(&mut self, field: &str, value: Option<&str>, most: usize) {
        let Some(text) = value else { return };
        if text.is_empty() {
            self.add(field, value, "have length greater than or equal to 1");
        } else if text.chars().count() > most {
            self.add(field, value, &format!("have length less than or equal to {most}"));
        }
    }

    pub(crate) fn pattern(&mut self, field: &str, value: Option<&str>, pattern: &Pattern) {
        if value.is_some_and(|text| !(pattern.matches)(text)) {
            self.add(field, value, &format!("satisfy regular expression pattern: {}", pattern.text));
        }
    }

    pub(crate) fn range(&mut self, field: &str, value: Option<i64>, least: i64, most: i64) {
        let Some(number) = value else { return };
        if number < least {
            self.add(field, Some(&number.to_string()), &format!("have value greater than or equal to {least}"));
        } else if number > most {
            self.add(field, Some(&number.to_string()), &format!("have value less than or equal to {most}"));
        }
    }

    pub(crate) fn count(&mut self, field: &str, list: &[Value], most: usize) {
        if list.is_empty() {
            self.add(field, Some("[]"), "have length greater than or equal to 1");
        } else if list.len() > most {
            self.add(field, Some("[...]"), &format!("have length less than or equal to {most}"));
        }
    }

    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => Err(Refusal::validation(format!("1 validation error detected: {one}"))),
            many => Err(Refusal::validation(format!("{} validation errors detected: {}", many.len(), many.join("; ")))),
        }
    }
}

/// A pattern of the service model: its text, as it stands in error messages, and what it accepts.
pub(crate) struct Pattern {
    text: &'static str,
    matches: fn(&str) -> bool,
}

fn all(text: &str, accepts: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(accepts)
}

fn name_character(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')
}

fn bus_name(text: &str) -> bool {
    all(text, |letter| name_character(letter) || letter == '/')
}

pub(crate) fn twelve_digits(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

// Patterns: Amazon EventBridge service model 2015-10-07, shapes NonPartnerEventBusName, EventBusName,
// EventBusNameOrArn, Action, Principal, StatementId and RuleName; the first four texts are observed (#96, #21, #24).
pub(crate) const CUSTOM_BUS_NAME: Pattern =
    Pattern { text: r"[\.\-_A-Za-z0-9]+", matches: |text| all(text, name_character) };
pub(crate) const BUS_NAME: Pattern = Pattern { text: r"[/\.\-_A-Za-z0-9]+", matches: bus_name };
pub(crate) const BUS_NAME_OR_ARN: Pattern = Pattern {
    text: r"(arn:aws[\w-]*:events:[a-z]+-[a-z]+-[\w-]+:[0-9]{12}:event-bus\/)?[/\.\-_A-Za-z0-9]+",
    matches: |text| bus_name(text) || BusArn::parse(text).is_some_and(|arn| bus_name(arn.name)),
};
pub(crate) const ACTION: Pattern = Pattern {
    text: "events:[a-zA-Z]+",
    matches: |text| text.strip_prefix("events:").is_some_and(|name| all(name, |letter| letter.is_ascii_alphabetic())),
};
pub(crate) const PRINCIPAL: Pattern =
    Pattern { text: r"(\d{12}|\*)", matches: |text| text == "*" || twelve_digits(text) };
pub(crate) const STATEMENT_ID: Pattern = Pattern {
    text: "[a-zA-Z0-9-_]+",
    matches: |text| all(text, |letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')),
};

/// The parts of an event bus's ARN that matter here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BusArn<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> BusArn<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let name = resource.strip_prefix("event-bus/")?;
        let ours = arn == "arn" && partition.starts_with("aws") && service == "events" && twelve_digits(account);
        ours.then_some(Self { region, account, name })
    }
}

/// The bare name in a bus name or ARN.
pub(crate) fn bare_bus_name(name_or_arn: &str) -> &str {
    BusArn::parse(name_or_arn).map_or(name_or_arn, |arn| arn.name)
}
