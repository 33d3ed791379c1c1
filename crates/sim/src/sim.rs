//! The handle by which Rust tests start a simulator and reach into it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::config::{Config, Settings};
use crate::core::Core;
use crate::fault::{Fault, FaultId, ForeignWrite};
use crate::foreign::{self, ForeignWriter, write_foreign};
use crate::iam::{Account, Principal};
use crate::journal::{Change, JournalEntry, JournalFilter, Writer, policy_hash};
use crate::policy::sid_of;
use crate::probe::{Probe, Verdict};
use crate::server::{request, serve};
use crate::wire::Credential;
use crate::world::BusName;

/// A running simulator. Dropping it stops the server and every connection.
#[derive(Debug)]
pub struct Sim {
    state: State,
    endpoint: String,
    address: SocketAddr,
    server: AbortHandle,
}

impl Sim {
    /// Starts a simulator on the current tokio runtime.
    pub async fn start(mut config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        config.listen = address;
        let core = Arc::new(Core::new(&config)?);
        let server = tokio::spawn(serve(listener, Arc::clone(&core))).abort_handle();
        let endpoint = format!("http://{address}");
        Ok(Self { state: State(core), endpoint, address, server })
    }

    /// The endpoint's URL, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address that the simulator listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state, faults and journal. Every method of it is also there on the simulator itself.
    pub fn state(&self) -> &State {
        &self.state
    }
}

impl std::ops::Deref for Sim {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.server.abort();
        self.stop_foreign_writers();
        self.release_all(); // so that no task waits for ever
    }
}

/// The state of a simulator, to be shared freely.
#[derive(Debug, Clone)]
pub struct State(pub(crate) Arc<Core>);

impl State {
    /// The state of a simulator that no server shows. For fuzzing.
    #[doc(hidden)]
    pub fn unserved() -> std::io::Result<Self> {
        Ok(Self(Arc::new(Core::new(&Config::default())?)))
    }

    /// Answers one request as the server would, without a connection: status and body. For fuzzing.
    #[doc(hidden)]
    pub async fn request(
        &self,
        target: Option<&str>,
        authorization: Option<&str>,
        form: bool,
        body: Vec<u8>,
    ) -> Option<(u16, String)> {
        let credential = authorization.and_then(|line| Credential::parse(line, None));
        let answer = request(Arc::clone(&self.0), target, form, credential, body).await?;
        Some((answer.status, answer.body))
    }

    /// Creates a bus. Returns false when there is one of that name.
    pub fn create_bus(&self, account: &str, region: &str, name: &str) -> bool {
        self.0.change(|world| world.create_bus(&BusName::new(account, region, name), None).is_ok())
    }

    /// Deletes a bus, `default` and those with rules too, as another writer would.
    pub fn delete_bus(&self, account: &str, region: &str, name: &str) {
        self.0.change(|world| world.delete_bus(&BusName::new(account, region, name), Writer::Foreign));
    }

    /// Every bus that was created or asked for.
    pub fn buses(&self) -> Vec<BusName> {
        self.0.lock().bus_names()
    }

    /// A bus's policy as a read without faults shows it, or nothing without statements or without the bus.
    pub fn policy(&self, account: &str, region: &str, name: &str) -> Option<Value> {
        serde_json::from_str(&self.policy_text(account, region, name)?).ok()
    }

    /// The exact text of it.
    pub fn policy_text(&self, account: &str, region: &str, name: &str) -> Option<String> {
        let mut world = self.0.lock();
        let policy = world.bus(&BusName::new(account, region, name)).ok()?.policy.clone()?;
        Some(world.shown(&policy).to_string())
    }

    /// One statement of a bus's policy, by its Sid.
    pub fn statement(&self, account: &str, region: &str, name: &str, sid: &str) -> Option<Value> {
        let policy = self.policy(account, region, name)?;
        policy.get("Statement")?.as_array()?.iter().find(|one| sid_of(one) == Some(sid)).cloned()
    }

    /// Puts a whole policy as a foreign writer, or removes it: nothing is checked, statements without Sid are kept.
    /// Returns false when there is no such bus.
    pub fn put_policy(&self, account: &str, region: &str, name: &str, policy: Option<Value>) -> bool {
        self.foreign_write(account, region, name, &ForeignWrite::Document { policy })
    }

