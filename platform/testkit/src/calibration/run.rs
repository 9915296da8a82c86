//! One run of one script: step by step, what the log shows against what the script says.

use super::Terms;
use super::records::{Told, bytes, records};
use platform_core::log::{Claim, CommitError, Committed, Log, Polled, Positions, Producer, Reader, Subscription, Writer};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::time::AppendTime;
use std::collections::BTreeMap;

/// Polls in a row that bring nothing, after which nothing more is expected.
const PATIENCE: u32 = 200;
/// Polls in a row that bring nothing, after which a reader that is held back is taken to stay where it is.
const HELD_BACK: u32 = 5;

/// What went wrong, in words.
type Shown<T> = Result<T, String>;

pub(super) struct Run<'a> {
    log: &'a dyn Log,
    terms: Terms,
    prefix: &'a str,
    readers: BTreeMap<String, Reads>,
    writers: BTreeMap<String, Writes>,
    producer: Option<Box<dyn Producer>>,
    claims: BTreeMap<String, Claim>,
    known: Known,
}

/// Records by place, from everything that was read so far: no reader may see something else there.
#[derive(Default)]
struct Known {
    records: BTreeMap<Partition, BTreeMap<Offset, (AppendTime, Told)>>,
    /// Where a producer was told that its first record lies.
    answered: BTreeMap<(Partition, Offset), Told>,
    /// No record of a transaction is younger than what its commit answered.
    committed: Vec<(Partition, Told, AppendTime)>,
}

struct Reads {
    reader: Box<dyn Reader>,
    group: Option<String>,
    topics: Vec<Topic>,
    claim: Option<Claim>,
    owned: Vec<Partition>,
    /// Has had an assignment since its group last changed.
    heard: bool,
    /// What was polled and not looked at yet.
    inbox: Vec<(Partition, Offset, Told)>,
    /// Where each partition's next record may lie at the earliest.
    next: BTreeMap<Partition, Offset>,
}

struct Writes {
    writer: Box<dyn Writer>,
    /// Of the open transaction.
    records: Vec<(Partition, Told)>,
    /// An append of the open transaction was refused: logs differ in when they notice.
    refused: Option<CommitError>,
}

impl<'a> Run<'a> {
    pub(super) fn new(log: &'a dyn Log, terms: Terms, prefix: &'a str) -> Self {
        let (readers, writers) = (BTreeMap::new(), BTreeMap::new());
        Self { log, terms, prefix, readers, writers, producer: None, claims: BTreeMap::new(), known: Known::default() }
    }

