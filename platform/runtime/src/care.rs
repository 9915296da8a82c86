//! How carefully a map task reads a partition at whose position processes keep dying, so that a record which kills its process is found and put
//! aside, and no other record ever is (GUARANTEES §3.9).
//!
//! Beside each committed position stand the *starts* that found it with records behind it, and did not get further, perhaps a *mark*: the
//! offset of the one record that is being tried alone, how often, since when by the log's time, and the number of the transaction that
//! made it; and which marks its process *lived through*. The first start reads as always. The second reads at most `PART` records in a
//! transaction. From the third on a record is read alone, and marked *before* the stage sees it; a record that never came through is put aside
//! after `TRIES` marks, or `FEW` when that took `LONG`. What came through moves the position, and the mark goes with the same commit; so one
//! commit for each record does both.
//!
//! Care ends where the log ended when the partition was assigned (what killed lies before that), or after as many records as the transaction
//! that killed can have held. Until then starts are not forgotten when the position moves, else each part would begin anew.
//!
//! **No death.** A member that loses a partition while it lives leaves a start behind as well: what it reads first is committed at once, not at the
//! end of the interval, so that this takes no longer than a read. Else a group that is made anew often reads for minutes record by record.
//!
//! **Good records.** Others kill too: people, the memory of another stage, another poison in another task. Such a death counts against a record
//! only if it falls between the mark and the commit behind it, some ms, and must do so each time at the same record: the first that comes
//! through moves on. Deaths that come the same time after each start would: so each try waits 250 ms longer than the one before, and each slot
//! 100 ms longer than its neighbour. A process that dies every second may well hit a few times; hence `TRIES`. One that comes back after eight
//! seconds hits some ms of them; for it a `FEW` are enough, and more would not be in time. A record that came through here and whose commit
//! was refused is not marked again by the same process; and since its partition may be another's by then, or the process told to stop, each commit
//! of a process names the marks that it lived through and could not settle, and one is made for that alone where one was refused. Whoever
//! finds a mark looks for its name beside all positions of the stage, and begins to count anew: refused commits, changes of hands and
//! orderly stops add up to no death. It names them by their numbers: who lived once excuses no later death. A process that is fenced before
//! it can say so, that has no partition left, or over whose word another has committed, is not heard; it takes `FEW` of these, and none
//! that comes through, to be wrong. With deaths at one of fifty moments, so in one try of twelve, and restarts of 8 s, a good
//! record in some 20,000 that were read was put aside in tests; none of them with a quarter of such deaths, or with restarts of 1 s.
//!
//! **In time.** Each death is followed by a restart. A member of a Kafka group that died is missed after `takeover_ms` (8 s by default, less up
//! to 2.4 s since its last sign of life); an embedded log opens in less than 1 s. The first death counts nothing: the start that met the record
//! had moved its position. Slow restarts: that one, whole, part, and `FEW` alone are 6 deaths, and the waits 1.5 s: 48 s were measured with 8 s.
//! Who sets more than 9 s cannot be sure of 60 s: 59.5 s were measured with 10 s. Fast ones: 3 deaths, then `TRIES` or `LONG`, waits
//! included: under 30 s.

use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::log::MAX_METADATA;
use platform_core::record::{Batch, Offset};
use platform_core::time::{AppendTime, SECOND};
use std::time::Duration;

/// Most records of a transaction of the second start.
const PART: usize = 256;
/// No transaction holds more records than this: that many small ones are a whole read budget.
const WHOLE: u64 = 1 << 18;
/// How often a record is tried alone.
const TRIES: u64 = 8;
/// How often when that takes `LONG`, ns.
const FEW: u64 = 3;
const LONG: i64 = 20 * SECOND;

/// What stands beside a committed position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Care {
    /// Starts that found records behind this position, since it was last reached without care.
    starts: u64,
    mark: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    offset: Offset,
    tries: u64,
    /// The log's time at the first of them.
    since: AppendTime,
    /// Number of the transaction that made it, of those of its partition.
    number: u64,
}

