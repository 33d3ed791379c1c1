//! Everything the simulator knows, under one lock, so that its events have one total order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::error::Refusal;
use crate::faults::Faults;
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

/// The partition follows the Region (AWS SDK endpoint data: partitions aws, aws-cn, aws-us-gov).
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        cn if cn.starts_with("cn-") => "aws-cn",
        gov if gov.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) policy: Option<Arc<Policy>>,
    /// Grows with every change, for conflict detection.
    pub(crate) revision: u64,
    /// Earlier policies, each with the time it was replaced.
    history: VecDeque<(i64, Option<Arc<Policy>>)>,
    /// Rule names and the accounts that made them.
    pub(crate) rules: BTreeMap<String, String>,
}

impl Bus {
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
}

type Shelf = BTreeMap<String, Bus>;

#[derive(Debug)]
pub(crate) struct World {
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
    pub(crate) fn configure(&mut self, settings: Settings) {
        self.iam.deletion_lag_millis = i64::try_from(settings.role_deletion_lag_millis).unwrap_or(i64::MAX / 2);
        self.settings = settings;
    }

    /// The buses of an account and Region, `default` among them.
    pub(crate) fn shelf(&mut self, account: &str, region: &str, now: i64) -> &mut Shelf {
        self.shelves.entry((account.to_owned(), region.to_owned())).or_insert_with(|| {
            let name = BusName::new(account, region, "default");
            Shelf::from([(name.name.clone(), new_bus(&name, None, now))])
        })
    }

    pub(crate) fn bus(&mut self, name: &BusName, now: i64) -> Result<&mut Bus, Refusal> {
        let found = self.shelf(&name.account, &name.region, now).get_mut(&name.name);
        found.ok_or_else(|| Refusal::no_bus(&name.name))
    }

    pub(crate) fn create_bus(&mut self, name: &BusName, description: Option<&str>, now: i64) -> Result<(), Refusal> {
        let buses = self.shelf(&name.account, &name.region, now);
        if buses.contains_key(&name.name) {
            let message = format!("Event bus {} already exists.", name.name); // aws-observations #218
            return Err(Refusal::new(400, "ResourceAlreadyExistsException", message));
        }
        buses.insert(name.name.clone(), new_bus(name, description, now));
        Ok(())
    }

    pub(crate) fn delete_bus(&mut self, name: &BusName, writer: Writer, now: i64) {
        let removed = self.shelf(&name.account, &name.region, now).remove(&name.name);
        if let Some(policy) = removed.and_then(|bus| bus.policy) {
            self.journal.changed(writer, name, Some(&policy.text), None, now);
        }
    }

    pub(crate) fn bus_names(&self) -> Vec<BusName> {
        let names = self
            .shelves
            .iter()
            .flat_map(|((account, region), shelf)| shelf.keys().map(move |name| BusName::new(account, region, name)));
        names.collect()
    }

    /// Replaces a bus's policy: the only place where one changes. Returns the sequence number of the change.
    pub(crate) fn apply(
        &mut self,
        name: &BusName,
        policy: Option<Policy>,
        writer: Writer,
        now: i64,
    ) -> Result<u64, Refusal> {
        let bus = self.bus(name, now)?;
        let before = std::mem::replace(&mut bus.policy, policy.map(Arc::new));
        // Each accepted change moves LastModifiedTime (aws-observations #11 to #30), two within a millisecond too.
        bus.modified = now.max(bus.modified + 1);
        bus.revision += 1;
        if bus.history.len() == HISTORY {
            bus.history.pop_front();
        }
        bus.history.push_back((now, before.clone()));
        let after = bus.policy.clone();
        let text = |policy: &Option<Arc<Policy>>| policy.as_ref().map(|policy| Arc::clone(&policy.text));
        Ok(self.journal.changed(writer, name, text(&before).as_deref(), text(&after).as_deref(), now))
    }
}

fn new_bus(name: &BusName, description: Option<&str>, now: i64) -> Bus {
    Bus {
        arn: name.arn(),
        description: description.map(ToOwned::to_owned),
        created: now,
        modified: now, // equals the creation time at first (aws-observations #5)
        policy: None,
        revision: 0,
        history: VecDeque::new(),
        rules: BTreeMap::new(),
    }
}

/// What the server, the control API and the handle share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) clock: Clock,
    world: Mutex<World>,
    /// Told of everything that happens: held calls and waiting tests look again.
    pub(crate) changed: Notify,
}

impl Core {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let mut world = World {
            settings: Settings::default(),
            shelves: BTreeMap::new(),
            iam: Iam::new(config),
            faults: Faults::default(),
            journal: Journal::new(config)?,
            random: Random::new(fingerprint(&config.listen.to_string())),
            writers: Vec::new(),
        };
        world.configure(config.settings.clone());
        Ok(Self { clock: Clock::default(), world: Mutex::new(world), changed: Notify::new() })
    }

    /// The world and the time. A panic of another holder is its test's failure, not ours.
    pub(crate) fn lock(&self) -> (MutexGuard<'_, World>, i64) {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        (world, self.clock.now())
    }
}