    /// Does a step. Fails when it shows something else than it says.
    pub(super) fn step(&mut self, step: &str) -> Shown<()> {
        let step = match step.strip_prefix("[open shows] ") {
            Some(_) if !self.terms.open_shows => return Ok(()),
            Some(step) => step,
            None => step,
        };
        let (does, expected) = step.split_once(" -> ").map_or((step, None), |(does, expected)| (does, Some(expected)));
        let words: Vec<&str> = does.split_whitespace().collect();
        let usual = |usual| expected.unwrap_or(usual);
        match words.as_slice() {
            [reader, "is", "alone", "on", topics @ ..] => self.subscribe(reader, None, topics, usual("done")),
            [reader, "joins", group, "on", topics @ ..] => {
                self.subscribe(reader, Some(self.named(group)), topics, usual("done"))?;
                self.settle(&self.named(group))
            }
            [reader, "leaves"] => {
                let group = self.readers.remove(*reader).and_then(|reads| reads.group);
                group.map_or(Ok(()), |group| self.settle(&group))
            }
            [group, "shares"] => same(usual(""), &self.shares(&self.named(group))),
            [reader, "reads", content @ ..] => self.reads(reader, content, true),
            [reader, "is", "held", "back", "behind", content @ ..] => self.reads(reader, content, false),
            [reader, "is", "refused"] => self.is_refused(reader),
            [reader, "seeks", places @ ..] => self.seek(reader, places, usual("done")),
            [claim, "is", "the", "claim", "of", reader] => {
                let of = self.reader(reader)?.claim.clone().ok_or("it has none")?;
                self.claims.insert((*claim).to_owned(), of);
                Ok(())
            }
            [topic, "holds", content @ ..] => {
                self.subscribe("somebody", None, &[topic], "done")?;
                self.reads("somebody", content, true)
            }
            [writer, "takes", id] => {
                let taken = self.log.writer(&self.named(id)).map_err(|error| error.to_string())?;
                self.writers.insert((*writer).to_owned(), Writes { writer: taken, records: Vec::new(), refused: None });
                Ok(())
            }
            [writer, "writes", to, values @ ..] => self.write(writer, to, values),
            [writer, "commits"] => self.commit(writer, &nobody(), &[], usual("committed")),
            [writer, "commits", "for", reader, places @ ..] => self.commit_for(writer, reader, places, usual("committed")),
            [writer, "aborts"] => {
                let writes = self.writer(writer)?;
                (writes.refused, writes.records) = (None, Vec::new());
                writes.writer.abort();
                Ok(())
            }
            [writer, "goes"] => self.writers.remove(*writer).map(drop).ok_or_else(|| format!("there is no writer {writer}")),
            ["append", to, values @ ..] => self.append(to, &records(values), usual("taken")),
            ["answers", "hold"] => self.known.answers_hold(),
            [group, "stands", "in", partition] => self.stands(group, partition, usual("")),
            ["partitions", "of", topic] => {
                let count = self.log.partitions(&Topic::new(&self.named(topic)));
                same(usual(""), &count.map_or_else(|_| "refused".to_owned(), |count| count.to_string()))
            }
            ["times", "find", "the", "records", "of", partition] => self.times_find(&self.partition(partition)?),
            ["times", "in", partition] => {
                let found = self.log.offset_at(&self.partition(partition)?, AppendTime(0));
                same(usual(""), found.map_or("refused", |_| "found"))
            }
            ["bounds", "of", partition] => {
                let bounds = self.log.bounds(&self.partition(partition)?);
                same(usual(""), bounds.map_or("refused", |(start, end)| if start == end { "empty" } else { "not empty" }))
            }
            _ => Err("no such step".to_owned()),
        }
    }

    // Names.

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn partition(&self, text: &str) -> Shown<Partition> {
        let (topic, index) = text.split_once('/').ok_or_else(|| format!("{text} is no partition"))?;
        let index = index.parse().map_err(|_| format!("{text} is no partition"))?;
        Ok(Partition::new(&Topic::new(&self.named(topic)), index))
    }

    /// A partition as scripts write it.
    fn short(&self, partition: &Partition) -> String {
        partition.to_string().trim_start_matches(self.prefix).to_owned()
    }

    fn reader(&mut self, name: &str) -> Shown<&mut Reads> {
        self.readers.get_mut(name).ok_or_else(|| format!("there is no reader {name}"))
    }

    fn writer(&mut self, name: &str) -> Shown<&mut Writes> {
        self.writers.get_mut(name).ok_or_else(|| format!("there is no writer {name}"))
    }

    // Readers and groups.

    fn subscribe(&mut self, name: &str, group: Option<String>, topics: &[&str], expected: &str) -> Shown<()> {
        let topics: Vec<Topic> = topics.iter().map(|topic| Topic::new(&self.named(topic))).collect();
        let Ok(reader) = self.log.reader(&Subscription { group: group.clone(), topics: topics.clone() }) else {
            return same(expected, "refused");
        };
        let mut owned = Vec::new();
        if group.is_none() {
            for topic in &topics {
                let count = self.log.partitions(topic).map_err(|error| error.to_string())?;
                owned.extend((0..count).map(|index| Partition::new(topic, index)));
            }
        }
        let (inbox, next) = (Vec::new(), BTreeMap::new());
        self.readers.insert(name.to_owned(), Reads { reader, group, topics, claim: None, owned, heard: false, inbox, next });
        same(expected, "done")
    }

