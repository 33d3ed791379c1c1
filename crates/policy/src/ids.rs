//! Names that were checked once and are trusted afterwards.
//!
//! Patterns and lengths are those of the service's API model (`PutPermission`, `CreateEventBus`) unless a line says otherwise.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text that cannot be the name it was given for. The message says what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no {what}: it must be {must}")]
pub struct InvalidId {
    what: &'static str,
    must: &'static str,
    text: String,
}

impl InvalidId {
    fn new(what: &'static str, must: &'static str, text: &str) -> Self {
        let text = text.chars().take(80).collect();
        Self { what, must, text }
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $must:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId::new($what, $must, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn within(text: &str, longest: usize, allowed: fn(char) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(allowed)
}

fn lower_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// Whether a text is the id of an AWS account: 12 digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

checked_text!(
    /// A statement's id within one document, 1 to 64 characters.
    Sid,
    "statement id",
    "1 to 64 of A-Z, a-z, 0-9, - and _",
    |text| within(text, 64, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
);

checked_text!(
    /// The part of a Sid that names the installation that owns it.
    Owner,
    "owner",
    "1 to 8 of a-z and 0-9",
    |text| within(text, 8, lower_or_digit)
);

checked_text!(
    /// The part of a Sid that names the object that wants it: 12 characters of base32, 60 bits of a hash.
    ObjectId,
    "object id",
    "12 of a-z and 2-7",
    |text| text.len() == 12 && text.chars().all(|c| c.is_ascii_lowercase() || ('2'..='7').contains(&c))
);

checked_text!(
    /// The id of an AWS account.
    AccountId,
    "account id",
    "12 digits",
    is_account
);

checked_text!(
    /// The id of an organization of AWS Organizations (its API reference, data type Organization).
    OrganizationId,
    "organization id",
    "o- and 10 to 32 of a-z and 0-9",
    |text| text.strip_prefix("o-").is_some_and(|rest| rest.len() >= 10 && within(rest, 32, lower_or_digit))
);

checked_text!(
    /// The name of a classic event bus, which `PutPermission` takes: partner buses and ARNs are not among them.
    BusName,
    "event bus name",
    "1 to 256 of A-Z, a-z, 0-9, ., - and _",
    |text| within(text, 256, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
);

checked_text!(
    /// An AWS Region's name, such as `eu-west-1`.
    Region,
    "Region",
    "1 to 32 of a-z, 0-9 and -",
    |text| within(text, 32, |c| lower_or_digit(c) || c == '-')
);

/// The ARN of a classic event bus: `arn:<partition>:events:<region>:<account>:event-bus/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusArn {
    partition: String,
    region: Region,
    account: AccountId,
    name: BusName,
}

impl BusArn {
    /// The bus of that name, for a partition such as `aws` or `aws-cn`.
    pub fn new(partition: &str, region: Region, account: AccountId, name: BusName) -> Result<Self, InvalidId> {
        if within(partition, 32, |c| lower_or_digit(c) || c == '-') {
            Ok(Self { partition: partition.to_owned(), region, account, name })
        } else {
            Err(InvalidId::new("partition", "such as aws, aws-cn or aws-us-gov", partition))
        }
    }

    /// The partition, such as `aws`.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The Region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The account that the bus belongs to.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The bus's name.
    pub fn name(&self) -> &BusName {
        &self.name
    }

    /// The resource that stands for every rule on this bus. Rules on the default bus are named without a bus (Service
    /// Authorization Reference, `EventBridge`: rule-on-default-event-bus and rule-on-custom-event-bus).
    pub fn rules(&self) -> String {
        let Self { partition, region, account, name } = self;
        match name.as_str() {
            "default" => format!("arn:{partition}:events:{region}:{account}:rule/*"),
            _ => format!("arn:{partition}:events:{region}:{account}:rule/{name}/*"),
        }
    }

    /// The ARN of an account's root in this bus's partition, as the service writes an account into a policy.
    pub fn root_of(&self, account: &AccountId) -> String {
        format!("arn:{}:iam::{account}:root", self.partition)
    }
}

impl FromStr for BusArn {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || {
            InvalidId::new(
                "event bus ARN",
                "arn:<partition>:events:<region>:<account>:event-bus/<name> of a classic event bus",
                text,
            )
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "events", region, account, resource] = parts[..] else {
            return Err(wrong());
        };
        let name = resource.strip_prefix("event-bus/").ok_or_else(wrong)?;
        Self::new(
            partition,
            region.parse().map_err(|_| wrong())?,
            account.parse().map_err(|_| wrong())?,
            name.parse().map_err(|_| wrong())?,
        )
    }
}

impl fmt::Display for BusArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, name } = self;
        write!(f, "arn:{partition}:events:{region}:{account}:event-bus/{name}")
    }
}

