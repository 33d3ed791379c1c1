//! The rules that the API server checks at admission, in CEL, each with the message that says what must be.
//!
//! A message is read by a person whose manifest was just refused: it names what to write instead. The bounds beside the
//! rules are wider than the rules, because a value past its bound is refused before any rule can speak.
//! [`super::claims`] checks the same again in Rust, since an object can be older than a rule.

/// A CEL expression and the message of an object that fails it.
pub(super) type Rule = (&'static str, &'static str);

/// The operators of IAM policies, without `BinaryEquals`: no key that `EventBridge` knows is binary.
macro_rules! operator_pattern {
    () => {
        "^(Null|(ForAnyValue:|ForAllValues:)?(String(Not)?(Equals(IgnoreCase)?|Like)|Arn(Not)?(Equals|Like)|Bool|\
         (Numeric|Date)((Not)?Equals|(LessThan|GreaterThan)(Equals)?)|(Not)?IpAddress)(IfExists)?)$"
    };
}

/// The ARNs that name an AWS principal: IAM takes no wildcards in them.
macro_rules! principal_arn_pattern {
    () => {
        "arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(role|user)/[^*? ]+)|sts::[0-9]{12}:(assumed-role/[^*? ]+/|federated-user/)\
         [^*? ]+)"
    };
}

pub(super) const EVENT_BUS_IMMUTABLE: Rule =
    ("self == oldSelf", "eventBus must stay as it is: delete this object and create another one for the other bus");
pub(super) const EVENT_BUS_NAME_OR_ARN: Rule =
    ("has(self.name) != has(self.arn)", "eventBus must have exactly one of name and arn");
pub(super) const EVENT_BUS_ARN_ALONE: Rule = (
    "!has(self.arn) || !(has(self.region) || has(self.accountID))",
    "eventBus.arn must stand alone, since it names the Region and the account: remove region and accountID",
);

pub(super) const BUS_NAME_PARTNER: Rule = (
    "!self.startsWith('aws.partner/')",
    "name must be that of a custom event bus or default: EventBridge takes no permissions on a partner event bus; \
     let a rule on it forward the events to a custom bus",
);
pub(super) const BUS_NAME: Rule = (
    r"self.startsWith('aws.partner/') || self.matches('^[A-Za-z0-9._-]{1,256}$')",
    "name must be 1 to 256 letters, digits, dots, dashes and underscores, such as orders; write an ARN as eventBus.arn",
);
pub(super) const BUS_ARN_V2: Rule = (
    "!self.contains(':event-busv2/')",
    "arn must be that of a classic event bus (…:event-bus/NAME): the permissions of an event-busv2 belong to another \
     API of AWS, which busgrant doesn't speak",
);
pub(super) const BUS_ARN_PARTNER: Rule = (
    "!self.contains(':event-bus/aws.partner/')",
    "arn must be that of a custom event bus or default: EventBridge takes no permissions on a partner event bus; let \
     a rule on it forward the events to a custom bus",
);
pub(super) const BUS_ARN: Rule = (
    r"self.contains(':event-busv2/') || self.contains(':event-bus/aws.partner/') || self.matches('^arn:aws(-[a-z]+)*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[A-Za-z0-9._-]{1,256}$')",
    "arn must be an event bus's, such as arn:aws:events:eu-west-1:123456789012:event-bus/orders",
);
pub(super) const REGION: Rule =
    ("self.matches('^[a-z]+(-[a-z]+)+-[0-9]{1,2}$')", "region must be a Region's code, such as eu-west-1");
pub(super) const ACCOUNT_ID: Rule =
    ("self.matches('^[0-9]{12}$')", "an account must be 12 digits in quotes, such as \"111122223333\"");