    /// Does one write as a foreign writer. Returns false when there was nothing to do it to.
    pub fn foreign_write(&self, account: &str, region: &str, name: &str, write: &ForeignWrite) -> bool {
        self.0.change(|world| write_foreign(world, &BusName::new(account, region, name), write))
    }

    /// Starts a foreign writer that goes on until it is stopped. Must be called on the simulator's runtime.
    pub fn start_foreign_writer(&self, writer: ForeignWriter) {
        let task = foreign::start(&self.0, writer);
        self.0.lock().writers.push(task);
    }

    /// Stops all foreign writers. Returns how many there were.
    pub fn stop_foreign_writers(&self) -> usize {
        let writers = std::mem::take(&mut self.0.lock().writers);
        writers.iter().for_each(AbortHandle::abort);
        writers.len()
    }

    /// Injects a fault.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.0.lock().faults.inject(fault)
    }

    /// The faults in force, each with the number of calls left to it.
    pub fn faults(&self) -> Vec<(FaultId, Fault)> {
        self.0.lock().faults.list()
    }

    /// Clears one fault. Calls that it holds stay held.
    pub fn clear_fault(&self, id: FaultId) {
        self.0.lock().faults.clear(Some(id));
    }

    /// Clears all faults. Held calls stay held.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear(None);
    }

    /// The sequence numbers of the calls that are held now.
    pub fn held(&self) -> Vec<u64> {
        self.0.lock().faults.held.keys().copied().collect()
    }

    /// Lets the calls that a fault holds go on. Returns how many there were.
    pub fn release(&self, id: FaultId) -> usize {
        self.0.change(|world| world.faults.release(Some(id)))
    }

    /// Lets all held calls go on. Returns how many there were.
    pub fn release_all(&self) -> usize {
        self.0.change(|world| world.faults.release(None))
    }

    /// Waits until a condition holds, looking again after every event.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        self.0.wait_until(|| condition(self)).await;
    }

    /// Waits until so many calls are held.
    pub async fn wait_held(&self, calls: usize) {
        self.wait_until(|state| state.held().len() >= calls).await;
    }

    /// The calls, in the order of their arrival.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.journal_of(&JournalFilter::default())
    }

    /// The calls that a filter selects.
    pub fn journal_of(&self, filter: &JournalFilter) -> Vec<JournalEntry> {
        self.0.lock().journal.entries(filter)
    }

    /// Every change of a policy, by calls and by foreign writers, with the policy after it.
    pub fn changes(&self) -> Vec<Change> {
        self.changes_of(&JournalFilter::default())
    }

    /// The changes that a filter selects.
    pub fn changes_of(&self, filter: &JournalFilter) -> Vec<Change> {
        self.0.lock().journal.changes(filter)
    }

    /// The last sequence number given: a mark to ask for later calls and changes with.
    pub fn mark(&self) -> u64 {
        self.0.lock().journal.last()
    }

    /// The fingerprint that the journal gives a policy of this text.
    pub fn policy_hash(text: &str) -> String {
        policy_hash(text)
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.0.lock().settings.clone()
    }

    /// Changes the settings.
    pub fn set(&self, settings: Settings) {
        self.0.lock().settings = settings;
    }

    /// Moves the simulator's clock on, and with it latencies, holds, delays of effect and the expiry of sessions.
    pub fn advance(&self, millis: u64) {
        self.0.change(|world| world.advance(millis));
    }

    /// The simulator's clock, in milliseconds since the epoch.
    pub fn now_millis(&self) -> i64 {
        self.0.now()
    }

    /// Says whether an account exists, and which organisation it is in.
    pub fn set_account(&self, id: &str, account: Account) {
        self.0.lock().iam.accounts.insert(id.to_owned(), account);
    }

    /// Declares a role or user: its own policies, and who may assume it. Returns its unique id, or nothing when the
    /// ARN is none of a role or user of an existing account.
    pub fn declare_principal(&self, principal: Principal) -> Option<String> {
        self.0.lock().iam.declare(principal)
    }

    /// Deletes a role or user, declared or not: policies show its unique id, documents that name it are refused, and
    /// one of the same name that is declared later is another.
    pub fn delete_principal(&self, arn: &str) -> bool {
        let mut world = self.0.lock();
        let now = world.now;
        world.iam.delete(arn, now)
    }

    /// What a bus's policy says to somebody's attempt, at once and without a call.
    pub fn probe(&self, probe: &Probe) -> Verdict {
        probe.judge(&mut self.0.lock())
    }
}