/// What a Sid of ours says: `bg-<owner>-<object>-<name>[-<account>]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedSid {
    /// The object that wants the statement.
    pub object: ObjectId,
    /// The statement's name within that object.
    pub name: String,
    /// The account, where the statement is one of several that differ by account only.
    pub account: Option<AccountId>,
}

impl Owner {
    /// The Sid of a statement of ours. Refused where the name is no DNS label of at most 26 characters, or ends in `-` and
    /// 12 digits, which is how an account is told from a name.
    pub fn sid(&self, object: &ObjectId, name: &str, account: Option<&AccountId>) -> Result<Sid, InvalidId> {
        if !is_statement_name(name) {
            let must = "a DNS label of at most 26 characters (a-z, 0-9, - inside) that does not end in - and 12 digits";
            return Err(InvalidId::new("statement name", must, name));
        }
        match account {
            Some(account) => format!("bg-{self}-{object}-{name}-{account}").parse(),
            None => format!("bg-{self}-{object}-{name}").parse(),
        }
    }

    /// What a Sid says, or nothing where it is not of this owner or not of our form.
    pub fn read(&self, sid: &str) -> Option<OwnedSid> {
        let rest = sid.strip_prefix("bg-")?.strip_prefix(self.as_str())?.strip_prefix('-')?;
        let (object, name) = rest.split_once('-')?;
        let object = object.parse().ok()?;
        let (name, account) = match split_account(name) {
            Some((name, account)) => (name, Some(account)),
            None => (name, None),
        };
        is_statement_name(name).then(|| OwnedSid { object, name: name.to_owned(), account })
    }

    /// Whether a Sid carries this owner's prefix, and so may be named in a request of ours.
    pub fn owns(&self, sid: &str) -> bool {
        sid.strip_prefix("bg-").and_then(|s| s.strip_prefix(self.as_str())).is_some_and(|s| s.starts_with('-'))
    }
}

fn split_account(name: &str) -> Option<(&str, AccountId)> {
    let (name, account) = name.rsplit_once('-')?;
    Some((name, account.parse().ok()?))
}

/// Whether a text can name a statement of an object.
pub fn is_statement_name(name: &str) -> bool {
    within(name, 26, |c| lower_or_digit(c) || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && split_account(name).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sid_fits_and_reads_back() {
        let owner: Owner = "abcdefgh".parse().unwrap();
        let object: ObjectId = "abcdefgh2345".parse().unwrap();
        let account: AccountId = "111122223333".parse().unwrap();
        let name = "abcdefghijklmnopqrstuvwxyz";
        let sid = owner.sid(&object, name, Some(&account)).unwrap();
        assert_eq!(sid.as_str().len(), 64);
        assert_eq!(owner.read(sid.as_str()), Some(OwnedSid { object, name: name.into(), account: Some(account) }));
    }

    #[test]
    fn a_name_that_looks_like_an_account_suffix_is_refused() {
        let owner: Owner = "x".parse().unwrap();
        let object: ObjectId = "abcdefgh2345".parse().unwrap();
        assert!(owner.sid(&object, "a-111122223333", None).is_err());
        assert!(owner.sid(&object, "a--b", None).is_ok());
    }

    #[test]
    fn an_owner_never_reads_another_owners_sid() {
        let short: Owner = "ab".parse().unwrap();
        assert!(!short.owns("bg-abc-abcdefgh2345-n"));
        assert!(!short.owns("bg-a-abcdefgh2345-n"));
        assert!(short.owns("bg-ab-anything"));
        assert_eq!(short.read("bg-ab-anything"), None);
    }

    #[test]
    fn only_arns_of_classic_buses_parse() {
        let arn = "arn:aws-cn:events:cn-north-1:123456789012:event-bus/orders";
        assert_eq!(arn.parse::<BusArn>().unwrap().to_string(), arn);
        for wrong in [
            "arn:aws:events:eu-west-1:123456789012:event-busv2/orders/abc",
            "arn:aws:events:eu-west-1:123456789012:event-bus/aws.partner/x",
            "arn:aws:events:eu-west-1:12345678901:event-bus/orders",
            "arn:aws:sqs:eu-west-1:123456789012:event-bus/orders",
            "orders",
        ] {
            assert!(wrong.parse::<BusArn>().is_err(), "{wrong}");
        }
    }
}
