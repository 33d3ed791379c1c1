//! What there is around one bus with one object, and the configurations in which it is looked at.

use crate::controller::Process;

/// What a bus holds: what each statement says, 0 where it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Policy {
    /// Under the two Sids that are the object's.
    pub(crate) ours: [u8; 2],
    /// Somebody else's.
    pub(crate) theirs: u8,
}

/// What a call changes. A Sid of ours is 0 or 1: none of our calls can name another, and only others send the last kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Write {
    Put(usize, u8),
    Remove(usize),
    Document(Policy),
    Theirs(u8),
}

impl Write {
    pub(crate) fn on(self, mut policy: Policy) -> Policy {
        match self {
            Self::Put(sid, says) => policy.ours[sid] = says,
            Self::Remove(sid) => policy.ours[sid] = 0,
            Self::Document(whole) => policy = whole,
            Self::Theirs(says) => policy.theirs = says,
        }
        policy
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// The controller, and it waits for the answer.
    Us,
    /// The controller once, which gave up or died.
    Nobody,
    Others,
}

/// A call inside the service, which reads the policy, changes it and writes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) write: Write,
    pub(crate) caller: Caller,
    /// What it read, once it has.
    pub(crate) read: Option<Policy>,
    /// Another call wrote since.
    pub(crate) beaten: bool,
    /// Ticks until the controller takes it to be over.
    pub(crate) left: u8,
}

/// The object in the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) generation: u8,
    pub(crate) held: bool,
    pub(crate) deleting: bool,
    /// The generation that its status is of, and whether that says `Ready=True`.
    pub(crate) ready: Option<(u8, bool)>,
}

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) give_ups: u8,
    pub(crate) crashes: u8,
    pub(crate) foreign_writes: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) bus: Policy,
    /// What a read that lags behind shows instead, and whether it was a write of ours that it does not show.
    pub(crate) before: Option<(Policy, bool)>,
    pub(crate) calls: Vec<Call>,
    pub(crate) object: Option<Object>,
    pub(crate) process: Option<Process>,
    /// What a former leader will send, who was stopped between its look at the lease and its socket.
    pub(crate) paused: Option<Write>,
    /// What others wrote last and were answered for, and the policy as they once read it.
    pub(crate) theirs: u8,
    pub(crate) copy: Option<Policy>,
    /// Whether `Ready=True` was ever said wrongly.
    pub(crate) lied: bool,
    /// How far the script is.
    pub(crate) line: usize,
    pub(crate) left: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    // The controller. A successor starts where there is none.
    Hold,
    Begin,
    Sweep,
    Read { lagging: bool },
    Send,
    Start,
    // The service and time, with the place of a call.
    ReadHalf(usize),
    WriteHalf(usize),
    Fail(usize),
    CatchUp,
    Tick,
    // Faults: without an answer, with the answer that it failed though it did not, without the controller.
    GiveUp(usize),
    DoneButFailed(usize),
    Crash,
    Pause,
    Resume,
    TombstoneEnds,
    // People.
    User,
    ForeignPut,
    ForeignCopy,
    ForeignDocument,
}

impl Action {
    /// Whether the controller or the service does it by itself, sooner or later.
    pub(crate) fn is_progress(self) -> bool {
        use Action::{Begin, CatchUp, Fail, Hold, Read, ReadHalf, Send, Start, Sweep, Tick, WriteHalf};
        let service = matches!(self, ReadHalf(_) | WriteHalf(_) | Fail(_) | CatchUp | Tick);
        service || matches!(self, Hold | Begin | Sweep | Read { .. } | Send | Start)
    }
}

/// What a team does with its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Team {
    Edits,
    Deletes,
    CreatesAgain,
}

/// How long a call without an answer lives at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// As the controller assumes.
    OutcomeWait,
    /// As long as the object's Sids are looked out for.
    Tombstone,
    Unbounded,
}

/// What others do on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// They put their own statement at once, while nothing of ours is under way.
    Apart,
    /// They put their own statement at any time.
    Beside,
    /// They write the whole policy as they once read it, with their own statement changed.
    FromCopies,
}

/// What becomes of a call that was beaten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It writes all the same, on what it read: the last writer wins.
    Overwrites,
    /// It is refused with `ConcurrentModificationException`.
    Refuses,
}

/// What the controller does for safety's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It waits until a call without an answer can no longer take effect, also a predecessor's.
    Wait,
    /// It reads after it wrote.
    Verification,
    /// It looks for what others changed.
    Sweep,
    /// It says `Ready` of the generation that the flight served.
    OwnGeneration,
    /// What it had to repair is not ready because a predecessor said so.
    DoubtOfRepairs,
    /// A removal that was sent while a call without an answer could take effect is sent again when that is over.
    LoneConfirmation,
}

/// One configuration: the world, and the controller as it is or without some part.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) service: Service,
    /// Whether a read may show what was before the last write, for as long as the controller looks again.
    pub(crate) lag: bool,
    pub(crate) life: Life,
    /// Whether a crash may be a pause, out of which the leader of before sends what it was about to send.
    pub(crate) pauses: bool,
    pub(crate) others: Others,
    pub(crate) budget: Budget,
    /// What each generation wants under the two Sids.
    pub(crate) wants: &'static [[u8; 2]],
    /// Whether only a document can say what generations from the second on want under the first Sid.
    pub(crate) document: bool,
    pub(crate) script: &'static [Team],
    pub(crate) without: &'static [Part],
}
