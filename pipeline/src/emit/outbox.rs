//! An outbox: what an output has still to send, in order, for each partition of its input.
//!
//! A stage puts chunks into its store, in the batch that moves its position, and shows them here; whoever sends takes them here one after
//! the other and says when one is through. The stage then deletes it with its next batch. A chunk that was sent and not yet deleted is
//! shown again after a restart, byte for byte. Nothing is sent here, and what is in a chunk is the stage's business.
//!
//! Bounded: a stage whose chunks fill the limit says so (`Shelf::is_full`), and is not given any records until some were sent.
//!
//! A store that was lost, or that stayed behind while another process had the partition, must not go on with counters that the receiver
//! has seen reset. So each new beginning has a number, the *incarnation*; it stands in the store and beside the committed position, with
//! the offset up to which everything was sent, and the one behind which nothing was, since it was not shown yet. A store of an older
//! incarnation is refused, and what begins anew leaves out what was sent; of what lies between both offsets it cannot know (`Past`).

use platform_core::codec::{self, CodecError, Cursor};
use platform_core::record::Offset;
use platform_core::stage::StageError;
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `64 | number, 8 B big-endian` → a chunk.
const CHUNK: u8 = 64;
/// `65` → incarnation, and the next chunk's number.
const NUMBERS: [u8; 1] = [65];

/// A piece of what is to be sent: one call's worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Rises by one from chunk to chunk of a partition.
    pub number: u64,
    /// Once it is sent, everything that follows from the input before this offset is.
    pub through: Offset,
    /// End of the window that it is about.
    pub window_end: EventTime,
    /// What the stage put into it.
    pub body: Vec<u8>,
}

/// What all partitions of one output have to send.
#[derive(Debug)]
pub struct Outbox {
    inside: Mutex<Inside>,
    news: Condvar,
    /// Bytes.
    limit: usize,
}

#[derive(Debug, Default)]
struct Inside {
    lanes: BTreeMap<u32, Lane>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<Arc<Chunk>>,
    /// Chunks before this number are sent.
    sent: u64,
    /// Offset of the last one that was.
    through: Offset,
    /// Bytes ready, and those that the stage has not shown yet.
    held: usize,
}

impl Outbox {
    /// An empty one, for so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { inside: Mutex::default(), news: Condvar::new(), limit }
    }

    /// The next chunk, those of the oldest window first; within a partition in order. Waits for one; `None`: none came, or it is closed.
    pub fn next(&self, wait: Duration) -> Option<(u32, Arc<Chunk>)> {
        let first = |inside: &Inside| {
            let heads = inside.lanes.iter().filter_map(|(partition, lane)| Some((*partition, Arc::clone(lane.ready.front()?))));
            heads.min_by_key(|(partition, chunk)| (chunk.window_end, *partition)).filter(|_| !inside.closed)
        };
        let inside = self.lock();
        let found = first(&inside);
        if found.is_some() || inside.closed {
            return found;
        }
        let (inside, _) = self.news.wait_timeout(inside, wait).unwrap_or_else(PoisonError::into_inner);
        first(&inside)
    }

    /// A chunk is through: sent, or refused for good.
    pub fn sent(&self, partition: u32, chunk: &Chunk) {
        let mut inside = self.lock();
        let Some(lane) = inside.lanes.get_mut(&partition) else { return };
        // The partition may have gone to others and come back meanwhile.
        if let Some(front) = lane.ready.pop_front_if(|front| **front == *chunk) {
            lane.sent = front.number + 1;
            lane.through = lane.through.max(front.through);
            lane.held = lane.held.saturating_sub(front.body.len());
        }
    }

    /// Waits, unless it is closed; `true` when it is.
    pub fn pause(&self, wait: Duration) -> bool {
        let inside = self.lock();
        let waited = self.news.wait_timeout_while(inside, wait, |inside| !inside.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Whether nothing is to be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing is to be sent any more; whoever waits is woken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }

    /// Bytes that wait.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lock().lanes.values().map(|lane| lane.held).sum()
    }

    /// End of the oldest window that waits.
    #[must_use]
    pub fn oldest(&self) -> Option<EventTime> {
        self.lock().lanes.values().filter_map(|lane| lane.ready.front()).map(|chunk| chunk.window_end).min()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane<T>(&self, partition: u32, act: impl FnOnce(&mut Lane) -> T) -> T {
        act(self.lock().lanes.entry(partition).or_default())
    }
}