/// A partition as commits name it: the place of its topic among those that the stage reads, and its number.
pub(crate) type Site = (u64, u64);

/// A record that a process read alone, and lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lived {
    pub(crate) offset: Offset,
    /// Number of the mark on it that this settles; `None`: there was none.
    pub(crate) mark: Option<u64>,
}

impl Mark {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let (offset, tries, since) = (Offset(cursor.u64()?), cursor.u64()?, AppendTime(cursor.i64()?));
        Ok(Self { offset, tries, since, number: cursor.u64().unwrap_or_default() })
    }

    /// Whether it was tried often enough; `now` is the log's time.
    fn is_enough(&self, now: AppendTime) -> bool {
        self.tries >= TRIES || self.tries >= FEW && now.0.saturating_sub(self.since.0) >= LONG
    }
}

impl Care {
    /// `starts: varint`, for a mark `offset: varint, tries: varint, since: zigzag varint, number: varint`, and for each mark that was lived through
    /// `topic: varint, partition: varint, offset: varint, number: varint`, the newest first, as many as there is room for; before these, a mark
    /// without tries is none.
    pub(crate) fn put(&self, lived: impl Iterator<Item = (Site, Lived)>, out: &mut Vec<u8>) {
        put_u64(out, self.starts);
        let mut marks: Vec<_> = lived.filter_map(|(site, lived)| Some((lived.mark?, lived.offset, site))).collect();
        marks.sort_unstable_by(|a, b| b.cmp(a));
        if self.mark.is_some() || !marks.is_empty() {
            let none = Mark { offset: Offset(0), tries: 0, since: AppendTime(0), number: 0 };
            let mark = self.mark.unwrap_or(none);
            put_u64(out, mark.offset.0);
            put_u64(out, mark.tries);
            put_i64(out, mark.since.0);
            put_u64(out, mark.number);
        }
        for (number, offset, (topic, partition)) in marks {
            let before = out.len();
            [topic, partition, offset.0, number].into_iter().for_each(|field| put_u64(out, field));
            if out.len() > MAX_METADATA {
                out.truncate(before);
                break;
            }
        }
    }

    /// Reads it; what is not there is none. What was lived through is left.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let starts = cursor.u64().unwrap_or(0);
        let mark = Mark::read(cursor).ok().filter(|mark| mark.tries > 0);
        Self { starts, mark }
    }

    /// Without its mark, where one of these says that its process lived.
    pub(crate) fn heard(self, site: Site, said: &[(Site, Lived)]) -> Self {
        let is_said = |mark: &Mark| said.contains(&(site, Lived { offset: mark.offset, mark: Some(mark.number) }));
        Self { mark: self.mark.filter(|mark| !is_said(mark)), ..self }
    }

    /// What was lived through, and where.
    pub(crate) fn read_lived(cursor: &mut Cursor<'_>) -> impl Iterator<Item = (Site, Lived)> {
        Self::read(cursor);
        std::iter::from_fn(|| {
            let site = (cursor.u64().ok()?, cursor.u64().ok()?);
            Some((site, Lived { offset: Offset(cursor.u64().ok()?), mark: Some(cursor.u64().ok()?) }))
        })
    }
}

/// What to do with records that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Read them.
    Take,
    /// Commit first, then read them.
    CommitFirst,
    /// Commit first, with a mark on this offset at this time, then read it.
    Mark(Offset, AppendTime),
    /// Never read it: it has killed every process that did.
    PutAside,
}

/// How a partition is read since it was assigned.
#[derive(Clone, Debug)]
pub(crate) struct Caution {
    /// As it was committed last.
    committed: Care,
    /// The start is not counted yet.
    counts: bool,
    /// Most records in a transaction.
    limit: usize,
    /// Records until care ends, and where it does at the latest.
    left: u64,
    until: Offset,
    /// Records read since the last commit.
    taken: usize,
    /// What the next commit marks.
    marking: Option<(Offset, AppendTime)>,
    /// A record that this process has read alone, and lived.
    harmless: Option<Offset>,
}

