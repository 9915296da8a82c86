//! Counts words in windows of ten ticks: a map stage that adds up within a transaction, and a keyed stage that closes windows, corrects the
//! closed ones it retains, and keeps its state in a store. As small as can be with every part that the runtime has rules about.
//!
//! Source record: `time word`. Partial: lines `r <partition> <from> <to> <watermark>` and `w <window> <word> <count>`.
//! Output: `final <window> <word> <count>`, `done <window>`, `fix <window> <word> <count> <offset>`.

use platform_core::log::{CommitError, Committed};
use platform_core::partitioner::partition_of;
use platform_core::record::{Batch, NewRecord, Offset, Partition, Record, Topic};
use platform_core::stage::{Emit, Emitted, KeyedStage, MapStage, StageError};
use platform_core::store::{Changes, Store};
use platform_core::time::{AppendTime, SECOND};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks in a window.
pub(crate) const WINDOW: u64 = 10;
/// Ticks by which a partition's watermark stays behind its newest time.
const BOUND: u64 = 3;
/// Windows that stay correctable behind the last closed one.
const RETAIN: u64 = 1000;
/// The watermark of an input that has ended.
const END: u64 = u64::MAX / 2;

pub(crate) fn source() -> Topic {
    Topic::new("source")
}

pub(crate) fn partials() -> Topic {
    Topic::new("partials")
}

pub(crate) fn counts() -> Topic {
    Topic::new("counts")
}

/// Adds up words within a transaction.
pub(crate) struct Adder {
    partitions: u32,
    sources: u32,
    ranges: BTreeMap<u32, Range>,
    sums: BTreeMap<(u64, String), u64>,
    moved: bool,
    ended: bool,
    /// No window closes before the input ends.
    holds: bool,
}

#[derive(Clone, Copy, Default)]
struct Range {
    from: u64,
    to: u64,
    watermark: u64,
}

impl Adder {
    pub(crate) fn new(sources: u32, partitions: u32) -> Self {
        Self { partitions, sources, ranges: BTreeMap::new(), sums: BTreeMap::new(), moved: false, ended: false, holds: false }
    }

    /// One whose watermarks stay where they are until the input ends.
    pub(crate) fn holding(sources: u32, partitions: u32) -> Self {
        Self { holds: true, ..Self::new(sources, partitions) }
    }
}

impl MapStage for Adder {
    fn assigned(&mut self, partitions: &[(Partition, Committed)]) {
        self.sums.clear();
        self.ranges = partitions.iter().map(|(p, c)| (p.index, Range { from: c.offset.0, to: c.offset.0, watermark: 0 })).collect();
        self.moved = false;
    }

    fn process(&mut self, batch: &Batch<'_>) {
        let range = self.ranges.entry(batch.partition.index).or_default();
        for record in batch.iter() {
            let text = std::str::from_utf8(record.value.unwrap()).unwrap();
            let (time, word) = text.split_once(' ').unwrap();
            let time: u64 = time.parse().unwrap();
            range.to = record.offset.next().0;
            range.watermark = range.watermark.max(if self.holds { 0 } else { time.saturating_sub(BOUND) });
            *self.sums.entry((time / WINDOW, word.to_owned())).or_default() += 1;
        }
        self.moved = true;
    }

    fn crashed(&mut self, batch: &Batch<'_>) {
        panic!("a good record was put aside: {:?}", batch.next_offset());
    }

    fn idle(&mut self, partition: &Partition, position: Offset, known_before: AppendTime) {
        let range = self.ranges.get_mut(&partition.index).unwrap();
        range.to = position.0;
        // A tick is a second of append time.
        let watermark = u64::try_from(known_before.0 / SECOND).unwrap().saturating_sub(BOUND);
        self.moved |= watermark > range.watermark;
        range.watermark = range.watermark.max(watermark);
    }

    fn held(&self) -> usize {
        self.sums.len() * 32
    }