    /// Polls the members of a group that has changed until all have heard of it and own every partition once. Then the one that owns the
    /// first partitions has the first name: which member that is nobody may rely on.
    fn settle(&mut self, group: &str) -> Shown<()> {
        let mut members: Vec<(String, Reads)> = self.readers.extract_if(.., |_, reads| reads.group.as_deref() == Some(group)).collect();
        members.iter_mut().for_each(|(_, reads)| reads.heard = false);
        let mut quiet = 0;
        while !self.is_settled(&members)? {
            quiet += 1;
            if quiet > PATIENCE {
                return Err("the members do not come to share the partitions".to_owned());
            }
            for (_, reads) in &mut members {
                if self.known.poll(reads, self.terms)? {
                    quiet = 0;
                }
            }
        }
        let (names, mut reads): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        reads.sort_by_key(|reads| (reads.owned.is_empty(), reads.owned.first().cloned()));
        self.readers.extend(names.into_iter().zip(reads));
        Ok(())
    }

    fn is_settled(&self, members: &[(String, Reads)]) -> Shown<bool> {
        let mut owned: Vec<&Partition> = members.iter().flat_map(|(_, reads)| &reads.owned).collect();
        let mut all: Vec<Partition> = Vec::new();
        let mut topics: Vec<&Topic> = members.iter().flat_map(|(_, reads)| &reads.topics).collect();
        topics.sort();
        topics.dedup();
        for topic in topics {
            let count = self.log.partitions(topic).map_err(|error| error.to_string())?;
            all.extend((0..count).map(|index| Partition::new(topic, index)));
        }
        owned.sort();
        Ok(members.iter().all(|(_, reads)| reads.heard) && owned.into_iter().eq(&all))
    }

    fn shares(&self, group: &str) -> String {
        let members = self.readers.values().filter(|reads| reads.group.as_deref() == Some(group));
        let shares = members.map(|reads| reads.owned.iter().map(|partition| self.short(partition)).collect::<Vec<_>>().join(" "));
        shares.map(|share| if share.is_empty() { "nothing".to_owned() } else { share }).collect::<Vec<_>>().join(" | ")
    }

    /// What a reader reads, to the end of all that it owns or, when it is held back, short of it.
    fn reads(&mut self, name: &str, content: &[&str], to_the_end: bool) -> Shown<()> {
        let mut expected: BTreeMap<Partition, Vec<Vec<Told>>> = BTreeMap::new();
        for part in content.split(|word| *word == ";").filter(|part| **part != ["nothing"]) {
            let (of, values) = part.split_first().ok_or("what is read?")?;
            expected.insert(self.partition(of)?, values.split(|word| *word == "|").map(records).collect());
        }
        let mut reads = self.readers.remove(name).ok_or_else(|| format!("there is no reader {name}"))?;
        let mut found: BTreeMap<Partition, Vec<Told>> = BTreeMap::new();
        let mut quiet = 0;
        let outcome = loop {
            for (partition, _, told) in reads.inbox.drain(..) {
                found.entry(partition).or_default().push(told);
            }
            let as_expected = found.len() == expected.len() && found.iter().all(|(p, all)| expected.get(p).is_some_and(|e| fits(all, e)));
            let at_end = reads.is_at_end()?;
            if at_end && (to_the_end || !as_expected) {
                break if as_expected { Ok(()) } else { Err(self.told(&found)) };
            }
            if !to_the_end && as_expected && quiet > HELD_BACK {
                break if at_end { Err("it was at the end".to_owned()) } else { Ok(()) };
            }
            if quiet > PATIENCE {
                break Err(format!("{}, and is short of the end", self.told(&found)));
            }
            quiet = if self.known.poll(&mut reads, self.terms)? { 0 } else { quiet + 1 };
        };
        self.readers.insert(name.to_owned(), reads);
        outcome
    }

