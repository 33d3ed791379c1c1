//! Which objects may be on which bus, so that a flight does not look at every object of the cluster. By the name of the bus
//! alone: whether an object really means a bus, or meant it first, is looked at again for each flight.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use busgrant_policy::BusArn;

use super::permission::Permission;
use crate::api::EventBus;

/// An object's namespace and name.
pub type Key = (Box<str>, Box<str>);

/// Objects by the name of their bus. An entry too many costs a look; what was never noted is not found.
#[derive(Debug, Default)]
pub struct Index {
    by_bus_name: Mutex<HashMap<Box<str>, BTreeSet<Key>>>,
}

impl Index {
    fn entries(&self) -> MutexGuard<'_, HashMap<Box<str>, BTreeSet<Key>>> {
        self.by_bus_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an object as it is now.
    pub fn note(&self, object: &Permission) {
        let mut entries = self.entries();
        for name in bus_names(object) {
            let objects = entries.entry(name).or_default();
            objects.insert((object.namespace().into(), object.name().into()));
        }
    }

    /// Forgets what is not among these objects.
    pub fn retain(&self, is_there: impl Fn(&Key) -> bool) {
        self.entries().retain(|_, objects| {
            objects.retain(|key| is_there(key));
            !objects.is_empty()
        });
    }

    /// Whether any object may be on a bus.
    pub fn has_any(&self, bus: &BusArn) -> bool {
        self.entries().contains_key(bus.name().as_str())
    }

    /// The objects that may be on a bus.
    pub fn on(&self, bus: &BusArn) -> Vec<Key> {
        let entries = self.entries();
        entries.get(bus.name().as_str()).into_iter().flatten().cloned().collect()
    }
}

/// The names of the buses that an object means or meant first.
fn bus_names(object: &Permission) -> impl Iterator<Item = Box<str>> {
    let EventBus { name, arn, .. } = object.event_bus().unwrap_or_default();
    let arns = [arn.as_deref(), object.pinned_bus()];
    let of_arns = arns.into_iter().flatten().filter_map(|arn| arn.rsplit('/').next());
    let of_arns: Vec<Box<str>> = of_arns.map(Box::from).collect();
    name.map(String::into_boxed_str).into_iter().chain(of_arns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, bus: &serde_json::Value, pinned: Option<&str>) -> Permission {
        let status = pinned.map(|arn| json!({"eventBus": {"arn": arn}}));
        serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": name},
            "spec": {"eventBus": bus, "statements": []}, "status": status,
        }))
        .unwrap()
    }

    fn arn(name: &str) -> String {
        format!("arn:aws:events:eu-west-1:123456789012:event-bus/{name}")
    }

    fn names(index: &Index, bus: &str) -> Vec<String> {
        index.on(&arn(bus).parse().unwrap()).into_iter().map(|(_, name)| name.into()).collect()
    }

    #[test]
    fn an_object_is_found_by_name_by_arn_and_by_the_bus_that_it_meant_first() {
        let index = Index::default();
        index.note(&object("by-name", &json!({"name": "orders"}), None));
        index.note(&object("by-arn", &json!({"arn": arn("orders")}), None));
        index.note(&object("moved", &json!({"name": "elsewhere"}), Some(&arn("orders"))));
        assert_eq!(names(&index, "orders"), ["by-arn", "by-name", "moved"]);
        assert_eq!(names(&index, "elsewhere"), ["moved"]);
        index.retain(|(_, name)| &**name == "by-arn");
        assert_eq!(names(&index, "orders"), ["by-arn"]);
        assert!(names(&index, "elsewhere").is_empty());
    }
}
