//! A cluster of brokers in simulated time: what Kafka does to its clients, on one thread, from one seed.
//!
//! Requests take time, and anything may happen meanwhile: records come in from outside, sessions and transactions run out, requests that were
//! given up for lost arrive after all. Records of open transactions move the high watermark and hide what lies behind them; commit markers
//! come later than the answer to a commit, and so do positions; aborted records and markers use offsets. Members that are away are put out of
//! their group after ten seconds, members that are there notice a new generation late. Each partition's leader has a clock of its own, which
//! is a little off, and none may be answered by a leader for a while. One process or all of them can be killed, paused, or cut off from the brokers:
//! then they live on, hear nothing, and nothing that they send arrives.
//!
//! The rules are those of KAFKA.md; what a stage cannot notice is left out: replication, batches on the wire, compaction. Nothing is written
//! to a disk: what was acknowledged is never lost. Fault by fault and in order, use `log::FaultyLog`.

mod broker;
mod reader;
mod writer;

use crate::clock::SimClock;
use crate::seed::Seed;
use broker::Broker;
use platform_core::log::{AppendError, Committed, Log, LogError, Producer, Reader, Subscription, Writer};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::time::AppendTime;
use reader::SimReader;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use writer::SimWriter;

/// How long a member may be silent before its group goes on without it.
pub const SESSION: Duration = Duration::from_secs(10);
/// How long a transaction may stay open.
pub const TRANSACTION: Duration = Duration::from_secs(10);

/// How often things go wrong: of a thousand requests of the kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chances {
    /// A request takes up to two seconds.
    pub slow: u64,
    /// A transaction fails before its end.
    pub refused: u64,
    /// The end of a transaction never arrives.
    pub lost: u64,
    /// The end of a transaction arrives within half a minute, when nobody waits for it any more.
    pub late: u64,
    /// The end of a transaction is not answered.
    pub unanswered: u64,
    /// Markers and positions come up to five seconds after the answer.
    pub late_markers: u64,
    /// A member does not notice yet that its group has changed.
    pub unnoticed: u64,
    /// The process stands still in the middle of what it does.
    pub frozen: u64,
}

/// A record that comes from outside at its time.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where to.
    pub to: Partition,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// When it comes in a transaction: how long that stays open, and whether it commits.
    pub transaction: Option<(Duration, bool)>,
}

/// A log in simulated time. Clones are the same log, seen from the same process.
#[derive(Clone)]
pub struct SimLog {
    shared: Arc<Mutex<Broker>>,
    clock: Arc<SimClock>,
    process: u64,
    frozen: Option<Frozen>,
}

/// Called, with its number, when a process stands still in the middle of a request, until this time or for a while: whoever drives the others
/// lets them go on meanwhile.
pub type Frozen = fn(u64, Option<Duration>);

impl SimLog {
    /// An empty log. What happens to it follows from `seed`.
    #[must_use]
    pub fn new(seed: Seed, clock: Arc<SimClock>) -> Self {
        Self { shared: Arc::new(Mutex::new(Broker::new(seed))), clock, process: 0, frozen: None }
    }

    /// The same log, whose processes may stand still in the middle of a request.
    #[must_use]
    pub fn freezing(self, frozen: Frozen) -> Self {
        Self { frozen: Some(frozen), ..self }
    }

    /// The same log, as a process uses it.
    #[must_use]
    pub fn of_process(&self, process: u64) -> Self {
        Self { process, ..self.clone() }
    }

    /// Makes a topic. Its partitions' leaders are up to `clocks` ahead of the true time.
    pub fn create_topic(&self, topic: &Topic, partitions: u32, clocks: Duration) {
        self.broker().create_topic(topic, partitions, clocks);
    }

    /// What goes wrong from now on.
    pub fn set_chances(&self, chances: Chances) {
        self.broker().chances = chances;
    }

    /// A record comes from outside after `delay`.
    pub fn schedule(&self, delay: Duration, arrival: Arrival) {
        let due = self.now() + delay;
        self.broker().schedule(due, broker::Action::Arrive(arrival));
    }

    /// Time passes, and what is due in it happens.
    pub fn pass(&self, by: Duration) {
        let end = self.now() + by;
        loop {
            let mut broker = self.broker();
            let Some((due, action)) = broker.next_due(end) else { break };
            let now = self.now();
            self.clock.advance(due.saturating_sub(now));
            broker.act(action, &self.clock);
        }
        let now = self.now();
        self.clock.advance(end.saturating_sub(now));
    }

    /// The process dies: nothing that it holds says goodbye.
    pub fn kill(&self, process: u64) {
        let now = self.now();
        self.broker().away(process, now, true);
    }

    /// The process stands still: it sends no signs of life until it goes on.
    pub fn pause(&self, process: u64) {
        let now = self.now();
        self.broker().away(process, now, false);
    }