    fn told(&self, found: &BTreeMap<Partition, Vec<Told>>) -> String {
        let some = |all: &[Told]| all.iter().take(20).map(|told| format!(" {told}")).collect::<String>();
        let parts: Vec<String> = found.iter().map(|(p, all)| format!("{}{} ({} records)", self.short(p), some(all), all.len())).collect();
        format!("it read {}", if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") })
    }

    fn is_refused(&mut self, name: &str) -> Shown<()> {
        let wait = self.terms.wait;
        let reads = self.reader(name)?;
        let refused = (0..PATIENCE).any(|_| reads.reader.poll(wait).is_err());
        if refused { Ok(()) } else { Err("it goes on".to_owned()) }
    }

    fn seek(&mut self, name: &str, places: &[&str], expected: &str) -> Shown<()> {
        let mut to = Positions::new();
        for place in places.split(|word| *word == ";") {
            let (partition, committed) = self.place(place)?;
            to.insert(partition, committed.offset);
        }
        let reads = self.reader(name)?;
        let sought = reads.reader.seek(&to);
        if sought.is_ok() {
            reads.inbox.retain(|(partition, ..)| !to.contains_key(partition));
            reads.next.extend(to);
        }
        same(expected, if sought.is_ok() { "done" } else { "refused" })
    }

    /// `in/0 at x`, `in/0 behind x`, `in/0 start`, `in/0 end`, `in/0 beyond`; and what stands `beside`.
    fn place(&self, words: &[&str]) -> Shown<(Partition, Committed)> {
        let (words, metadata) = match words {
            [words @ .., "beside", metadata] => (words, bytes(metadata).unwrap_or_default()),
            words => (words, Vec::new()),
        };
        let [of, how, value @ ..] = words else { return Err(format!("{words:?} is no place")) };
        let partition = self.partition(of)?;
        let (start, end) = self.log.bounds(&partition).map_err(|error| error.to_string())?;
        let find = |value: &str| {
            let records = self.known.records.get(&partition).into_iter().flatten();
            let mut found = records.filter(|(_, (_, told))| told.value == bytes(value)).map(|(offset, _)| *offset);
            found.next().ok_or_else(|| format!("nobody has read {value} of {of} yet"))
        };
        let offset = match (*how, value) {
            ("at", [value]) => find(value)?,
            ("behind", [value]) => find(value)?.next(),
            ("start", []) => start,
            ("end", []) => end,
            ("beyond", []) => Offset(end.0 + 7),
            _ => return Err(format!("{words:?} is no place")),
        };
        Ok((partition, Committed { offset, metadata }))
    }

    // Writers, producers, positions.

    fn write(&mut self, name: &str, to: &str, values: &[&str]) -> Shown<()> {
        let to = self.partition(to)?;
        let writes = self.writer(name)?;
        for told in records(values) {
            if let Err(error) = told.lend(|record| writes.writer.append(&to, record)) {
                writes.refused = writes.refused.take().or(Some(error));
            }
            writes.records.push((to.clone(), told));
        }
        Ok(())
    }

    fn commit_for(&mut self, writer: &str, reader: &str, places: &[&str], expected: &str) -> Shown<()> {
        let (claim, places) = match places {
            ["under", claim, places @ ..] => (self.claims.get(*claim).cloned(), places),
            places => (self.reader(reader)?.claim.clone(), places),
        };
        let mut read = Vec::new();
        if places.is_empty() {
            let reads = self.reader(reader)?;
            let at = |partition: &Partition| {
                let unread = reads.inbox.iter().find(|(of, ..)| of == partition).map(|(_, offset, _)| *offset);
                Committed { offset: unread.unwrap_or_else(|| reads.reader.position(partition)), metadata: Vec::new() }
            };
            read.extend(reads.owned.iter().map(|partition| (partition.clone(), at(partition))));
        } else if places != ["nothing"] {
            for place in places.split(|word| *word == ";") {
                read.push(self.place(place)?);
            }
        }
        self.commit(writer, &claim.ok_or("there is no claim")?, &read, expected)
    }

    fn commit(&mut self, name: &str, claim: &Claim, read: &[(Partition, Committed)], expected: &str) -> Shown<()> {
        let writes = self.writer(name)?;
        let records = std::mem::take(&mut writes.records);
        let done = writes.refused.take().map_or_else(|| writes.writer.commit(claim, read), Err);
        let shown = match &done {
            Ok(newest) => {
                self.known.committed.extend(records.into_iter().map(|(to, told)| (to, told, *newest)));
                "committed"
            }
            Err(CommitError::Aborted(_)) => "Aborted",
            Err(CommitError::Doubtful(_)) => "Doubtful",
            Err(CommitError::Fenced(_)) => "Fenced",
            Err(CommitError::Full(_)) => "Full",
            Err(CommitError::Failed(_)) => "Failed",
        };
        same(expected, shown).map_err(|shown| done.map_or_else(|error| format!("{shown}: {error}"), |_| shown.clone()))
    }

    fn append(&mut self, to: &str, told: &[Told], expected: &str) -> Shown<()> {
        let to = self.partition(to)?;
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.log.producer().map_err(|error| error.to_string())?,
        };
        let headers: Vec<Vec<(&str, &[u8])>> =
            told.iter().map(|told| told.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()).collect();
        let records: Vec<NewRecord<'_>> = told
            .iter()
            .zip(&headers)
            .map(|(told, headers)| NewRecord { key: told.key.as_deref(), headers, value: told.value.as_deref() })
            .collect();
        let answer = self.producer.insert(producer).append(&to, &records);
        if let (Ok(first), Some(told)) = (&answer, told.first()) {
            self.known.answered.insert((to, *first), told.clone());
        }
        same(expected, if answer.is_ok() { "taken" } else { "refused" })
    }