impl Caution {
    /// From `position` on, which was committed with `committed`, in a log that ends at `end`, as far as anybody knows.
    pub(crate) fn new(committed: Care, position: Offset, end: Option<Offset>, harmless: Option<Offset>) -> Self {
        let (limit, left) = match committed {
            Care { mark: None, starts: 0 } => (usize::MAX, 0),
            Care { mark: None, starts: 1 } => (PART, WHOLE),
            _ => (1, PART as u64),
        };
        // Without a leader nothing can be read, and nobody die of it.
        let counts = end.is_some_and(|end| end > position);
        Self { committed, counts, limit, left, until: end.unwrap_or(Offset(u64::MAX)), taken: 0, marking: None, harmless }
    }

    /// Most records that may be read in one go; all, when there is no need for care.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How often a process has started here already, in words for people.
    pub(crate) fn starts(&self) -> u64 {
        self.committed.starts
    }

    /// Whether a start is noted here that reads as always and has not got further yet.
    pub(crate) fn is_doubted(&self) -> bool {
        self.limit == usize::MAX && self.committed.starts > 0
    }

    /// How long a task waits before it reads, so that no two tasks and no two tries do it at the same time after a start.
    pub(crate) fn wait(&self, slot: usize) -> Duration {
        if self.limit > 1 {
            return Duration::ZERO;
        }
        let tries = self.committed.mark.map_or(0, |mark| mark.tries.min(TRIES));
        Duration::from_millis(250 * tries + 100 * u64::try_from(slot).unwrap_or(0))
    }

    /// The mark on a record that would be tried alone, and that this process knows nothing else of: as whoever made it would name it.
    pub(crate) fn suspects(&self, part: &Batch<'_>) -> Option<Lived> {
        let first = part.iter().next().map(|record| record.offset).filter(|first| self.limit == 1 && self.harmless != Some(*first));
        first.map(|first| self.known(first)).filter(|known| known.mark.is_some())
    }

    /// A record, and the number of the mark that stands on it.
    fn known(&self, offset: Offset) -> Lived {
        Lived { offset, mark: self.committed.mark.filter(|mark| mark.offset == offset).map(|mark| mark.number) }
    }

    /// Whoever made the mark lived.
    pub(crate) fn acquit(&mut self) {
        self.committed.mark = None;
    }

    /// What to do with these, of which there are no more than `limit`, at the log's time `now`.
    pub(crate) fn plan(&self, part: &Batch<'_>, now: AppendTime) -> Plan {
        let first = part.iter().next().map(|record| record.offset);
        if let (1, Some(first)) = (self.limit, first.filter(|first| self.harmless != Some(*first))) {
            if self.committed.mark.is_some_and(|mark| mark.offset == first && mark.is_enough(now)) {
                return Plan::PutAside;
            }
            return Plan::Mark(first, now);
        }
        // No mark stands while another record is read.
        let full = self.taken.saturating_add(part.len()) > self.limit || self.committed.mark.is_some();
        if full && self.taken > 0 { Plan::CommitFirst } else { Plan::Take }
    }

    /// The next commit marks a record.
    pub(crate) fn mark(&mut self, mark: Option<(Offset, AppendTime)>) {
        self.marking = mark;
    }

    /// Whether the next commit has something to mark.
    pub(crate) fn is_marking(&self) -> bool {
        self.marking.is_some()
    }

    /// These were read, or put aside. Gives the one that was read alone.
    pub(crate) fn took(&mut self, part: &Batch<'_>, looked: bool) -> Option<Lived> {
        self.taken += part.len();
        self.harmless = part.iter().next().map(|record| record.offset).filter(|_| looked && self.limit == 1);
        self.harmless.map(|offset| self.known(offset))
    }

    /// What to commit beside the position `to`, which has moved or not, in the transaction of this number.
    pub(crate) fn next(&self, to: Offset, moved: bool, number: u64) -> Care {
        let starts =
            if moved && (self.limit == usize::MAX || self.is_over(to)) { 0 } else { self.committed.starts + u64::from(self.counts) };
        let mark = match (self.marking, self.committed.mark) {
            (Some((offset, _)), Some(mark)) if mark.offset == offset => Some(Mark { tries: mark.tries + 1, number, ..mark }),
            (Some((offset, since)), _) => Some(Mark { offset, tries: 1, since, number }),
            (None, mark) => mark.filter(|_| !moved),
        };
        Care { starts, mark }
    }