pub(super) const STATEMENT_NAME: Rule = (
    "self.matches('^[a-z0-9]([a-z0-9-]{0,24}[a-z0-9])?$')",
    "name must be 1 to 26 lower-case letters, digits and dashes, beginning and ending with a letter or digit",
);
pub(super) const STATEMENT_NAME_END: Rule = (
    "!self.matches('-[0-9]{12}$')",
    "name must not end in a dash and 12 digits, as the Sid of one account's statement does: put the account elsewhere, \
     such as in description",
);
pub(super) const PRINCIPALS_OR_RAW: Rule =
    ("has(self.principals) != has(self.raw)", "a statement must have exactly one of principals and raw");
pub(super) const RAW_ALONE: Rule = (
    "!has(self.raw) || !(has(self.access) || has(self.sources) || has(self.detailTypes) || has(self.sourceARNs) || \
     has(self.conditions))",
    "raw must stand alone beside name and description: write the actions and conditions inside raw, and remove access, \
     sources, detailTypes, sourceARNs and conditions",
);
pub(super) const SERVICE_FOR_AN_ACCOUNT: Rule = (
    "!has(self.principals) || !has(self.principals.services) || (has(self.sourceARNs) && self.sourceARNs.all(a, \
     a.matches('^[^:]*:[^:]*:[^:]*:[^:]*:[0-9]{12}:'))) || (has(self.conditions) && self.conditions.exists(c, \
     c.key.lowerAscii() == 'aws:sourceaccount' && c.operator in ['StringEquals', 'StringEqualsIgnoreCase', 'StringLike'] \
     && c.values.all(v, v.matches('^[0-9]{12}$'))))",
    "a service must be tied to an account, or it serves anybody's: give sourceARNs that each name an account of 12 \
     digits, such as arn:aws:schemas:*:123456789012:*, or a condition StringEquals on aws:SourceAccount",
);
pub(super) const FIELD_KEY_RECURS: Rule = (
    "!has(self.conditions) || !self.conditions.exists(c, c.key.lowerAscii() in (has(self.sources) ? ['events:source'] : []) \
     + (has(self.detailTypes) ? ['events:detail-type'] : []) + (has(self.sourceARNs) ? ['aws:sourcearn'] : []) + \
     (has(self.principals) && has(self.principals.organizationID) ? ['aws:principalorgid'] : []) + \
     (has(self.principals) && has(self.principals.organizationPaths) ? ['aws:principalorgpaths'] : []) + \
     (has(self.access) && self.access == 'ManageOwnRules' ? ['events:creatoraccount'] : []))",
    "a condition's key must not be one that a field of the statement writes already (sources: events:source, \
     detailTypes: events:detail-type, sourceARNs: aws:SourceArn, organizationID: aws:PrincipalOrgID, organizationPaths: \
     aws:PrincipalOrgPaths, access ManageOwnRules: events:creatorAccount): keep the field or the condition",
);

pub(super) const ONE_KIND_OF_PRINCIPAL: Rule = (
    "[has(self.accountIDs), has(self.organizationID), has(self.organizationPaths), has(self.principalARNs), \
     has(self.services), has(self.anyone)].exists_one(x, x)",
    "principals must have exactly one of accountIDs, organizationID, organizationPaths, principalARNs, services and \
     anyone: write another statement for another kind",
);
pub(super) const ORGANIZATION_ID: Rule = (
    "self.matches('^o-[a-z0-9]{10,32}$')",
    "organizationID must be o- and 10 to 32 lower-case letters and digits, such as o-a1b2c3d4e5",
);
pub(super) const ORGANIZATION_PATH: Rule = (
    "self.matches('^o-[a-z0-9]{10,32}/([*]|r-[a-z0-9]{4,32}/(ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}/)*([*]|ou-[*])?)$')",
    "an organization path must go from the organization over its root to a unit, end in / or in * for all below, and \
     look like o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*",
);
pub(super) const PRINCIPAL_ARN: Rule = (
    concat!("self.matches('^", principal_arn_pattern!(), "$')"),
    "a principal must be the ARN of a role, a user, an account's root, an assumed-role session or a federated user, \
     without wildcards, such as arn:aws:iam::111122223333:role/publisher; for a pattern write the account here and a \
     condition ArnLike on aws:PrincipalArn",
);
pub(super) const SERVICE: Rule = (
    "self.matches('^[a-z0-9-]+([.][a-z0-9-]+)*[.]amazonaws[.](com([.]cn)?|eu)$')",
    "a service must be the name of a service principal, such as schemas.amazonaws.com",
);