    /// A committed position as the record that is read next, and what stands beside it.
    fn stands(&mut self, group: &str, partition: &str, expected: &str) -> Shown<()> {
        let of = self.partition(partition)?;
        let committed = self.log.committed(&self.named(group), &of).map_err(|error| error.to_string())?;
        let next = |at: Offset| self.known.records.get(&of).and_then(|all| all.range(at..).next()).map(|(_, (_, told))| told.to_string());
        let shown = committed.map_or_else(
            || "nowhere".to_owned(),
            |Committed { offset, metadata }| {
                let at = next(offset).map_or_else(|| "end".to_owned(), |told| format!("at {told}"));
                let beside = Told { value: Some(metadata), ..Told::default() };
                if beside.value.as_ref().is_some_and(Vec::is_empty) { at } else { format!("{at} beside {beside}") }
            },
        );
        same(expected, &shown)
    }
}

impl Run<'_> {
    /// By the time of each record that was read, and by times between, before and behind all of them, those that are as old are found.
    fn times_find(&self, of: &Partition) -> Shown<()> {
        let nothing = BTreeMap::new();
        let records = self.known.records.get(of).unwrap_or(&nothing);
        let times = records.values().flat_map(|(time, _)| [time.0, time.0 + 1]).chain([i64::MIN, i64::MAX]);
        for from in times.map(AppendTime) {
            let found = self.log.offset_at(of, from).map_err(|error| error.to_string())?;
            let wrong = records.iter().find(|(offset, (time, _))| (**offset < found) != (*time < from));
            if let Some((offset, (time, told))) = wrong {
                return Err(format!("{told} lies at {offset} since {time:?}, and {from:?} begins at {found}"));
            }
        }
        Ok(())
    }
}

impl Reads {
    fn is_at_end(&self) -> Shown<bool> {
        for partition in &self.owned {
            let end = self.reader.end(partition).map_err(|error| error.to_string())?;
            if end != Some(self.reader.position(partition)) {
                return Ok(false);
            }
        }
        Ok(self.group.is_none() || self.heard)
    }
}

