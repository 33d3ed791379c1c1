//! The journal: every call and every change of a policy, in one total order, so that a test can prove statements
//! about every moment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{LineWriter, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::error::Outcome;
use crate::fault::FaultId;
use crate::operation::Operation;
use crate::random::fingerprint;
use crate::world::BusName;

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
}

/// The latest records, as many as fit a number and a size. What of them is JSON stands beside them as text, a fraction
/// of the size of a parsed one, and is parsed when it is asked for.
#[derive(Debug)]
struct Ring<T> {
    records: VecDeque<(T, Option<Arc<str>>, usize)>,
    bytes: usize,
    most_records: usize,
    most_bytes: usize,
}

impl<T> Ring<T> {
    fn new(config: &Config) -> Self {
        let (most_records, most_bytes) = (config.journal_entries.max(1), config.journal_bytes / 2);
        Self { records: VecDeque::new(), bytes: 0, most_records, most_bytes }
    }

    fn push(&mut self, record: T, text: Option<Arc<str>>) {
        let bytes = size_of::<T>() + text.as_deref().map_or(0, str::len) + 256; // names, ids and messages
        self.bytes += bytes;
        self.records.push_back((record, text, bytes));
        while self.records.len() > self.most_records || (self.bytes > self.most_bytes && self.records.len() > 1) {
            self.bytes -= self.records.pop_front().map_or(0, |(_, _, bytes)| bytes);
        }
    }

    /// The records that are wanted, the latest of them if there is a limit.
    fn select(&self, limit: Option<usize>, wanted: impl Fn(&T) -> bool) -> impl Iterator<Item = (&T, Option<&str>)> {
        let records = self.records.iter().map(|(record, text, _)| (record, text.as_deref()));
        let selected: Vec<_> = records.filter(|(record, _)| wanted(record)).collect();
        let skipped = limit.map_or(0, |limit| selected.len().saturating_sub(limit));
        selected.into_iter().skip(skipped)
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    counter: u64,
    calls: Ring<JournalEntry>,
    changes: Ring<Change>,
    file: Option<LineWriter<File>>,
}

impl Journal {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let file = config.journal_file.as_ref().map(File::create).transpose()?.map(LineWriter::new);
        Ok(Self { counter: 0, calls: Ring::new(config), changes: Ring::new(config), file })
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The last sequence number given.
    pub(crate) fn last(&self) -> u64 {
        self.counter
    }

    /// A call has arrived. Its sequence number is set here, and its input is this text.
    pub(crate) fn arrived(&mut self, mut entry: JournalEntry, input: String) -> u64 {
        entry.seq = self.next();
        self.calls.push(entry, Some(input.into()));
        self.counter
    }

    /// The entry of a call, unless the journal has let go of it, and its input.
    fn find(&mut self, seq: u64) -> Option<(&mut JournalEntry, Option<&str>)> {
        let index = self.calls.records.binary_search_by_key(&seq, |(entry, ..)| entry.seq).ok()?;
        self.calls.records.get_mut(index).map(|(entry, input, _)| (entry, input.as_deref()))
    }

    pub(crate) fn update(&mut self, seq: u64, change: impl FnOnce(&mut JournalEntry)) {
        if let Some((entry, _)) = self.find(seq) {
            change(entry);
        }
    }

    /// A call was answered or, without an outcome, its connection dropped.
    pub(crate) fn answered(&mut self, seq: u64, outcome: Option<&Outcome>) {
        let (now, streamed) = (self.next(), self.file.is_some());
        let Some((entry, input)) = self.find(seq) else { return };
        let refusal = outcome.and_then(|outcome| outcome.as_ref().err());
        entry.answered = Some(now);
        entry.status = outcome.map(|_| refusal.map_or(200, |refusal| refusal.status));
        entry.error = refusal.map(|refusal| refusal.code.clone().into_owned());
        entry.message = refusal.map(|refusal| refusal.message.clone());
        if streamed {
            let entry = with_input((entry, input));
            self.write(&entry);
        }
    }

    /// A policy has changed. Returns the change's place in the order.
    pub(crate) fn changed(
        &mut self,
        at_millis: i64,
        writer: Writer,
        bus: &BusName,
        before: Option<&Arc<str>>,
        after: Option<&Arc<str>>,
    ) -> u64 {
        let BusName { account, region, name: bus } = bus.clone();
        let [policy_before, policy_after] = [before, after].map(|text| text.map(|text| policy_hash(text)));
        let seq = self.next();
        let change = Change { seq, at_millis, account, region, bus, writer, policy_before, policy_after, policy: None };
        if self.file.is_some() {
            self.write(&with_policy((&change, after.map(|text| &**text))));
        }
        self.changes.push(change, after.cloned());
        seq
    }

    pub(crate) fn entries(&self, filter: &JournalFilter) -> Vec<JournalEntry> {
        let wanted = |entry: &JournalEntry| {
            filter.selects(entry.seq, &entry.account, &entry.region, entry.bus.as_deref())
                && filter.operation.is_none_or(|operation| operation == entry.operation)
        };
        self.calls.select(filter.limit, wanted).map(with_input).collect()
    }

    pub(crate) fn changes(&self, filter: &JournalFilter) -> Vec<Change> {
        let wanted = |change: &Change| filter.selects(change.seq, &change.account, &change.region, Some(&change.bus));
        self.changes.select(filter.limit, wanted).map(with_policy).collect()
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

/// With the input as JSON, or as the text that it is.
fn with_input((entry, input): (&JournalEntry, Option<&str>)) -> JournalEntry {
    let input = input.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    JournalEntry { input: input.unwrap_or_default(), ..entry.clone() }
}

fn with_policy((change, policy): (&Change, Option<&str>)) -> Change {
    Change { policy: policy.and_then(|text| serde_json::from_str(text).ok()), ..change.clone() }
}

/// The fingerprint by which the journal tells policies apart.
pub(crate) fn policy_hash(text: &str) -> String {
    format!("{:016x}", fingerprint(text))
}