pub(super) const SOURCE_EXACT: Rule = (
    "!self.contains('*') && !self.contains('?')",
    "sources must be exact, without * and ?, such as com.acme.billing; for a pattern remove sources and write a \
     condition StringLike on events:source",
);
pub(super) const SOURCE_ARN: Rule = (
    "self.matches('^arn:[^:]+:[^:]+:[^:]*:[^:]*:.+$')",
    "a source must be an ARN of six parts, in which * and ? may stand for more, such as \
     arn:aws:events:eu-west-1:111122223333:rule/orders/*",
);

pub(super) const CONDITION_UNIQUE: Rule = (
    "self.all(a, self.exists_one(b, a.operator == b.operator && a.key.lowerAscii() == b.key.lowerAscii()))",
    "conditions must not repeat an operator with the same key, whatever the key's case: put the values into one of them",
);
pub(super) const OPERATOR: Rule = (
    concat!("self.matches('", operator_pattern!(), "')"),
    "operator must be one of IAM's, such as StringEquals, StringLike, ArnLike, Bool or Null, with ForAnyValue: or \
     ForAllValues: before it or IfExists after it if need be",
);
pub(super) const CONDITION_KEY: Rule = (
    "self.matches('^[A-Za-z0-9-]+:.+$')",
    "key must be a condition key with its prefix, such as aws:PrincipalArn or events:source",
);

pub(super) const RAW_PRINCIPAL: Rule = (
    "has(self.AWS) || has(self.Service) || has(self.Federated) || has(self.CanonicalUser)",
    "raw.principal must have at least one of AWS, Service, Federated and CanonicalUser",
);
pub(super) const RAW_AWS_PRINCIPAL: Rule = (
    concat!("self.matches('^([*]|[0-9]{12}|", principal_arn_pattern!(), ")$')"),
    "an AWS principal must be \"*\", an account of 12 digits, or the ARN of a role, a user, an account's root or a \
     session, without wildcards, such as arn:aws:iam::111122223333:role/publisher",
);
pub(super) const RAW_FEDERATED: Rule = (
    "self.matches('^(arn:aws(-[a-z]+)*:iam::[0-9]{12}:(saml|oidc)-provider/.+|[a-z0-9-]+([.][a-z0-9-]+)+)$')",
    "a federated principal must be the ARN of a SAML or OIDC provider, or an identity provider's name, such as \
     cognito-identity.amazonaws.com",
);
pub(super) const RAW_CANONICAL_USER: Rule =
    ("self.matches('^[0-9a-f]{64}$')", "a canonical user must be its id of 64 hexadecimal digits");
pub(super) const RAW_ACTION: Rule = (
    "self.matches('^events:[A-Za-z*?]+$')",
    "an action must be events: and the name of an action, in which * and ? may stand for more, such as events:PutEvents",
);
pub(super) const RAW_CONDITION_OPERATOR: Rule = (
    concat!("self.all(o, o.matches('", operator_pattern!(), "'))"),
    "raw.condition must have only IAM's operators, such as StringEquals, StringLike, ArnLike, Bool or Null, with \
     ForAnyValue: or ForAllValues: before them or IfExists after them if need be",
);
pub(super) const RAW_CONDITION_KEY: Rule = (
    "self.all(k, k.matches('^[A-Za-z0-9-]+:.+$'))",
    "raw.condition must have only condition keys with their prefix, such as aws:SourceArn or events:source",
);
pub(super) const RAW_CONDITION_KEY_UNIQUE: Rule = (
    "self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))",
    "raw.condition must not repeat a key in another case under one operator: put the values into one of them",
);
