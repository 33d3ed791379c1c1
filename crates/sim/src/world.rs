//! Everything the simulator knows, under one lock, so that its events have one total order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::arn::partition;
use crate::config::{Config, Settings};
use crate::error::Refusal;
use crate::evaluate::{self, Attempt};
use crate::fault::Faults;
use crate::iam::Iam;
use crate::journal::{Journal, Writer};
use crate::policy::Policy;
use crate::random::{Random, fingerprint};

/// Versions of a bus's policy that are kept for stale reads and delayed effect.
const HISTORY: usize = 16;

/// Which bus: account, Region, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusName {
    /// The owning account.
    pub account: String,
    /// The Region, from which the partition follows.
    pub region: String,
    /// The name; every account and Region has a bus `default`.
    pub name: String,
}

impl BusName {
    /// A bus by its account, Region and name.
    pub fn new(account: &str, region: &str, name: &str) -> Self {
        Self { account: account.to_owned(), region: region.to_owned(), name: name.to_owned() }
    }

    /// The partition of the bus's Region.
    pub fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    /// The bus's ARN.
    pub fn arn(&self) -> String {
        format!("arn:{}:events:{}:{}:event-bus/{}", self.partition(), self.region, self.account, self.name)
    }

    pub(crate) fn root_arn(&self, account: &str) -> String {
        format!("arn:{}:iam::{account}:root", self.partition())
    }

    /// A rule's ARN: rules of the default bus go without its name.
    pub(crate) fn rule_arn(&self, rule: &str) -> String {
        let bus = if self.name == "default" { String::new() } else { format!("{}/", self.name) };
        format!("arn:{}:events:{}:{}:rule/{bus}{rule}", self.partition(), self.region, self.account)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Bus {
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) policy: Option<Arc<Policy>>,
    /// What a read without faults shows, once one has asked for it.
    shown: Option<Arc<str>>,
    /// Grows with every change, for conflict detection.
    pub(crate) revision: u64,
    /// Earlier policies, each with the time when another replaced it.
    history: VecDeque<(i64, Option<Arc<Policy>>)>,
    /// Rule names and the accounts that made them.
    pub(crate) rules: BTreeMap<String, String>,
}

impl Bus {
    fn new(name: &BusName, description: Option<&str>, now: i64) -> Self {
        // The two times are equal at first (aws-observations #5).
        let (arn, description) = (name.arn(), description.map(ToOwned::to_owned));
        Self { arn, description, created: now, modified: now, ..Self::default() }
    }

    /// The policy as it stood at a time.
    pub(crate) fn policy_at(&self, when: i64) -> Option<&Arc<Policy>> {
        let replaced_later = self.history.iter().find(|(replaced, _)| *replaced > when);
        replaced_later.map_or(self.policy.as_ref(), |(_, policy)| policy.as_ref())
    }

    /// The policy some changes ago.
    pub(crate) fn policy_behind(&self, changes: usize) -> Option<&Arc<Policy>> {
        match changes.min(self.history.len()) {
            0 => self.policy.as_ref(),
            behind => self.history[self.history.len() - behind].1.as_ref(),
        }
    }

    /// What a read shows, with this text of a policy. Where that is the text of the policy which stands, it is kept: lists
    /// are made of it.
    pub(crate) fn shown(&mut self, name: &str, policy: Option<&Arc<str>>) -> Arc<str> {
        let stands = policy.map(Arc::as_ptr) == self.policy.as_ref().map(|policy| Arc::as_ptr(&policy.text));
        if let Some(shown) = self.shown.as_ref().filter(|_| stands) {
            return Arc::clone(shown);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch fit 53 bits")]
        let [created, modified] = [self.created, self.modified].map(|millis| millis as f64 / 1000.0);
        let fields = [
            ("Name", Some(json!(name))),
            ("Arn", Some(json!(self.arn))),
            ("Description", self.description.as_deref().map(Value::from)),
            ("CreationTime", Some(json!(created))),
            ("LastModifiedTime", Some(json!(modified))),
            ("Policy", policy.map(|text| json!(**text))),
        ];
        let fields: Map<_, _> =
            fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
        let shown: Arc<str> = Value::Object(fields).to_string().into();
        if stands {
            self.shown = Some(Arc::clone(&shown));
        }
        shown
    }
}

type Shelf = BTreeMap<String, Bus>;

#[derive(Debug)]
pub(crate) struct World {
    /// Milliseconds since the epoch when the lock was taken: the machine's clock, plus what tests advanced it by.
    pub(crate) now: i64,
    advanced: i64,
    pub(crate) settings: Settings,
    shelves: BTreeMap<(String, String), Shelf>,
    pub(crate) iam: Iam,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) random: Random,
    /// Foreign writers at work.
    pub(crate) writers: Vec<AbortHandle>,
}

impl World {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        Ok(Self {
            now: 0,
            advanced: 0,
            settings: config.settings.clone(),
            shelves: BTreeMap::new(),
            iam: Iam::new(config),
            faults: Faults::default(),
            journal: Journal::new(config)?,
            random: Random::new(fingerprint(&config.listen.to_string())),
            writers: Vec::new(),
        })
    }

