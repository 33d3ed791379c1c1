//! What stands at the moment when metrics are asked for: buses by their policy, objects by their conditions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use busgrant_policy::BusArn;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::leadership::Leadership;
use super::metrics::CONTROLLER;
use super::permission::Permission;
use super::standing::Standing;

/// The policy of a bus in numbers, as last read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BusNumbers {
    /// Its length in characters.
    pub characters: usize,
    /// How long it may be.
    pub allowed: usize,
    /// Statements of this owner.
    pub own: usize,
    /// Those of them that no object claims.
    pub orphaned: usize,
    /// Everybody else's statements.
    pub foreign: usize,
}

type Number = fn(&BusNumbers) -> usize;

/// Where what stands is looked up.
pub trait Observed: Send + Sync {
    /// Every object.
    fn objects(&self) -> Vec<Arc<Permission>>;

    /// How an object stands, once that is known.
    fn standing(&self, object: &Permission) -> Option<Standing>;

    /// How many objects wait for their bus, or are being served.
    fn queue_depth(&self) -> usize;
}

/// Gauges that are made when they are asked for.
pub struct Gauges {
    per_object: bool,
    buses: Mutex<BTreeMap<BusArn, (BusNumbers, Timestamp)>>,
    leadership: OnceLock<(String, Leadership)>,
    observed: OnceLock<Weak<dyn Observed>>,
}

impl Gauges {
    /// None yet. With `per_object`, every object's conditions are told by series of their own.
    pub fn new(per_object: bool) -> Self {
        Self { per_object, buses: Mutex::default(), leadership: OnceLock::new(), observed: OnceLock::new() }
    }

    fn buses(&self) -> MutexGuard<'_, BTreeMap<BusArn, (BusNumbers, Timestamp)>> {
        self.buses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bus was read.
    pub fn read(&self, bus: &BusArn, numbers: BusNumbers) {
        self.buses().insert(bus.clone(), (numbers, Timestamp::now()));
    }

    /// A bus was seen to be as it was last read.
    pub fn confirmed(&self, bus: &BusArn) {
        if let Some((_, at)) = self.buses().get_mut(bus) {
            *at = Timestamp::now();
        }
    }

    /// A bus has no objects any more.
    pub fn forget(&self, bus: &BusArn) {
        self.buses().remove(bus);
    }

    /// Whether this process leads is told from now on.
    pub fn tell_leadership(&self, lease: String, leadership: Leadership) {
        // There is one lease in a process.
        let _ = self.leadership.set((lease, leadership));
    }

    /// What stands is looked up there from now on.
    pub fn look_at(&self, observed: Weak<dyn Observed>) {
        // There is one controller in a process.
        let _ = self.observed.set(observed);
    }

    fn observed(&self) -> Option<Arc<dyn Observed>> {
        self.observed.get().and_then(Weak::upgrade)
    }

    /// Where every object's conditions are looked up, if they are told by series of their own.
    pub fn each_object(&self) -> Option<Arc<dyn Observed>> {
        self.observed().filter(|_| self.per_object)
    }

    fn encode_buses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let buses: Vec<_> = self.buses().iter().map(|(bus, known)| (bus.to_string(), *known)).collect();
        let one: [(&str, &str, Number); 3] = [
            ("busgrant_policy_characters", "Length of the bus's policy", |n| n.characters),
            ("busgrant_policy_characters_allowed", "How long it may be", |n| n.allowed),
            ("busgrant_orphaned_statements", "Live statements of this owner that no object claims", |n| n.orphaned),
        ];
        for (name, help, number) in one {
            let mut family = Rows::of(encoder, name, help)?;
            for (bus, (numbers, _)) in &buses {
                family.row(&[("bus", bus)], count(number(numbers)))?;
            }
        }
        let mut family = Rows::of(encoder, "busgrant_statements", "Statements of the bus's policy, by whose they are")?;
        for (bus, (numbers, _)) in &buses {
            family.row(&[("bus", bus), ("owner", "self")], count(numbers.own))?;
            family.row(&[("bus", bus), ("owner", "foreign")], count(numbers.foreign))?;
        }
        let help = "When the bus's policy was last read, or seen to be as last read";
        let mut family = Rows::of(encoder, "busgrant_last_sync_timestamp_seconds", help)?;
        for (bus, (_, at)) in &buses {
            family.row(&[("bus", bus)], at.as_duration().as_secs_f64())?;
        }
        Ok(())
    }
}

fn encode_objects(encoder: &mut DescriptorEncoder<'_>, observed: &dyn Observed) -> fmt::Result {
    let mut by_standing = BTreeMap::<_, usize>::new();
    for standing in observed.objects().iter().filter_map(|object| observed.standing(object)) {
        *by_standing.entry((standing.ready(), standing.reason.as_str())).or_default() += 1;
    }
    let help = "EventBusPermissions, by the condition Ready and its reason";
    let mut family = Rows::of(encoder, "busgrant_permissions", help)?;
    for ((ready, reason), number) in by_standing {
        family.row(&[("ready", ready), ("reason", reason)], count(number))?;
    }
    Ok(())
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_buses(&mut encoder)?;
        if let Some((lease, leadership)) = self.leadership.get() {
            let help = "Whether this process leads";
            let mut family = Rows::of(&mut encoder, "leader_election_master_status", help)?;
            family.row(&[("name", lease)], i64::from(leadership.leads()))?;
        }
        let Some(observed) = self.observed() else { return Ok(()) };
        let help = "Objects that wait for their bus, or are being served";
        let mut family = Rows::of(&mut encoder, "workqueue_depth", help)?;
        let labels = [("controller", CONTROLLER), ("name", CONTROLLER)];
        family.row(&labels, count(observed.queue_depth()))?;
        encode_objects(&mut encoder, &*observed)
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

/// The rows of one gauge.
struct Rows<'a>(prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Rows<'a> {
    fn of(encoder: &'a mut DescriptorEncoder<'_>, name: &'a str, help: &str) -> Result<Self, fmt::Error> {
        Ok(Self(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?))
    }

    fn row<N: EncodeGaugeValue>(&mut self, labels: &[(&str, &str)], value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        ConstGauge::new(value).encode(self.0.encode_family(&labels)?)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
