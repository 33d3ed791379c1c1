//! The journal: every call and every change of a policy, in one total order, so that a test can prove statements
//! about every moment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{LineWriter, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::faults::FaultId;
use crate::operation::Operation;
use crate::random::fingerprint;
use crate::state::BusName;

/// One call. `seq`, `applied` and `answered` come from one counter, which changes share: they tell what came first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The client had gone before the answer was ready.
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
        Self {
            operation: Some(operation),
            ..Self::default()
        }
    }

    /// All calls and changes after a sequence number.
    pub fn since(seq: u64) -> Self {
        Self {
            since: Some(seq),
            ..Self::default()
        }
    }

    fn place(&self, account: &str, region: &str, bus: Option<&str>) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        is(&self.account, Some(account)) && is(&self.region, Some(region)) && is(&self.bus, bus)
    }

    fn newer(&self, seq: u64) -> bool {
        self.since.is_none_or(|since| seq > since)
    }
}

/// An entry with its input still as text, which is a fraction of the size of a parsed one.
#[derive(Debug)]
struct Record {
    entry: JournalEntry,
    input: Box<str>,
}

impl Record {
    fn entry(&self) -> JournalEntry {
        let input = serde_json::from_str(&self.input).unwrap_or_else(|_| Value::String(self.input.to_string()));
        JournalEntry {
            input,
            ..self.entry.clone()
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.input.len() + self.entry.message.as_ref().map_or(0, String::len) + 128
    }
}

#[derive(Debug)]
struct Applied {
    change: Change,
    text: Option<Arc<str>>,
}

impl Applied {
    fn change(&self) -> Change {
        let policy = self.text.as_ref().and_then(|text| serde_json::from_str(text).ok());
        Change {
            policy,
            ..self.change.clone()
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.as_ref().map_or(0, |text| text.len()) + 96
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    counter: u64,
    calls: VecDeque<Record>,
    call_bytes: usize,
    changes: VecDeque<Applied>,
    change_bytes: usize,
    most_entries: usize,
    most_bytes: usize,
    file: Option<LineWriter<File>>,
}

impl Journal {
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let file = config
            .journal_file
            .as_ref()
            .map(File::create)
            .transpose()?
            .map(LineWriter::new);
        Ok(Self {
            counter: 0,
            calls: VecDeque::new(),
            call_bytes: 0,
            changes: VecDeque::new(),
            change_bytes: 0,
            most_entries: config.journal_entries.max(1),
            most_bytes: config.journal_bytes / 2, // half for calls, half for changes
            file,
        })
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
        let (seq, record) = (
            entry.seq,
            Record {
                entry,
                input: input.into(),
            },
        );
        self.call_bytes += record.bytes();
        self.calls.push_back(record);
        while self.calls.len() > self.most_entries || (self.call_bytes > self.most_bytes && self.calls.len() > 1) {
            self.call_bytes -= self.calls.pop_front().map_or(0, |record| record.bytes());
        }
        seq
    }

    /// Changes the entry of a call, unless the journal has let go of it.
    pub(crate) fn update(&mut self, seq: u64, change: impl FnOnce(&mut JournalEntry)) {
        if let Ok(index) = self.calls.binary_search_by_key(&seq, |record| record.entry.seq) {
            let record = &mut self.calls[index];
            let before = record.bytes();
            change(&mut record.entry);
            self.call_bytes = self.call_bytes + record.bytes() - before;
        }
    }

    /// A call was answered, or its connection dropped.
    pub(crate) fn answered(&mut self, seq: u64, change: impl FnOnce(&mut JournalEntry)) {
        let now = self.next();
        self.update(seq, |entry| {
            entry.answered = Some(now);
            change(entry);
        });
        if self.file.is_some()
            && let Ok(index) = self.calls.binary_search_by_key(&seq, |record| record.entry.seq)
        {
            let entry = self.calls[index].entry();
            self.write(&entry);
        }
    }

    /// A policy has changed. Returns the change's place in the order.
    pub(crate) fn changed(
        &mut self,
        writer: Writer,
        bus: &BusName,
        before: Option<&Arc<str>>,
        after: Option<Arc<str>>,
        now: i64,
    ) -> u64 {
        let change = Change {
            seq: self.next(),
            at_millis: now,
            account: bus.account.clone(),
            region: bus.region.clone(),
            bus: bus.name.clone(),
            writer,
            policy_before: before.map(|text| policy_hash(text)),
            policy_after: after.as_ref().map(|text| policy_hash(text)),
            policy: None,
        };
        let seq = change.seq;
        let applied = Applied { change, text: after };
        if self.file.is_some() {
            let change = applied.change();
            self.write(&change);
        }
        self.change_bytes += applied.bytes();
        self.changes.push_back(applied);
        while self.changes.len() > self.most_entries || (self.change_bytes > self.most_bytes && self.changes.len() > 1)
        {
            self.change_bytes -= self.changes.pop_front().map_or(0, |applied| applied.bytes());
        }
        seq
    }

    pub(crate) fn entries(&self, filter: &JournalFilter) -> Vec<JournalEntry> {
        let wanted = |record: &&Record| {
            let entry = &record.entry;
            filter.newer(entry.seq)
                && filter.operation.is_none_or(|operation| operation == entry.operation)
                && filter.place(&entry.account, &entry.region, entry.bus.as_deref())
        };
        latest(self.calls.iter().filter(wanted).collect(), filter.limit)
            .iter()
            .map(|record| record.entry())
            .collect()
    }

    pub(crate) fn changes(&self, filter: &JournalFilter) -> Vec<Change> {
        let wanted = |applied: &&Applied| {
            let change = &applied.change;
            filter.newer(change.seq) && filter.place(&change.account, &change.region, Some(&change.bus))
        };
        latest(self.changes.iter().filter(wanted).collect(), filter.limit)
            .iter()
            .map(|one| one.change())
            .collect()
    }

    fn write(&mut self, line: &impl Serialize) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_string(line)
            .map_err(std::io::Error::from)
            .and_then(|text| writeln!(file, "{text}"));
        if let Err(error) = written {
            tracing::error!(%error, "the journal file can't be written any more");
            self.file = None;
        }
    }
}

fn latest<T>(mut items: Vec<T>, limit: Option<usize>) -> Vec<T> {
    let surplus = limit.map_or(0, |limit| items.len().saturating_sub(limit));
    items.split_off(surplus)
}

/// The fingerprint by which the journal tells policies apart.
pub(crate) fn policy_hash(text: &str) -> String {
    format!("{:016x}", fingerprint(text))
}
