//! ARNs: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.

/// The parts of an ARN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, region, account, resource] = parts.as_slice() else { return None };
        Some(Self { partition, service, region, account, resource })
    }

    /// The ARN of an event bus, and its name.
    pub(crate) fn of_bus(text: &'a str) -> Option<(Self, &'a str)> {
        let arn = Self::parse(text)?;
        let ours = arn.partition.starts_with("aws") && arn.service == "events" && twelve_digits(arn.account);
        ours.then_some((arn, arn.resource.strip_prefix("event-bus/")?))
    }
}

pub(crate) fn twelve_digits(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The partition follows the Region (AWS SDK endpoint data: partitions aws, aws-cn, aws-us-gov).
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        cn if cn.starts_with("cn-") => "aws-cn",
        gov if gov.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