    /// A paused process goes on.
    pub fn resume(&self, process: u64) {
        self.broker().back(process);
    }

    /// Until then the process reaches no broker: it lives, polls bring nothing, what it commits is in doubt, and everything else waits. Its
    /// session and its transactions run out.
    pub fn cut_off(&self, process: u64, until: Duration) {
        let now = self.now();
        self.broker().cut_off(process, now, until);
    }

    /// Until when a process is cut off, if it is.
    #[must_use]
    pub fn is_cut_off(&self, process: u64) -> Option<Duration> {
        self.broker().is_cut_off(process, self.now())
    }

    /// From now on the process reads one record in a poll, or as many as there are again.
    pub fn set_slow(&self, process: u64, slow: bool) {
        self.broker().set_slow(process, slow);
    }

    /// The group begins anew, as when its coordinator moves: all members have to join again.
    pub fn evict(&self, group: &str) {
        self.broker().evict(group);
    }

    /// For so long no leader answers for the partition. What comes from outside waits.
    pub fn lose_leader(&self, of: &Partition, lasting: Duration) {
        let until = self.now() + lasting;
        self.broker().lose_leader(of, until);
    }

    /// Everything visible in a partition from `from` on, with its offset and append time, in order. Gives from where to go on.
    pub fn visible(&self, partition: &Partition, from: Offset, mut each: impl FnMut(&platform_core::record::Record<'_>)) -> Offset {
        Offset(self.broker().read(partition, from.0, usize::MAX, &mut each))
    }

    /// What went wrong so far, by name: a run in which nothing did has shown nothing.
    #[must_use]
    pub fn injected(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.broker().injected.clone()
    }

    fn broker(&self) -> MutexGuard<'_, Broker> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        platform_core::clock::Clock::monotonic(&*self.clock)
    }

    /// A request is under way.
    fn request(&self) {
        let by = self.broker().latency();
        self.pass(by);
        if let Some(frozen) = self.frozen.filter(|_| self.process > 0) {
            let per_mille = self.broker().chances.frozen;
            if self.broker().happens("frozen", per_mille) {
                frozen(self.process, None);
            }
        }
    }

    /// Whether the process is cut off.
    fn is_alone(&self) -> bool {
        self.is_cut_off(self.process).is_some()
    }

    /// A request that waits until a broker answers.
    fn patient_request(&self) -> Result<(), LogError> {
        self.request();
        let (Some(until), Some(frozen)) = (self.is_cut_off(self.process), self.frozen) else { return Ok(()) };
        frozen(self.process, Some(until));
        // While another one stands still this one cannot: its task ends then, and begins again.
        if self.is_alone() { Err(LogError::Engine("no broker answers".to_owned())) } else { Ok(()) }
    }

    /// Waits until `ready` gives something.
    fn wait<T>(&self, mut ready: impl FnMut(&mut Broker) -> Option<T>) -> T {
        loop {
            if let Some(found) = ready(&mut self.broker()) {
                return found;
            }
            self.pass(Duration::from_millis(50));
        }
    }
}

impl Log for SimLog {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        self.patient_request()?;
        Ok(Box::new(SimReader::new(self.clone(), subscription)?))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        self.patient_request()?;
        let now = self.now();
        self.broker().end_open(transactional_id, now);
        self.wait(|broker| (!broker.is_settling(transactional_id)).then_some(()));
        let epoch = self.broker().next_epoch(transactional_id);
        Ok(Box::new(SimWriter::new(self.clone(), transactional_id, epoch)))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(SimProducer(self.clone())))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.broker().partitions(topic)
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        self.patient_request()?;
        self.broker().bounds(partition)
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.patient_request()?;
        self.broker().offset_at(partition, from)
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        self.patient_request()?;
        Ok(self.wait(|broker| broker.committed(group, partition).ok()))
    }
}

struct SimProducer(SimLog);

impl Producer for SimProducer {
    fn append(&self, to: &Partition, records: &[NewRecord<'_>]) -> Result<Offset, AppendError> {
        self.0.request();
        if self.0.is_alone() {
            return Err(AppendError::Failed("no broker answers".to_owned()));
        }
        let clock = &self.0.clock;
        let mut broker = self.0.broker();
        let mut first = None;
        for record in records {
            let (offset, _) = broker.append(to, record, None, clock).map_err(|error| AppendError::Failed(error.to_string()))?;
            first = first.or(Some(offset));
        }
        first.ok_or_else(|| AppendError::Failed("no records".to_owned()))
    }
}

/// The newest of times that the log gave; the least there is when it gave none.
fn newest(times: Option<AppendTime>) -> AppendTime {
    times.unwrap_or(AppendTime(i64::MIN))
}

#[cfg(test)]
mod tests;