    pub(crate) fn tick(&mut self) {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.now = i64::try_from(machine.as_millis()).unwrap_or(i64::MAX).saturating_add(self.advanced);
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.advanced = self.advanced.saturating_add_unsigned(millis).min(i64::MAX / 4);
    }

    /// The buses of an account and Region, `default` among them.
    pub(crate) fn shelf(&mut self, account: &str, region: &str) -> &mut Shelf {
        let now = self.now;
        self.shelves.entry((account.to_owned(), region.to_owned())).or_insert_with(|| {
            let name = BusName::new(account, region, "default");
            Shelf::from([(name.name.clone(), Bus::new(&name, None, now))])
        })
    }

    pub(crate) fn bus(&mut self, name: &BusName) -> Result<&mut Bus, Refusal> {
        let found = self.shelf(&name.account, &name.region).get_mut(&name.name);
        found.ok_or_else(|| Refusal::no_bus(&name.name))
    }

    pub(crate) fn create_bus(&mut self, name: &BusName, description: Option<&str>) -> Result<(), Refusal> {
        let now = self.now;
        let buses = self.shelf(&name.account, &name.region);
        if buses.contains_key(&name.name) {
            let message = format!("Event bus {} already exists.", name.name); // aws-observations #218
            return Err(Refusal::new(400, "ResourceAlreadyExistsException", message));
        }
        buses.insert(name.name.clone(), Bus::new(name, description, now));
        Ok(())
    }

    pub(crate) fn delete_bus(&mut self, name: &BusName, writer: Writer) {
        let removed = self.shelf(&name.account, &name.region).remove(&name.name);
        if let Some(policy) = removed.and_then(|bus| bus.policy) {
            self.journal.changed(self.now, writer, name, Some(&policy.text), None);
        }
    }

    pub(crate) fn bus_names(&self) -> Vec<BusName> {
        let shelves = self.shelves.iter();
        let all = shelves.flat_map(|((account, region), buses)| buses.keys().map(move |name| (account, region, name)));
        all.map(|(account, region, name)| BusName::new(account, region, name)).collect()
    }

    /// Replaces a bus's policy: the only place where one changes. Returns the sequence number of the change.
    pub(crate) fn apply(&mut self, name: &BusName, policy: Option<Policy>, writer: Writer) -> Result<u64, Refusal> {
        let now = self.now;
        let bus = self.bus(name)?;
        let before = std::mem::replace(&mut bus.policy, policy.map(Arc::new));
        bus.shown = None;
        // Each accepted change moves LastModifiedTime (aws-observations #11 to #30), two within a millisecond too.
        bus.modified = now.max(bus.modified + 1);
        bus.revision += 1;
        if bus.history.len() == HISTORY {
            bus.history.pop_front();
        }
        bus.history.push_back((now, before.clone()));
        let after = bus.policy.clone();
        let [before, after] = [&before, &after].map(|policy| policy.as_ref().map(|policy| &policy.text));
        Ok(self.journal.changed(now, writer, name, before, after))
    }

    /// What a read without faults shows of a policy.
    pub(crate) fn shown(&self, policy: &Policy) -> Arc<str> {
        policy.shown(&self.iam, self.now.saturating_sub_unsigned(self.settings.role_deletion_lag_millis))
    }

    /// Whether a bus's policy, as it stood some milliseconds ago, lets somebody do something.
    pub(crate) fn authorize(&mut self, attempt: &Attempt<'_>, ago: u64) -> Result<(), Refusal> {
        let when = self.now.saturating_sub_unsigned(ago);
        let policy = self.bus(attempt.bus).ok().and_then(|bus| bus.policy_at(when).cloned());
        evaluate::authorize(policy.as_deref(), &self.iam, attempt)
    }
}