/// What an earlier owner of the partition has sent, for a stage that begins anew; nothing, when it goes on with its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// What follows from records before this offset was sent.
    pub sent: Offset,
    /// From this one on nothing was. Of what lies between, some may have been.
    pub shown: Offset,
}

/// A stage's side of the outbox, for one partition.
#[derive(Debug)]
pub struct Shelf {
    outbox: Arc<Outbox>,
    partition: u32,
    /// Not in the store yet.
    made: Vec<Chunk>,
    next: u64,
    incarnation: u64,
    /// Chunks before this number are deleted.
    deleted: u64,
    /// Offset that the last chunk made stands for.
    through: Offset,
    /// What an earlier owner has shown.
    past: Past,
    changed: bool,
}

impl Shelf {
    /// The side of one partition's stage.
    #[must_use]
    pub fn new(outbox: &Arc<Outbox>, partition: u32) -> Self {
        Self {
            outbox: Arc::clone(outbox),
            partition,
            made: vec![],
            next: 0,
            incarnation: 0,
            deleted: 0,
            through: Offset(0),
            past: Past::default(),
            changed: false,
        }
    }

    /// Shows what the store holds, and says what an earlier owner has sent.
    ///
    /// # Errors
    /// When the store fails, holds what cannot be read, or is of an older incarnation than `committed`.
    pub fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<Past, StageError> {
        let unreadable = |source| StageError::Unreadable { offset: Offset(0), source };
        let (known, past) = if committed.is_empty() { Default::default() } else { beside(committed).map_err(unreadable)? };
        let sent_to = past.sent;
        let Some(numbers) = store.get(&NUMBERS)? else {
            self.incarnation = known + 1;
            self.through = sent_to;
            self.past = past;
            self.changed = true;
            self.outbox.lane(self.partition, |lane| *lane = Lane { through: sent_to, ..Lane::default() });
            return Ok(past);
        };
        (self.incarnation, self.next) = two(&numbers).map_err(unreadable)?;
        if self.incarnation < known {
            return Err(unreadable(CodecError::Unknown {
                what: "incarnation of an outbox that others went on with",
                value: self.incarnation,
            }));
        }
        let mut damaged = None;
        let mut ready = VecDeque::new();
        store.scan(&[CHUNK], &[CHUNK + 1], &mut |key, value| match Chunk::decode(key, value) {
            Ok(chunk) => ready.push_back(Arc::new(chunk)),
            Err(source) => damaged = Some(source),
        })?;
        if let Some(source) = damaged {
            return Err(unreadable(source));
        }
        self.deleted = ready.front().map_or(self.next, |chunk| chunk.number);
        self.through = ready.back().map_or(sent_to, |chunk| chunk.through);
        // The position is committed before the store is written: some of these were sent.
        while ready.pop_front_if(|chunk| chunk.through < sent_to).is_some() {}
        let sent = ready.front().map_or(self.next, |chunk| chunk.number);
        let held = ready.iter().map(|chunk| chunk.body.len()).sum();
        self.outbox.lane(self.partition, |lane| *lane = Lane { ready, sent, through: sent_to, held });
        self.outbox.news.notify_all();
        Ok(Past::default())
    }

