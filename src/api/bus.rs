//! Which bus a spec means.

use busgrant_policy::{AccountId, BusArn, BusName, Region};

use super::rules;
use super::spec::EventBus;

/// Where the controller itself is: what a spec that names neither Region nor account means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The partition, such as `aws`.
    pub partition: String,
    /// The Region.
    pub region: Region,
    /// The account that the credentials belong to.
    pub account: AccountId,
}

impl EventBus {
    /// The bus that is meant, or everything that is wrong with how it is named. What the API server checks at admission is
    /// checked again, since an object can be older than a rule.
    pub fn resolve(&self, home: &Home) -> Result<BusArn, Vec<String>> {
        match (&self.name, &self.arn) {
            (None, Some(arn)) => {
                let alone = self.region.is_none() && self.account_id.is_none();
                match arn.parse() {
                    Ok(bus) if alone => Ok(bus),
                    Ok(_) => Err(vec![rules::EVENT_BUS_ARN_ALONE.1.to_owned()]),
                    Err(_) => Err(vec![wrong_arn(arn).to_owned()]),
                }
            }
            (Some(name), None) => self.resolve_name(name, home),
            _ => Err(vec![rules::EVENT_BUS_NAME_OR_ARN.1.to_owned()]),
        }
    }

    fn resolve_name(&self, name: &str, home: &Home) -> Result<BusArn, Vec<String>> {
        let bus = name.parse::<BusName>().map_err(|_| wrong_name(name));
        let region = match &self.region {
            Some(region) if is_region(region) => region.parse().map_err(|_| rules::REGION.1),
            Some(_) => Err(rules::REGION.1),
            None => Ok(home.region.clone()),
        };
        let account = match &self.account_id {
            Some(account) => account.parse().map_err(|_| rules::ACCOUNT_ID.1),
            None => Ok(home.account.clone()),
        };
        match (bus, region, account) {
            (Ok(bus), Ok(region), Ok(account)) => {
                BusArn::new(&home.partition, region, account, bus).map_err(|error| vec![error.to_string()])
            }
            (bus, region, account) => {
                let wrong = [bus.err(), region.err(), account.err()];
                Err(wrong.into_iter().flatten().map(str::to_owned).collect())
            }
        }
    }
}

fn is_region(text: &str) -> bool {
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [words @ .., number] => {
            let numbered = (1..=2).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
            words.len() >= 2 && words.iter().all(is_word) && numbered
        }
        [] => false,
    }
}

fn wrong_name(name: &str) -> &'static str {
    if name.starts_with("aws.partner/") { rules::BUS_NAME_PARTNER.1 } else { rules::BUS_NAME.1 }
}

fn wrong_arn(arn: &str) -> &'static str {
    if arn.contains(":event-busv2/") {
        rules::BUS_ARN_V2.1
    } else if arn.contains(":event-bus/aws.partner/") {
        rules::BUS_ARN_PARTNER.1
    } else {
        rules::BUS_ARN.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { partition: "aws".into(), region: "eu-west-1".parse().unwrap(), account: "123456789012".parse().unwrap() }
    }

    fn named(name: &str) -> EventBus {
        EventBus { name: Some(name.into()), ..EventBus::default() }
    }

    #[test]
    fn a_name_alone_is_a_bus_of_the_controllers_own_account_and_region() {
        let bus = named("orders").resolve(&home()).unwrap();
        assert_eq!(bus.to_string(), "arn:aws:events:eu-west-1:123456789012:event-bus/orders");
    }

    #[test]
    fn a_region_and_an_account_are_taken_as_written() {
        let bus =
            EventBus { region: Some("us-east-1".into()), account_id: Some("111122223333".into()), ..named("orders") };
        assert_eq!(bus.resolve(&home()).unwrap().to_string(), "arn:aws:events:us-east-1:111122223333:event-bus/orders");
    }

    #[test]
    fn an_arn_stands_alone() {
        let arn = "arn:aws-cn:events:cn-north-1:111122223333:event-bus/orders";
        let bus = EventBus { arn: Some(arn.into()), ..EventBus::default() };
        assert_eq!(bus.resolve(&home()).unwrap().to_string(), arn);
        let beside = EventBus { region: Some("cn-north-1".into()), ..bus };
        assert_eq!(beside.resolve(&home()).unwrap_err(), [rules::EVENT_BUS_ARN_ALONE.1]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let bus = EventBus { region: Some(String::new()), account_id: Some("1".into()), ..named("a/b") };
        assert_eq!(bus.resolve(&home()).unwrap_err(), [rules::BUS_NAME.1, rules::REGION.1, rules::ACCOUNT_ID.1]);
        assert!(EventBus::default().resolve(&home()).is_err());
        assert!(EventBus { arn: Some("arn:x".into()), ..named("orders") }.resolve(&home()).is_err());
    }

    #[test]
    fn partner_buses_and_event_busv2_are_named_as_what_they_are() {
        assert_eq!(named("aws.partner/x").resolve(&home()).unwrap_err(), [rules::BUS_NAME_PARTNER.1]);
        let v2 = EventBus {
            arn: Some("arn:aws:events:eu-west-1:123456789012:event-busv2/o/x".into()),
            ..EventBus::default()
        };
        assert_eq!(v2.resolve(&home()).unwrap_err(), [rules::BUS_ARN_V2.1]);
    }
}
