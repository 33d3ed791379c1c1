//! The journal: every call and every change of a policy, in one total order, so that a test can prove statements
//! about every moment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{LineWriter, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::fault::FaultId;
use crate::operation::Operation;
use crate::random::fingerprint;
use crate::state::BusName;

/// One call. `seq`, `applied` and `answered` come from one counter, which changes share: they tell what came first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    /// When the call arrived, in the total order.
    pub seq: u64,
    /// When the call arrived, in milliseconds since the epoch.
    pub at_millis: i64,
    /// The caller's account, empty when the credentials were refused.
    pub account: String,
    /// The caller's ARN.
    pub caller: String,
    /// The Region of the call.
    pub region: String,
    /// What was called.
    pub operation: Operation,
    /// The call's input: a JSON object, or a string when it was not JSON.
    pub input: Value,
    /// The bus's name that the call gave, bare; `default` when it gave none.
    pub bus: Option<String>,
    /// The faults that struck.
    pub faults: Vec<FaultId>,
    /// When a write took effect, in the total order. Absent when it had none, as for a lost update.
    pub applied: Option<u64>,
    /// Fingerprint of the bus's policy before a write; absent when there was none.
    pub policy_before: Option<String>,
    /// Fingerprint of the bus's policy after a write.
    pub policy_after: Option<String>,
    /// When the answer was given or the connection dropped, in the total order. Absent while the call is held.
    pub answered: Option<u64>,
    /// The answer's HTTP status; absent when the connection was dropped without one.
    pub status: Option<u16>,
    /// The answer's error type.
    pub error: Option<String>,
    /// The answer's error message.
    pub message: Option<String>,
    /// The client went away before the answer was ready.
    pub client_gone: bool,
}

impl JournalEntry {
    /// Whether the call was answered with success.
    pub fn succeeded(&self) -> bool {
        self.status == Some(200)
    }
}

/// Who changed a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Writer {
    /// The call with this sequence number.
    Call(u64),
    /// A foreign writer: the handle, the control API, or a fault.
    Foreign,
}

/// One change of one bus's policy, with the policy after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When, in the total order.
    pub seq: u64,
    /// When, in milliseconds since the epoch.
    pub at_millis: i64,
    /// The bus's account.
    pub account: String,
    /// The bus's Region.
    pub region: String,
    /// The bus's name.
    pub bus: String,
    /// Who did it.
    pub writer: Writer,
    /// Fingerprint of the policy before.
    pub policy_before: Option<String>,
    /// Fingerprint of the policy after.
    pub policy_after: Option<String>,
    /// The policy after; absent when none is left.
    pub policy: Option<Value>,
}

/// Which entries to return. Fields that are absent select everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Only what came after this sequence number.
    pub since: Option<u64>,
    /// Only this operation.
    pub operation: Option<Operation>,
    /// Only calls by this account, or changes of its buses.
    pub account: Option<String>,
    /// Only this Region.
    pub region: Option<String>,
    /// Only this bus's name.
    pub bus: Option<String>,
    /// At most so many, the latest ones.
    pub limit: Option<usize>,
}

impl JournalFilter {
    /// All calls of one operation.
    pub fn operation(operation: Operation) -> Self {
        Self { operation: Some(operation), ..Self::default() }
    }

    /// All calls and changes after a sequence number.
    pub fn since(seq: u64) -> Self {
        Self { since: Some(seq), ..Self::default() }
    }

    fn selects(&self, seq: u64, account: &str, region: &str, bus: Option<&str>) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        let place = is(&self.account, Some(account)) && is(&self.region, Some(region)) && is(&self.bus, bus);
        place && self.since.is_none_or(|since| seq > since)
    }

    fn latest<T>(&self, mut items: Vec<T>) -> Vec<T> {
        items.split_off(self.limit.map_or(0, |limit| items.len().saturating_sub(limit)))
    }
}

/// The latest items, as many as fit a number and a size.
#[derive(Debug)]
struct Ring<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    most_items: usize,
    most_bytes: usize,
}