impl Known {
    /// Polls once. Gives whether that brought something.
    fn poll(&mut self, reads: &mut Reads, terms: Terms) -> Shown<bool> {
        match reads.reader.poll(terms.wait).map_err(|error| error.to_string())? {
            Polled::Nothing => return Ok(false),
            Polled::Assigned(assignment) if reads.group.is_none() => {
                let all: Vec<Partition> = assignment.partitions.into_iter().map(|(partition, _)| partition).collect();
                if all != reads.owned {
                    return Err(format!("a reader without a group was assigned {all:?}"));
                }
                (reads.claim, reads.heard) = (Some(assignment.claim), true);
            }
            Polled::Assigned(assignment) => {
                reads.inbox.clear();
                reads.next = assignment.partitions.iter().filter_map(|(p, c)| Some((p.clone(), c.as_ref()?.offset))).collect();
                reads.owned = assignment.partitions.into_iter().map(|(partition, _)| partition).collect();
                reads.owned.sort();
                (reads.claim, reads.heard) = (Some(assignment.claim), true);
            }
            Polled::Batch(batch) => {
                if !reads.owned.contains(batch.partition) || batch.is_empty() {
                    return Err(format!("{} records of {} came", batch.len(), batch.partition));
                }
                if reads.group.is_none() && !reads.heard {
                    return Err("records came before the assignment".to_owned());
                }
                for record in batch.iter() {
                    let next = reads.next.entry(batch.partition.clone()).or_default();
                    if record.offset < *next {
                        return Err(format!("{} of {} came again", record.offset, batch.partition));
                    }
                    *next = record.offset.next();
                    let told = Told::of(&record);
                    self.learn(batch.partition, record.offset, record.append_time, &told)?;
                    reads.inbox.push((batch.partition.clone(), record.offset, told));
                }
            }
        }
        Ok(true)
    }

    /// Every record that a producer was answered for was read where it was said to lie; what is there else was refused already.
    fn answers_hold(&self) -> Shown<()> {
        let is_read = |(of, at): &(Partition, Offset)| self.records.get(of).is_some_and(|all| all.contains_key(at));
        let missing = self.answered.iter().find(|(place, _)| !is_read(place));
        missing.map_or(Ok(()), |((of, at), told)| Err(format!("{told} was not read at {at} of {of}")))
    }

    fn learn(&mut self, of: &Partition, offset: Offset, time: Option<AppendTime>, told: &Told) -> Shown<()> {
        let time = time.ok_or_else(|| format!("{told} has no append time"))?;
        if self.answered.get(&(of.clone(), offset)).is_some_and(|answered| answered != told) {
            return Err(format!("{told} lies at {offset} of {of}, where a producer was told that its record lies"));
        }
        if self.committed.iter().any(|(to, written, newest)| to == of && written == told && time > *newest) {
            return Err(format!("{told} is younger than what its commit answered"));
        }
        let records = self.records.entry(of.clone()).or_default();
        let before = records.entry(offset).or_insert_with(|| (time, told.clone()));
        if *before != (time, told.clone()) {
            return Err(format!("{told} lies at {offset} of {of}, where {} was", before.1));
        }
        let earlier = records.range(..offset).next_back().is_some_and(|(_, (earlier, _))| *earlier > time);
        if earlier || records.range(offset.next()..).next().is_some_and(|(_, (later, _))| *later < time) {
            return Err(format!("append times of {of} fall at {told}"));
        }
        Ok(())
    }
}

/// Whether records are those of all sequences, each in its order.
fn fits(found: &[Told], sequences: &[Vec<Told>]) -> bool {
    if let [all] = sequences {
        return found == all;
    }
    let of = |sequence: &[Told]| found.iter().filter(|told| sequence.contains(told)).eq(sequence);
    found.len() == sequences.iter().map(Vec::len).sum::<usize>() && sequences.iter().all(|sequence| of(sequence))
}

fn nobody() -> Claim {
    Claim { group: String::new(), member: 0, generation: 0 }
}

fn same(expected: &str, shown: &str) -> Shown<()> {
    if expected == shown { Ok(()) } else { Err(format!("shown: {shown}")) }
}