    fn has_output(&self) -> bool {
        self.moved || self.ended
    }

    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        if !self.has_output() {
            return Ok(());
        }
        for index in 0..self.partitions {
            let mut text = String::new();
            if self.ended {
                (0..self.sources).for_each(|p| text += &format!("e {p} {END}\n"));
            }
            for (p, r) in &self.ranges {
                text += &format!("r {p} {} {} {}\n", r.from, r.to, r.watermark);
            }
            for ((window, word), count) in self.sums.iter().filter(|((_, word), _)| partition_of(word.as_bytes(), self.partitions) == index)
            {
                text += &format!("w {window} {word} {count}\n");
            }
            out.append(&Partition::new(&partials(), index), NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() })?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.sums.clear();
        self.ranges.values_mut().for_each(|r| r.from = r.to);
        (self.moved, self.ended) = (false, false);
    }

    fn aborted(&mut self) {
        self.sums.clear();
        self.ranges.values_mut().for_each(|r| r.to = r.from);
        self.moved = false;
    }

    fn ended(&mut self) {
        self.ended = true;
    }
}

/// Closes windows.
#[derive(Default)]
pub(crate) struct Closer {
    sources: u32,
    output: Option<Partition>,
    ranges: BTreeMap<u32, Seen>,
    windows: BTreeMap<u64, Open>,
    /// Windows below this one are closed; those below `emitted` have left.
    closed: u64,
    emitted: u64,
    /// Key of the window `emitted` to go on behind.
    cursor: Option<String>,
    /// Where to go on once the next record is applied.
    resume: Option<(u64, Option<String>)>,
    fixes: BTreeSet<(u64, String)>,
    dirty: BTreeSet<u64>,
    dirty_ranges: bool,
}

/// What is known of a source partition.
#[derive(Clone, Copy, Default)]
struct Seen {
    to: u64,
    watermark: u64,
    /// Offset of the message that set the watermark.
    at: u64,
}

#[derive(Clone, Default)]
struct Open {
    /// Offset of the first message that fed it.
    since: u64,
    words: BTreeMap<String, (u64, u64)>,
}

impl Closer {
    pub(crate) fn new(sources: u32, partition: u32) -> Self {
        Self { sources, output: Some(Partition::new(&counts(), partition)), ..Self::default() }
    }

    fn emit_text(&self, out: &mut dyn Emit, text: &str) -> Result<(), StageError> {
        Ok(out.append(self.output.as_ref().unwrap(), NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() })?)
    }

    fn watermark(&self) -> u64 {
        let all = (0..self.sources).map(|p| self.ranges.get(&p).map_or(0, |r| r.watermark));
        all.min().unwrap_or(0)
    }
}