impl<T> Ring<T> {
    fn new(most_items: usize, most_bytes: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, most_items: most_items.max(1), most_bytes }
    }

    fn push(&mut self, text_bytes: usize, item: T) {
        let bytes = size_of::<T>() + text_bytes + 256; // names, ids and messages
        self.bytes += bytes;
        self.items.push_back((bytes, item));
        while self.items.len() > self.most_items || (self.bytes > self.most_bytes && self.items.len() > 1) {
            self.bytes -= self.items.pop_front().map_or(0, |(bytes, _)| bytes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    counter: u64,
    /// Inputs and policies are kept as text, a fraction of the size of a parsed one, and parsed when they are asked for.
    calls: Ring<JournalEntry>,
    changes: Ring<Change>,
    file: Option<LineWriter<File>>,
}

impl Journal {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let file = config.journal_file.as_ref().map(File::create).transpose()?.map(LineWriter::new);
        let (entries, bytes) = (config.journal_entries, config.journal_bytes / 2);
        Ok(Self { counter: 0, calls: Ring::new(entries, bytes), changes: Ring::new(entries, bytes), file })
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The last sequence number given.
    pub(crate) fn last(&self) -> u64 {
        self.counter
    }

    /// A call has arrived. Its sequence number, and input, are set here.
    pub(crate) fn arrived(&mut self, mut entry: JournalEntry, input: &str) -> u64 {
        entry.seq = self.next();
        entry.input = Value::String(input.to_owned());
        self.calls.push(input.len(), entry);
        self.counter
    }

    /// Changes the entry of a call, unless the journal has let go of it.
    pub(crate) fn update(&mut self, seq: u64, change: impl FnOnce(&mut JournalEntry)) -> Option<&JournalEntry> {
        let index = self.calls.items.binary_search_by_key(&seq, |(_, entry)| entry.seq).ok()?;
        let (_, entry) = self.calls.items.get_mut(index)?;
        change(entry);
        Some(entry)
    }

    /// A call was answered, or its connection dropped.
    pub(crate) fn answered(&mut self, seq: u64, change: impl FnOnce(&mut JournalEntry)) {
        let (now, streamed) = (self.next(), self.file.is_some());
        let entry = self.update(seq, |entry| {
            entry.answered = Some(now);
            change(entry);
        });
        if let Some(entry) = entry.filter(|_| streamed).map(with_parsed_input) {
            self.write(&entry);
        }
    }

    /// A policy has changed. Returns the change's place in the order.
    pub(crate) fn changed(
        &mut self,
        writer: Writer,
        bus: &BusName,
        before: Option<&str>,
        after: Option<&str>,
        now: i64,
    ) -> u64 {
        let change = Change {
            seq: self.next(),
            at_millis: now,
            account: bus.account.clone(),
            region: bus.region.clone(),
            bus: bus.name.clone(),
            writer,
            policy_before: before.map(policy_hash),
            policy_after: after.map(policy_hash),
            policy: after.map(Value::from),
        };
        if self.file.is_some() {
            self.write(&with_parsed_policy(&change));
        }
        self.changes.push(after.map_or(0, str::len), change);
        self.counter
    }

    pub(crate) fn entries(&self, filter: &JournalFilter) -> Vec<JournalEntry> {
        let wanted = |entry: &&JournalEntry| {
            filter.selects(entry.seq, &entry.account, &entry.region, entry.bus.as_deref())
                && filter.operation.is_none_or(|operation| operation == entry.operation)
        };
        let selected = self.calls.items.iter().map(|(_, entry)| entry).filter(wanted).collect();
        filter.latest(selected).into_iter().map(with_parsed_input).collect()
    }

    pub(crate) fn changes(&self, filter: &JournalFilter) -> Vec<Change> {
        let wanted = |change: &&Change| filter.selects(change.seq, &change.account, &change.region, Some(&change.bus));
        let selected = self.changes.items.iter().map(|(_, change)| change).filter(wanted).collect();
        filter.latest(selected).into_iter().map(with_parsed_policy).collect()
    }

    fn write(&mut self, line: &impl Serialize) {
        let Some(file) = &mut self.file else { return };
        let text = serde_json::to_string(line).map_err(std::io::Error::from);
        if let Err(error) = text.and_then(|text| writeln!(file, "{text}")) {
            tracing::error!(%error, "the journal file can't be written any more");
            self.file = None;
        }
    }
}

fn with_parsed_input(entry: &JournalEntry) -> JournalEntry {
    JournalEntry { input: parsed(&entry.input), ..entry.clone() }
}

fn with_parsed_policy(change: &Change) -> Change {
    Change { policy: change.policy.as_ref().map(parsed), ..change.clone() }
}

/// The JSON in a text, or the text.
fn parsed(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| text.clone())
}

/// The fingerprint by which the journal tells policies apart.
pub(crate) fn policy_hash(text: &str) -> String {
    format!("{:016x}", fingerprint(text))
}