    /// It was committed.
    pub(crate) fn committed(&mut self, to: Offset, moved: bool, number: u64) {
        self.committed = self.next(to, moved, number);
        (self.counts, self.marking) = (false, None);
        if self.is_over(to) {
            self.limit = usize::MAX;
        }
        self.left = self.left.saturating_sub(self.taken as u64);
        self.taken = 0;
    }

    /// It was not, and what was read comes again.
    pub(crate) fn refused(&mut self) {
        (self.taken, self.marking) = (0, None);
    }

    fn is_over(&self, to: Offset) -> bool {
        to >= self.until || self.left <= self.taken as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Care, Caution, Lived, Mark, Plan, TRIES};
    use platform_core::codec::Cursor;
    use platform_core::log::MAX_METADATA;
    use platform_core::record::{BatchBuffer, Offset, Partition, Topic};
    use platform_core::time::AppendTime;

    /// Refused commits bring a record back to a process that knows it.
    #[test]
    fn what_a_process_lived_through_it_reads_again_and_what_it_put_aside_it_puts_aside_again() {
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&Topic::new("t"), 0));
        buffer.push(Offset(5), None, None, &[], None);
        let (part, now) = (buffer.batch().unwrap(), AppendTime(9));
        let tried = |tries| {
            let mark = Some(Mark { offset: Offset(5), tries, since: AppendTime(0), number: 7 });
            Caution::new(Care { starts: 4, mark }, Offset(5), Some(Offset(9)), None)
        };
        let mut last = tried(TRIES - 1);
        assert_eq!(last.plan(&part, now), Plan::Mark(Offset(5), now));
        last.mark(Some((Offset(5), now)));
        last.committed(Offset(5), false, 8);
        assert_eq!(last.took(&part, true), Some(Lived { offset: Offset(5), mark: Some(8) }));
        last.refused();
        assert_eq!(last.plan(&part, now), Plan::Take);
        let mut enough = tried(TRIES);
        for _ in 0..2 {
            assert_eq!(enough.plan(&part, now), Plan::PutAside);
            assert_eq!(enough.took(&part, false), None);
            enough.refused();
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_was_not_is_none() {
        let mark = Some(Mark { offset: Offset(70_000), tries: 2, since: AppendTime(1 << 60), number: 1 << 40 });
        let lived = [((0, 7), Lived { offset: Offset(300), mark: Some(900) }), ((1, 0), Lived { offset: Offset(0), mark: Some(0) })];
        for care in [Care::default(), Care { starts: 300, mark: None }, Care { starts: 4, mark }] {
            for lived in [&[][..], &lived[..]] {
                let mut bytes = Vec::new();
                care.put(lived.iter().copied(), &mut bytes);
                assert_eq!(Care::read(&mut Cursor::new(&bytes)), care);
                let found: Vec<_> = Care::read_lived(&mut Cursor::new(&bytes)).collect();
                assert_eq!(found, lived);
            }
        }
        // As many as there is room for, the newest.
        let many = (0..100).map(|number| ((1, number), Lived { offset: Offset(u64::MAX), mark: Some(number) }));
        let mut bytes = Vec::new();
        Care { starts: u64::MAX, mark }.put(many, &mut bytes);
        let named: Vec<_> = Care::read_lived(&mut Cursor::new(&bytes)).filter_map(|(_, lived)| lived.mark).collect();
        assert!(bytes.len() <= MAX_METADATA && named.len() > 10 && named.iter().copied().eq((0..100).rev().take(named.len())), "{named:?}");
        // The number of the transaction stood alone before.
        assert_eq!(Care::read(&mut Cursor::new(&[])), Care::default());
        assert_eq!(Care::read(&mut Cursor::new(&[3, 9])), Care { starts: 3, mark: None });
    }
}
