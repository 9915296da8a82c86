//! The newest part of a topic, read again and again to where it ends: what controllers and receipts look at.
//!
//! Readers here belong to no group, commit nothing and hold nothing up. How far back the first read begins is said as a time by the log's own
//! clock, so that a log of years is not read to know of minutes.
//! What this does not do: it keeps no record, and knows no schema.

use platform_core::log::{Log, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{Offset, Partition, Record, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of one poll.
const WAIT: Duration = Duration::from_millis(100);
/// Polls without a record before a read gives up for now: what an open transaction hides comes with the next read.
const PATIENCE: u32 = 10;
/// How far from the end a start is looked for first, in offsets; each further try goes back this many times as far.
const FIRST: u64 = 16;

/// Reads a topic onwards.
pub struct Tail {
    log: Arc<dyn Log>,
    topic: Topic,
    /// `None` after a failure: the next read takes a new one.
    reader: Option<Box<dyn Reader>>,
    positions: Positions,
}

impl Tail {
    /// A tail that begins at these positions; partitions that are not named begin where the log does.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topic: &Topic, positions: Positions) -> Self {
        Self { log, topic: topic.clone(), reader: None, positions }
    }

    /// Gives each record between here and the ends as they are now. `false`: some did not come in time, and come with the next read.
    ///
    /// # Errors
    /// When the log cannot be read; the next read goes on behind what was read.
    pub fn read(&mut self, each: &mut dyn FnMut(u32, &Record<'_>)) -> Result<bool, LogError> {
        let ends = ends(&*self.log, &self.topic)?;
        self.read_to(&ends, each)
    }

    /// As `read`, and never beyond these ends.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_to(&mut self, ends: &Positions, each: &mut dyn FnMut(u32, &Record<'_>)) -> Result<bool, LogError> {
        let done = self.try_read(ends, each);
        if done.is_err() {
            self.reader = None;
        }
        done
    }

    fn try_read(&mut self, ends: &Positions, each: &mut dyn FnMut(u32, &Record<'_>)) -> Result<bool, LogError> {
        for partition in ends.keys().filter(|partition| !self.positions.contains_key(*partition)).cloned().collect::<Vec<_>>() {
            let start = self.log.bounds(&partition)?.0;
            self.positions.insert(partition, start);
        }
        let behind = |positions: &Positions| ends.iter().any(|(partition, end)| positions.get(partition).is_none_or(|at| at < end));
        if !behind(&self.positions) {
            return Ok(true);
        }
        let reader = match self.reader.take() {
            Some(reader) => self.reader.insert(reader),
            None => {
                let mut reader = self.log.reader(&Subscription { group: None, topics: vec![self.topic.clone()] })?;
                reader.seek(&self.positions)?;
                self.reader.insert(reader)
            }
        };
        let mut quiet = 0;
        let mut beyond = false;
        while behind(&self.positions) {
            match reader.poll(WAIT)? {
                Polled::Batch(batch) => {
                    quiet = 0;
                    let from = self.positions.get(batch.partition).copied().unwrap_or_default();
                    let end = ends.get(batch.partition).copied().unwrap_or_default();
                    for record in batch.iter().filter(|record| (from..end).contains(&record.offset)) {
                        each(batch.partition.index, &record);
                    }
                    let next = batch.next_offset().unwrap_or_default();
                    beyond |= next > end;
                    let next = next.min(end).max(from);
                    self.positions.insert(batch.partition.clone(), next);
                }
                Polled::Assigned(_) => {}
                Polled::Nothing => quiet += 1,
            }
            // Behind the last record there may be offsets that the log uses for itself.
            for (partition, end) in ends {
                let at = reader.position(partition).min(*end);
                let known = self.positions.entry(partition.clone()).or_default();
                *known = at.max(*known);
            }
            if quiet > PATIENCE {
                break;
            }
        }
        let done = !behind(&self.positions);
        if beyond {
            // What lies behind the ends belongs to the next read.
            reader.seek(&self.positions)?;
        }
        Ok(done)
    }
}

/// Where each partition of a topic ends.
///
/// # Errors
/// When the topic does not exist.
pub fn ends(log: &dyn Log, topic: &Topic) -> Result<Positions, LogError> {
    (0..log.partitions(topic)?).map(|index| Partition::new(topic, index)).map(|p| Ok((p.clone(), log.bounds(&p)?.1))).collect()
}

/// Positions from which on every record lies that the log took at `since` or later, and few others. `since` is shown when the newest record
/// of the partition was taken, in ns.
///
/// # Errors
/// When the log cannot be read.
pub fn back_to(log: &Arc<dyn Log>, topic: &Topic, since: &dyn Fn(i64) -> i64) -> Result<Positions, LogError> {
    back_to_enough(log, topic, since, (usize::MAX, &|_| false))
}

/// As `back_to`, or less: for a partition that has so many of the records that the second says yes to, from the last so many on at least.
///
/// # Errors
/// As `back_to`.
pub fn back_to_enough(
    log: &Arc<dyn Log>,
    topic: &Topic,
    since: &dyn Fn(i64) -> i64,
    (enough, counts): (usize, &dyn Fn(&Record<'_>) -> bool),
) -> Result<Positions, LogError> {
    let mut found = Positions::new();
    let mut open: BTreeMap<Partition, (Offset, Offset)> = BTreeMap::new();
    for index in 0..log.partitions(topic)? {
        let partition = Partition::new(topic, index);
        let bounds = log.bounds(&partition)?;
        if bounds.0 < bounds.1 {
            open.insert(partition, bounds);
        } else {
            found.insert(partition, bounds.1);
        }
    }
    let mut newest: BTreeMap<u32, i64> = BTreeMap::new();
    let mut distance = FIRST;
    while !open.is_empty() {
        let starts = open.iter().map(|(partition, (start, end))| (partition.clone(), Offset(end.0.saturating_sub(distance)).max(*start)));
        let mut positions: Positions = starts.collect();
        let ends: Positions = open.iter().map(|(partition, (_, end))| (partition.clone(), *end)).collect();
        let mut oldest: BTreeMap<u32, i64> = BTreeMap::new();
        let mut counted: BTreeMap<u32, usize> = BTreeMap::new();
        // Only partitions that are still looked at are read at all.
        for partition in found.keys() {
            positions.insert(partition.clone(), log.bounds(partition)?.1);
        }
        Tail::new(Arc::clone(log), topic, positions.clone()).read_to(&ends, &mut |index, record| {
            let at = record.append_time.map_or(0, |time| time.0);
            oldest.entry(index).or_insert(at);
            *counted.entry(index).or_default() += usize::from(counts(record));
            newest.entry(index).and_modify(|newest| *newest = at.max(*newest)).or_insert(at);
        })?;
        open.retain(|partition, (start, _)| {
            let from = positions.get(partition).copied().unwrap_or_default();
            let reached =
                oldest.get(&partition.index).zip(newest.get(&partition.index)).is_some_and(|(oldest, newest)| *oldest < since(*newest));
            let last = from == *start || reached || counted.get(&partition.index).is_some_and(|counted| *counted >= enough);
            if last {
                found.insert(partition.clone(), from);
            }
            !last
        });
        distance = distance.saturating_mul(4);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