    /// Which beginning this is; from 1.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Adds a chunk. `through`: what it stands for once it is sent; none for one that others follow of the same record.
    pub fn put(&mut self, body: Vec<u8>, window_end: EventTime, through: Option<Offset>) {
        self.through = through.unwrap_or(self.through);
        self.outbox.lane(self.partition, |lane| lane.held += body.len());
        self.made.push(Chunk { number: self.next, through: self.through, window_end, body });
        self.next += 1;
    }

    /// A record of which nothing is to be sent: with nothing else waiting, all before `offset` is done.
    pub fn passed(&mut self, offset: Offset) {
        if self.made.is_empty() {
            let idle = |lane: &mut Lane| {
                if lane.ready.is_empty() {
                    lane.through = offset;
                }
            };
            self.outbox.lane(self.partition, idle);
        }
    }

    /// Whether there is no room for more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outbox.size() >= self.outbox.limit
    }

    /// Bytes not in the store yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.made.iter().map(|chunk| chunk.body.len() + 64).sum()
    }

    /// Offset up to which everything was sent.
    #[must_use]
    pub fn sent_through(&self) -> Offset {
        self.outbox.lane(self.partition, |lane| lane.through)
    }

    /// What stands beside the committed position: `incarnation | sent | shown`. What was made is shown once that is committed.
    #[must_use]
    pub fn metadata(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::put_u64(&mut out, self.incarnation);
        codec::put_u64(&mut out, self.sent_through().0);
        codec::put_u64(&mut out, self.through.max(self.past.shown).0);
        out
    }

    /// Writes what was made, deletes what was sent, and shows the former to whoever sends. The positions that these follow from are
    /// committed, so one that is sent and then not in the store is made again, the same.
    pub fn changes(&mut self, changes: &mut Changes) {
        let sent = self.outbox.lane(self.partition, |lane| lane.sent);
        if sent > self.deleted {
            changes.delete_range(&chunk_key(self.deleted), &chunk_key(sent));
            self.deleted = sent;
        }
        if self.made.is_empty() && !std::mem::take(&mut self.changed) {
            return;
        }
        let mut numbers = Vec::new();
        codec::put_u64(&mut numbers, self.incarnation);
        codec::put_u64(&mut numbers, self.next);
        changes.put(&NUMBERS, numbers);
        for chunk in &self.made {
            changes.put(&chunk_key(chunk.number), chunk.encode());
        }
        let made = self.made.drain(..).map(Arc::new);
        self.outbox.lane(self.partition, |lane| lane.ready.extend(made));
        self.outbox.news.notify_all();
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // The partition goes to others, or the process ends.
        self.outbox.lane(self.partition, |lane| *lane = Lane::default());
    }
}

fn chunk_key(number: u64) -> Vec<u8> {
    [&[CHUNK][..], &number.to_be_bytes()].concat()
}

/// Reads what `Shelf::metadata` wrote. Earlier versions did not note what was shown.
fn beside(bytes: &[u8]) -> Result<(u64, Past), CodecError> {
    let mut from = Cursor::new(bytes);
    let (incarnation, sent) = (from.u64()?, Offset(from.u64()?));
    let shown = if from.is_empty() { sent } else { Offset(from.u64()?) };
    from.end()?;
    Ok((incarnation, Past { sent, shown }))
}

fn two(bytes: &[u8]) -> Result<(u64, u64), CodecError> {
    let mut from = Cursor::new(bytes);
    let both = (from.u64()?, from.u64()?);
    from.end()?;
    Ok(both)
}

impl Chunk {
    /// `through | window end | body`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 20);
        codec::put_u64(&mut out, self.through.0);
        codec::put_i64(&mut out, self.window_end.0);
        out.extend_from_slice(&self.body);
        out
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, CodecError> {
        let number = key.get(1..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes).ok_or(CodecError::Truncated)?;
        let mut from = Cursor::new(value);
        let (through, window_end) = (Offset(from.u64()?), EventTime(from.i64()?));
        Ok(Self { number, through, window_end, body: from.rest().to_vec() })
    }
}

#[cfg(test)]
mod tests;