impl KeyedStage for Closer {
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError> {
        assert!(committed.len() < 64);
        store.scan(b"w", b"x", &mut |key, value| {
            let window = std::str::from_utf8(&key[1..]).unwrap().parse().unwrap();
            let mut open = Open::default();
            for line in std::str::from_utf8(value).unwrap().lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                match fields[..] {
                    [since] => open.since = since.parse().unwrap(),
                    [word, count, changed] => drop(open.words.insert(word.into(), (count.parse().unwrap(), changed.parse().unwrap()))),
                    _ => panic!("bad state {line}"),
                }
            }
            self.windows.insert(window, open);
        })?;
        if let Some(ranges) = store.get(b"ranges")? {
            for line in String::from_utf8(ranges).unwrap().lines() {
                let fields: Vec<u64> = line.split(' ').map(|f| f.parse().unwrap()).collect();
                match fields[..] {
                    [closed] => (self.closed, self.emitted) = (closed, closed),
                    [p, to, watermark, at] => drop(self.ranges.insert(u32::try_from(p).unwrap(), Seen { to, watermark, at })),
                    _ => panic!("bad ranges"),
                }
            }
        } else if !committed.is_empty() {
            // From nothing: what is closed stands beside the position, and the first range of each partition is adopted.
            let closed = std::str::from_utf8(committed).unwrap().parse().unwrap();
            (self.closed, self.emitted) = (closed, closed);
        }
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, _: &dyn Store) -> Result<(), StageError> {
        assert_eq!(self.emitted, self.closed, "everything due has left before the next record is applied");
        let offset = record.offset.0;
        for line in std::str::from_utf8(record.value.unwrap()).unwrap().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[..] {
                ["e", p, watermark] => {
                    let seen = self.ranges.entry(p.parse().unwrap()).or_default();
                    (seen.watermark, seen.at) = (watermark.parse().unwrap(), offset);
                }
                ["r", p, from, to, watermark] => {
                    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
                    let seen = self.ranges.entry(p.parse().unwrap()).or_insert(Seen { to: from, watermark: 0, at: offset });
                    assert_eq!(seen.to, from, "ranges follow each other: source partition {p}");
                    let watermark = watermark.parse().unwrap();
                    seen.to = to;
                    if watermark >= seen.watermark {
                        (seen.watermark, seen.at) = (watermark, offset);
                    }
                }
                ["w", window, word, count] => {
                    let window: u64 = window.parse().unwrap();
                    let open = self.windows.entry(window).or_insert_with(|| Open { since: offset, ..Open::default() });
                    let entry = open.words.entry(word.into()).or_default();
                    *entry = (entry.0 + count.parse::<u64>().unwrap(), offset);
                    self.dirty.insert(window);
                    if window < self.closed {
                        self.fixes.insert((window, word.into()));
                    }
                }
                _ => panic!("bad partial {line}"),
            }
        }
        let passed = self.watermark() / WINDOW;
        let last = self.windows.keys().next_back().map_or(0, |w| w + 1);
        self.closed = self.closed.max(passed.min(last.max(self.closed)));
        self.dirty_ranges = true;
        if let Some((window, cursor)) = self.resume.take() {
            (self.emitted, self.cursor) = (window, cursor);
        }
        let purged: Vec<u64> = self.windows.keys().copied().filter(|w| w + RETAIN < self.closed).collect();
        for window in purged {
            self.windows.remove(&window);
            self.dirty.insert(window);
        }
        Ok(())
    }

    fn emit_due(&mut self, budget: usize, _: &dyn Store, out: &mut dyn Emit) -> Result<Emitted, StageError> {
        while self.emitted < self.closed {
            let window = self.emitted;
            for (word, (count, _)) in self.windows.get(&window).map(|open| open.words.clone()).unwrap_or_default() {
                if self.cursor.as_ref().is_some_and(|c| *c >= word) {
                    continue;
                }
                if out.size() >= budget {
                    return Ok(Emitted::Part(format!("{window} {}", self.cursor.as_deref().unwrap_or_default()).into_bytes()));
                }
                self.emit_text(out, &format!("final {window} {word} {count}"))?;
                self.cursor = Some(word);
            }
            if self.windows.contains_key(&window) {
                self.emit_text(out, &format!("done {window}"))?;
            }
            self.cursor = None;
            self.emitted += 1;
        }
        Ok(Emitted::All)
    }

    fn emit_at_commit(&mut self, _: &dyn Store, out: &mut dyn Emit) -> Result<(), StageError> {
        for (window, word) in std::mem::take(&mut self.fixes) {
            let (count, changed) = self.windows[&window].words[&word];
            self.emit_text(out, &format!("fix {window} {word} {count} {changed}"))?;
        }
        Ok(())
    }

    fn skip_output(&mut self) {
        self.emitted = self.closed;
        self.cursor = None;
        self.fixes.clear();
    }

    fn resume_at(&mut self, cursor: &[u8]) {
        let text = std::str::from_utf8(cursor).unwrap();
        let (window, word) = text.split_once(' ').unwrap();
        self.resume = Some((window.parse().unwrap(), Some(word.to_owned()).filter(|w| !w.is_empty())));
    }

    fn replay_from(&self, position: Offset) -> Offset {
        let needed = self.windows.values().map(|w| w.since).chain(self.ranges.values().map(|r| r.at));
        Offset(needed.min().unwrap_or(position.0).min(position.0))
    }

    fn metadata(&self) -> Vec<u8> {
        self.closed.to_string().into_bytes()
    }

    fn changes(&mut self, changes: &mut Changes) {
        for window in std::mem::take(&mut self.dirty) {
            let key = format!("w{window}");
            match self.windows.get(&window) {
                None => changes.list.push(platform_core::store::Change::Delete(key.into_bytes())),
                Some(open) => {
                    let mut text = format!("{}\n", open.since);
                    open.words.iter().for_each(|(word, (count, changed))| text += &format!("{word} {count} {changed}\n"));
                    changes.put(key.as_bytes(), text.into_bytes());
                }
            }
        }
        if std::mem::take(&mut self.dirty_ranges) {
            let mut text = format!("{}\n", self.closed);
            self.ranges.iter().for_each(|(p, r)| text += &format!("{p} {} {} {}\n", r.to, r.watermark, r.at));
            changes.put(b"ranges", text.into_bytes());
        }
    }

    fn held(&self) -> usize {
        self.windows.values().map(|w| w.words.len() * 32).sum()
    }
}
