//! Reading an operation's input: types first, then the lengths and patterns of the service model.

use serde_json::{Map, Value};

use crate::arn::{Arn, twelve_digits};
use crate::error::Refusal;

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

/// The fields of one JSON structure, read with the types that the service model gives them, and what of them violates
/// lengths and patterns. The service reports all of that in one answer, length before pattern (aws-observations #24),
/// before it looks whether the bus exists (#141).
#[derive(Debug)]
pub(crate) struct Input<'a> {
    fields: &'a Map<String, Value>,
    violations: Vec<String>,
}

impl<'a> Input<'a> {
    pub(crate) fn of(fields: &'a Map<String, Value>) -> Self {
        Self { fields, violations: Vec::new() }
    }

    /// A field of a type, where `null` counts as absent.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        kind: &str,
        as_type: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let value = self.fields.get(name).filter(|value| !value.is_null());
        value.map(|value| as_type(value).ok_or_else(|| wrong_type(value, kind))).transpose()
    }

    /// A text that may be absent, and anything.
    pub(crate) fn any(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.read(name, "String", Value::as_str)
    }

    /// A text that may be absent.
    pub(crate) fn text(&mut self, name: &str, shape: &Shape) -> Result<Option<&'a str>, Refusal> {
        let (value, member) = (self.any(name)?, member(name));
        let Some(text) = value else { return Ok(None) };
        self.bounds(&member, text, "length", text.chars().count(), shape.lengths);
        if !(shape.matches)(text) {
            self.violated(&member, Some(text), &format!("satisfy regular expression pattern: {}", shape.pattern));
        }
        Ok(value)
    }

    /// A text that must be there: after `finish`, it was.
    pub(crate) fn required(&mut self, name: &str, shape: &Shape) -> Result<&'a str, Refusal> {
        let value = self.text(name, shape)?;
        self.present(&member(name), value);
        Ok(value.unwrap_or_default())
    }

    pub(crate) fn present(&mut self, member: &str, value: Option<&str>) {
        if value.is_none() {
            self.violated(member, None, "not be null");
        }
    }

    /// A number that may be absent.
    pub(crate) fn number(&mut self, name: &str, bounds: (usize, usize)) -> Result<Option<usize>, Refusal> {
        let Some(number) = self.read(name, "Integer", Value::as_i64)? else { return Ok(None) };
        let value = usize::try_from(number.max(0)).unwrap_or(usize::MAX);
        self.bounds(&member(name), &number.to_string(), "value", value, bounds);
        Ok(Some(value))
    }

    /// A list; absent, it is empty.
    pub(crate) fn list(&mut self, name: &str, lengths: (usize, usize)) -> Result<&'a [Value], Refusal> {
        let list = self.read(name, "List", Value::as_array)?.map_or(&[][..], Vec::as_slice);
        let shown = if list.is_empty() { "[]" } else { "[...]" };
        self.bounds(&member(name), shown, "length", list.len(), lengths);
        Ok(list)
    }

    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self.violations.as_slice() {
            [] => Ok(()),
            [one] => Err(Refusal::validation(format!("1 validation error detected: {one}"))),
            many => Err(Refusal::validation(format!("{} validation errors detected: {}", many.len(), many.join("; ")))),
        }
    }

    fn bounds(&mut self, member: &str, value: &str, what: &str, number: usize, (least, most): (usize, usize)) {
        if number < least {
            self.violated(member, Some(value), &format!("have {what} greater than or equal to {least}"));
        } else if number > most {
            self.violated(member, Some(value), &format!("have {what} less than or equal to {most}"));
        }
    }

    fn violated(&mut self, member: &str, value: Option<&str>, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |text| format!("'{text}'"));
        self.violations
            .push(format!("Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"));
    }
}

/// A field as violations name it: `eventBusName` for `EventBusName`.
fn member(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

/// A shape of a service model: the least and the greatest length of a text, and its pattern.
pub(crate) struct Shape {
    lengths: (usize, usize),
    /// As it stands in error messages.
    pattern: &'static str,
    matches: fn(&str) -> bool,
}

impl Shape {
    /// A text of which only the length matters.
    pub(crate) const fn any(least: usize, most: usize) -> Self {
        Self { lengths: (least, most), pattern: "", matches: |_| true }
    }
}

fn all(text: &str, accepts: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(accepts)
}

fn letters_digits_or(text: &str, others: &str) -> bool {
    all(text, |letter| letter.is_ascii_alphanumeric() || others.contains(letter))
}

// Amazon EventBridge service model 2015-10-07, shapes NonPartnerEventBusName, EventBusName, EventBusNameOrArn, Action,
// Principal, StatementId and RuleName; the first four patterns are observed (#96, #21, #24).
pub(crate) const CUSTOM_BUS_NAME: Shape =
    Shape { lengths: (1, 256), pattern: r"[\.\-_A-Za-z0-9]+", matches: |text| letters_digits_or(text, ".-_") };
pub(crate) const BUS_NAME: Shape =
    Shape { lengths: (1, 256), pattern: r"[/\.\-_A-Za-z0-9]+", matches: |text| letters_digits_or(text, "/.-_") };
pub(crate) const BUS_NAME_OR_ARN: Shape = Shape {
    lengths: (1, 1600),
    pattern: r"(arn:aws[\w-]*:events:[a-z]+-[a-z]+-[\w-]+:[0-9]{12}:event-bus\/)?[/\.\-_A-Za-z0-9]+",
    matches: |text| (BUS_NAME.matches)(bare_bus_name(text)),
};
pub(crate) const ACTION: Shape = Shape {
    lengths: (1, 64),
    pattern: "events:[a-zA-Z]+",
    matches: |text| text.strip_prefix("events:").is_some_and(|name| all(name, |letter| letter.is_ascii_alphabetic())),
};
pub(crate) const PRINCIPAL: Shape =
    Shape { lengths: (1, 12), pattern: r"(\d{12}|\*)", matches: |text| text == "*" || twelve_digits(text) };
pub(crate) const STATEMENT_ID: Shape =
    Shape { lengths: (1, 64), pattern: "[a-zA-Z0-9-_]+", matches: |text| letters_digits_or(text, "-_") };
pub(crate) const RULE_NAME: Shape = Shape { lengths: (1, 64), ..CUSTOM_BUS_NAME };
/// AWS Security Token Service API reference, `AssumeRole`.
pub(crate) const SESSION_NAME: Shape =
    Shape { lengths: (2, 64), pattern: r"[\w+=,.@-]*", matches: |text| letters_digits_or(text, "_+=,.@-") };

/// The bare name in a bus name or ARN.
pub(crate) fn bare_bus_name(name_or_arn: &str) -> &str {
    Arn::of_bus(name_or_arn).map_or(name_or_arn, |(_, name)| name)
}
