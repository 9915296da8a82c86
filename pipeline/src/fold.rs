//! FOLD, a map stage: source records in, one partial message per transaction and partition out.
//!
//! Per record: decode under limits; per item: verdict by its own two times, series, add to the aggregate of (window, series). What cannot be
//! read becomes a dead letter in the same transaction. The watermark of each source partition is carried along in the ranges. Nothing
//! survives a transaction but the watermarks (which only rise) and a cache of series.
//! What FOLD does not do: it closes no window, drops no late event, and looks at no clock.

/// The message between FOLD and CLOSE.
pub mod partial;
/// What becomes of an event by its own times.
pub mod verdict;

use crate::aggregate::Aggregate;
use crate::dead_letter::{self, Coordinates, Stamp, UNREAD};
use crate::decode::{Coordinate, Decoder, Input, Items, MakeDecoder, Reason, Skip};
use crate::event::Event;
use crate::grouping::Groupings;
use crate::names::{CONTENT_TYPE, SCHEMA, SCHEMA_DEAD_LETTER};
use crate::overrides::of_events::{EventRules, Lead};
use crate::overrides::rules::Rules;
use crate::resource::{Gauge, Resources};
use crate::series::{SeriesId, SeriesTable, service_length};
use crate::tally::{Counts, Tally};
use partial::{CHUNK, EntryKind, Head, Range, put_entry};
use platform_core::log::{CommitError, Committed, Positions};
use platform_core::record::{Batch, NewRecord, Offset, Partition, Topic};
use platform_core::stage::{Emit, MapStage};
use platform_core::time::{AppendTime, EventTime};
use platform_core::watermark::{PartitionWatermark, WatermarkLimits};
use platform_core::window::WindowLength;
use std::collections::BTreeMap;
use std::sync::Arc;
use verdict::{Verdict, VerdictLimits, verdict};

/// Dead letters of one transaction that keep their payload; further ones keep coordinates and reason.
const DEAD_WITH_PAYLOAD: usize = 1000;
/// Most bytes that a sample of a resource can take: the first of its service and window.
const SAMPLE: usize = 512;
/// Bytes of the series cache at which it is cleared after a commit.
const SERIES_CACHE: usize = 64 << 20;

/// Where append times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMode {
    /// From the log.
    Live,
    /// Bounded input: there is none. Nothing is late or ahead, and windows close when the input ends.
    Bounded,
    /// Bounded input read as if it came live: the append time is the greatest event time so far.
    Streaming,
}

/// Settings of FOLD.
#[derive(Clone, Debug)]
pub struct FoldSettings {
    /// Who is said to have written its outputs, and the tenant of all events.
    pub stamp: Stamp,
    /// Dimensions of a series.
    pub groupings: Groupings,
    /// Length of windows.
    pub window: WindowLength,
    /// When an event counts in its window.
    pub verdicts: VerdictLimits,
    /// Clamps of the watermark.
    pub watermark: WatermarkLimits,
    /// Where append times come from.
    pub time: TimeMode,
    /// Whether trace and span ids are needed.
    pub traces: bool,
    /// From the append of a decision in the control log to the first window that it can touch, in ns.
    pub lead: i64,
    /// Where partials go.
    pub partials: Topic,
    /// How many partitions `partials` has.
    pub partitions: u32,
    /// Where dead letters go (partition 0).
    pub dead_letters: Topic,
    /// Where to begin with partitions that were never read; others from their start.
    pub starts: Positions,
}

/// A topic that FOLD reads. Its place in the list of them is part of every coordinate and stays the same for good.
pub struct FoldSource {
    /// The topic.
    pub topic: Topic,
    /// Name of the source, in counts and dead letters.
    pub name: String,
    /// Makes what reads its records: anew when other tags are needed.
    pub decoder: MakeDecoder,
}

/// The place of a partition among those of all sources: the number of its topic above 16 bits of its own.
#[must_use]
pub fn place(topic: usize, partition: u32) -> u32 {
    u32::try_from(topic).unwrap_or(u32::MAX) << 16 | partition
}

/// FOLD.
pub struct Fold {
    decoders: Vec<Box<dyn Decoder>>,
    makers: Vec<MakeDecoder>,
    /// Changes of the rules that the decoders know of.
    changes: u64,
    topics: Vec<Topic>,
    work: Work,
}

/// All of FOLD but the decoder, which lends it events.
struct Work {
    settings: FoldSettings,
    tally: Arc<Tally>,
    rules: EventRules,
    series: SeriesTable,
    windows: Vec<OpenWindow>,
    /// Place of the window used last.
    recent: usize,
    spare: Vec<OpenWindow>,
    unique: Vec<(EventTime, SeriesId, u128, Aggregate)>,
    late: BTreeMap<(EventTime, Vec<u8>), (u32, Aggregate)>,
    /// Samples of resources, by window and service, with the partition that owns it.
    gauges: BTreeMap<(EventTime, Vec<u8>), (u32, Resources)>,
    /// How many there were.
    samples: usize,
    dead: Vec<(String, Vec<u8>)>,
    dead_bytes: usize,
    /// Of the source whose records are read.
    counts: Counts,
    /// Names of the sources, and the counts of each.
    counted: Vec<(String, Counts)>,
    events: usize,
    sources: BTreeMap<Partition, Source>,
    /// Greatest event time so far, the append time of streaming mode.
    greatest: EventTime,
    at: At,
    ended: bool,
}

/// Aggregates of one window in one transaction.
#[derive(Default)]
struct OpenWindow {
    start: i64,
    end: i64,
    /// By series: place in `aggregates` plus one; 0 is none.
    places: Vec<u32>,
    /// The first `used` are in use; the others keep their memory for later.
    aggregates: Vec<(SeriesId, Aggregate)>,
    used: usize,
}

/// The record being decoded.
#[derive(Clone)]
struct At {
    partition: Option<Partition>,
    offset: Offset,
    append_time: Option<AppendTime>,
    seed: u64,
    /// Number of the source.
    source: usize,
    watermark: PartitionWatermark,
}

#[derive(Clone, Copy, Default)]
struct Source {
    /// Among those of all sources.
    place: u32,
    /// First offset of this transaction, and next one to read.
    from: Offset,
    to: Offset,
    watermark: PartitionWatermark,
    /// Watermark of the last range sent.
    sent: PartitionWatermark,
    /// It was found to be read to its end in this transaction, without a record.
    idle: bool,
}

fn range(source: &Source) -> Range {
    let Source { place, from, to, watermark, sent: _, idle } = *source;
    Range { source: place, from, to, idle, watermark: watermark.time() }
}

impl Fold {
    /// A FOLD of these sources that counts in this tally.
    #[must_use]
    pub fn new(settings: FoldSettings, sources: Vec<FoldSource>, rules: Arc<Rules>, tally: Arc<Tally>) -> Self {
        let watermark = PartitionWatermark::default();
        let at = At { partition: None, offset: Offset(0), append_time: None, seed: 0, source: 0, watermark };
        let counted = sources.iter().map(|source| (source.name.clone(), Counts::default())).collect();
        let (topics, makers): (Vec<_>, Vec<_>) = sources.into_iter().map(|source| (source.topic, source.decoder)).unzip();
        let lead = Lead { lead: settings.lead, skew: settings.verdicts.skew, broker_skew: settings.watermark.broker_skew };
        let rules = EventRules::new(rules, &settings.groupings, lead);
        let work = Work {
            settings,
            tally,
            rules,
            series: SeriesTable::default(),
            windows: vec![],
            recent: 0,
            spare: vec![],
            unique: vec![],
            late: BTreeMap::new(),
            gauges: BTreeMap::new(),
            samples: 0,
            dead: vec![],
            dead_bytes: 0,
            counts: Counts::default(),
            counted,
            events: 0,
            sources: BTreeMap::new(),
            greatest: EventTime::MIN,
            at,
            ended: false,
        };
        let mut fold = Self { decoders: Vec::new(), makers, changes: 0, topics, work };
        fold.make_decoders();
        fold
    }

    /// Decoders that look for what series and rules need now.
    fn make_decoders(&mut self) {
        let wanted = self.work.rules.wanted(self.work.settings.traces);
        self.decoders = self.makers.iter().map(|make| make(&wanted)).collect();
        self.changes = self.work.rules.changes();
    }
}

impl Fold {
    /// Number of a topic among the sources. Bounded inputs have one source, whatever their files are called.
    fn number(&self, topic: &Topic) -> usize {
        self.topics.iter().position(|own| own == topic).unwrap_or(0)
    }
}

impl MapStage for Fold {
    fn assigned(&mut self, partitions: &[(Partition, Committed)]) {
        self.work.forget();
        self.work.sources = partitions
            .iter()
            .map(|(partition, committed)| {
                let sent = self.work.sources.get(partition).map(|known| known.sent).unwrap_or_default();
                let place = place(self.number(&partition.topic), partition.index);
                (partition.clone(), Source { place, from: committed.offset, to: committed.offset, watermark: sent, sent, idle: false })
            })
            .collect();
    }

    fn begins_at(&self, partition: &Partition) -> Option<Offset> {
        self.work.settings.starts.get(partition).copied()
    }

    fn ready(&mut self, newest: AppendTime, known: Option<AppendTime>) -> bool {
        self.work.rules.ready(newest, known)
    }

    fn process(&mut self, batch: &Batch<'_>) {
        if self.changes != self.work.rules.changes() {
            self.make_decoders();
        }
        let number = self.number(&batch.partition.topic);
        let (work, Some(decoder)) = (&mut self.work, self.decoders.get_mut(number)) else { return };
        if let Some((_, counts)) = work.counted.get_mut(number) {
            std::mem::swap(counts, &mut work.counts);
        }
        let source = work.sources.get(batch.partition).copied().unwrap_or_default();
        work.at.source = number;
        work.at.partition = Some(batch.partition.clone());
        work.at.watermark = source.watermark;
        for record in batch.iter() {
            work.at.offset = record.offset;
            work.at.append_time = record.append_time;
            work.at.seed = coordinate_seed(source.place, record.offset);
            match record.value {
                Some(value) => {
                    let coordinate = Coordinate { partition: batch.partition.index, offset: record.offset.0 };
                    decoder.decode(&Input { headers: record.headers, key: record.key, value, coordinate }, &mut Taking { work, value });
                }
                None => work.skipped(Skip::Tombstone),
            }
        }
        let to = batch.next_offset().unwrap_or(source.to);
        let source = Source { to, watermark: work.at.watermark, ..source };
        if let Some(known) = work.sources.get_mut(batch.partition) {
            *known = source;
        }
        if let Some((_, counts)) = work.counted.get_mut(number) {
            std::mem::swap(counts, &mut work.counts);
        }
    }

    fn crashed(&mut self, batch: &Batch<'_>) {
        // Before the stand-in takes its place: nothing may make decoders anew behind it.
        if self.changes != self.work.rules.changes() {
            self.make_decoders();
        }
        let number = self.number(&batch.partition.topic);
        let Some(decoder) = self.decoders.get_mut(number) else { return };
        let kept = std::mem::replace(decoder, Box::new(Unread));
        self.process(batch);
        if let Some(decoder) = self.decoders.get_mut(number) {
            *decoder = kept;
        }
    }

    fn idle(&mut self, partition: &Partition, position: Offset, known_before: AppendTime) {
        let limits = self.work.settings.watermark;
        // Behind the last record there may be offsets that the log uses for itself.
        if let Some(source) = self.work.sources.get_mut(partition).filter(|s| s.to <= position) {
            (source.to, source.idle) = (position, true);
            source.watermark.claim_idle(known_before, &limits);
        }
    }

    fn held(&self) -> usize {
        let work = &self.work;
        let aggregates: usize = work.windows.iter().map(|w| w.used).sum();
        // An event adds at most one entry of four bytes to a sketch; growth by doubling may double that.
        (aggregates + work.late.len()) * size_of::<(SeriesId, Aggregate)>()
            + 8 * work.events
            + work.unique.len() * size_of::<(i64, u128, Aggregate)>()
            + work.dead_bytes
            + SAMPLE * work.samples
    }

    fn has_output(&self) -> bool {
        self.work.ended || self.work.sources.values().any(|s| s.to != s.from || s.watermark != s.sent)
    }

    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        self.work.emit(out)
    }

    fn committed(&mut self) {
        let work = &mut self.work;
        for (name, counts) in &work.counted {
            work.tally.add(name, counts);
        }
        for source in work.sources.values_mut() {
            source.from = source.to;
            source.sent = source.watermark;
            source.idle = false;
        }
        work.ended = false;
        work.rules.committed();
        work.forget();
    }

    fn aborted(&mut self) {
        for source in self.work.sources.values_mut() {
            // The watermark too: what it was raised by may come in a later transaction than what is older.
            (source.to, source.watermark, source.idle) = (source.from, source.sent, false);
        }
        self.work.rules.aborted();
        self.work.forget();
    }

    fn ended(&mut self) {
        self.work.ended = true;
    }
}

/// Looks into no record: each has killed its process.
struct Unread;

impl Decoder for Unread {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        items.dead(0, Reason::Crash, UNREAD, input.value);
    }
}

/// Items of one record.
struct Taking<'w> {
    work: &'w mut Work,
    /// The record's value, for items that do not say what they were made from.
    value: &'w [u8],
}

impl Items for Taking<'_> {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        if let Err((reason, detail)) = self.work.event(at, event) {
            self.work.dead(at, reason, detail, if event.raw.is_empty() { self.value } else { event.raw });
        }
    }

    fn skipped(&mut self, _at: u32, reason: Skip) {
        self.work.skipped(reason);
    }

    fn gauge(&mut self, gauge: &Gauge<'_>) {
        let became = self.work.gauge(gauge);
        *self.work.counts.samples.entry(became).or_default() += 1;
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        self.work.dead(at, reason, detail, bytes);
    }
}

impl Work {
    /// Counts an event where it belongs, or says why it cannot be.
    fn event(&mut self, at: u32, event: &Event<'_>) -> Result<(), (Reason, &'static str)> {
        // Before the verdict: an event without a service moves the watermark by its append time alone.
        let Self { settings, series, rules, .. } = self;
        let of_event = |event: &Event<'_>| series.of_event(&settings.stamp.tenant, event, &settings.groupings, settings.partitions);
        let (series, judged) = rules.seen(event, of_event);
        // Older than anything that versions are kept for: the ledger counts what the event itself says.
        let (as_received, event) = (event, judged.as_ref().unwrap_or(event));
        let Ok(series) = series else {
            return Err((Reason::ServiceInvalid, "a service's name has 1 to 256 bytes and no control or bidi characters"));
        };
        let append = match self.settings.time {
            TimeMode::Live => self.at.append_time,
            TimeMode::Bounded => None,
            TimeMode::Streaming => {
                self.greatest = self.greatest.max(event.event_time);
                Some(AppendTime(self.greatest.0))
            }
        };
        if let Some(append) = append {
            match verdict(event.event_time, append, &self.settings.verdicts) {
                Verdict::Folded => self.at.watermark.observe(event.event_time, append, &self.settings.watermark),
                Verdict::LateLedger => {
                    self.at.watermark.observe(event.event_time, append, &self.settings.watermark);
                    self.late_event(at, as_received, series, append);
                    return Ok(());
                }
                Verdict::Future => return Err((Reason::TimeFuture, "the event is further ahead of its append time than `skew`")),
            }
        }
        self.counts.decoded += 1;
        self.counts.folded += 1;
        self.events += 1;
        match event.dedup {
            None => {
                let hash = coordinate_hash(self.at.seed, at);
                let place = self.window_of(event.event_time);
                if let Some(window) = self.windows.get_mut(place) {
                    window.aggregate(series).add(event, hash);
                }
            }
            Some(id) => {
                let mut aggregate = Aggregate::default();
                aggregate.add(event, (id as u64) ^ ((id >> 64) as u64));
                let start = self.settings.window.window_of(event.event_time).start;
                self.unique.push((start, series, id, aggregate));
            }
        }
        Ok(())
    }

    /// Takes a sample of a resource if it is of its time, and says what became of it. It never moves the watermark: its record does.
    fn gauge(&mut self, gauge: &Gauge<'_>) -> &'static str {
        let append = match self.settings.time {
            TimeMode::Live => self.at.append_time,
            TimeMode::Streaming if self.greatest > EventTime::MIN => Some(AppendTime(self.greatest.0)),
            TimeMode::Streaming | TimeMode::Bounded => None,
        };
        match append.map(|append| verdict(gauge.time, append, &self.settings.verdicts)) {
            Some(Verdict::LateLedger) => return "late",
            Some(Verdict::Future) => return "future",
            Some(Verdict::Folded) | None => {}
        }
        let FoldSettings { stamp, window, partitions, .. } = &self.settings;
        let Ok((key, partition)) = SeriesTable::of_service(&stamp.tenant, gauge.namespace, gauge.service, *partitions) else {
            return "no_service";
        };
        self.samples += 1;
        let start = window.window_of(gauge.time).start;
        let (_, resources) = self.gauges.entry((start, key)).or_insert_with(|| (partition, Resources::default()));
        if resources.note(gauge.instance, gauge.measure, gauge.value) { "taken" } else { "over_cap" }
    }

    fn skipped(&mut self, reason: Skip) {
        if reason == Skip::Metrics {
            self.passed();
        } else {
            self.observe_append();
        }
        self.counts.skip(reason);
    }

    /// A record that cannot hold an event was read: all that was appended before it has been seen, as in an idle claim. Metrics that never
    /// cease must not hold back what a silent partition would not.
    fn passed(&mut self) {
        if let (TimeMode::Live, Some(append)) = (self.settings.time, self.at.append_time) {
            self.at.watermark.claim_idle(append, &self.settings.watermark);
        }
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        self.observe_append();
        self.counts.dead(reason);
        let (Some(partition), Some((source, _))) = (&self.at.partition, self.counted.get(self.at.source)) else { return };
        let coordinates = Coordinates { source, partition, offset: self.at.offset, item: at, append_time: self.at.append_time };
        let payload = (self.dead.len() < DEAD_WITH_PAYLOAD).then_some(bytes);
        let value = dead_letter::value(&self.settings.stamp, &coordinates, reason, detail, bytes.len(), payload);
        self.dead_bytes += value.len() + 64;
        self.dead.push((dead_letter::key(&coordinates), value));
    }

    fn window_of(&mut self, time: EventTime) -> usize {
        if self.windows.get(self.recent).is_some_and(|w| w.start <= time.0 && time.0 < w.end) {
            return self.recent;
        }
        let found = self.windows.iter().position(|w| w.start <= time.0 && time.0 < w.end);
        self.recent = found.unwrap_or_else(|| {
            let window = self.settings.window.window_of(time);
            let mut open = self.spare.pop().unwrap_or_default();
            (open.start, open.end) = (window.start.0, window.end.0);
            self.windows.push(open);
            self.windows.len() - 1
        });
        self.recent
    }

    /// An event of the late ledger: by the service alone, in the window of its append time.
    fn late_event(&mut self, at: u32, event: &Event<'_>, series: SeriesId, append: AppendTime) {
        self.counts.decoded += 1;
        self.counts.late += 1;
        let key = self.series.key(series);
        let service = key.get(..service_length(key)).unwrap_or(key).to_vec();
        let start = self.settings.window.window_of(append.as_event_time()).start;
        let hash = coordinate_hash(self.at.seed, at);
        let partition = self.series.partition(series);
        self.late.entry((start, service)).or_insert_with(|| (partition, Aggregate::default())).1.add(event, hash);
    }

    fn observe_append(&mut self) {
        if let (TimeMode::Live, Some(append)) = (self.settings.time, self.at.append_time) {
            self.at.watermark.observe_append(append, &self.settings.watermark);
        }
    }

    fn head(&self) -> Head {
        let ranges = match self.settings.time {
            // A bounded input is read in pieces by several threads; its ranges prove nothing, and its end is said apart.
            TimeMode::Bounded => vec![],
            _ => self.sources.values().map(range).collect(),
        };
        let mut windows: Vec<EventTime> = self.windows.iter().map(|w| EventTime(w.start)).collect();
        let apart = self.unique.iter().map(|u| u.0).chain(self.late.keys().map(|k| k.0));
        for start in apart.chain(self.gauges.keys().map(|k| k.0)) {
            if !windows.contains(&start) {
                windows.push(start);
            }
        }
        Head {
            epoch: self.settings.stamp.epoch,
            chunk: 0,
            last: false,
            ended: self.ended,
            control: self.rules.position(),
            ranges,
            windows,
            ..Head::default()
        }
    }

    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        let head = self.head();
        let partitions: Vec<Partition> = (0..self.settings.partitions).map(|i| Partition::new(&self.settings.partials, i)).collect();
        let mut messages: Vec<Message<'_>> = partitions.iter().map(|p| Message::new(p, head.clone())).collect();
        let mut scratch = Vec::new();
        for (place, window) in self.windows.iter().enumerate() {
            for (series, aggregate) in window.aggregates.iter().take(window.used) {
                let Some(message) = messages.get_mut(self.series.partition(*series) as usize) else { continue };
                message.push(place, EntryKind::Folded, self.series.key(*series), |body| aggregate.encode(body), out, &mut scratch)?;
            }
        }
        let place_of = |start: EventTime| head.windows.iter().position(|w| *w == start).unwrap_or_default();
        for (start, series, id, aggregate) in &self.unique {
            let Some(message) = messages.get_mut(self.series.partition(*series) as usize) else { continue };
            message.push(
                place_of(*start),
                EntryKind::Unique(*id),
                self.series.key(*series),
                |body| aggregate.encode(body),
                out,
                &mut scratch,
            )?;
        }
        for ((start, key), (partition, aggregate)) in &self.late {
            let Some(message) = messages.get_mut(*partition as usize) else { continue };
            message.push(place_of(*start), EntryKind::Late, key, |body| aggregate.encode(body), out, &mut scratch)?;
        }
        for ((start, key), (partition, resources)) in &self.gauges {
            let Some(message) = messages.get_mut(*partition as usize) else { continue };
            message.push(place_of(*start), EntryKind::Gauges, key, |body| resources.encode(body), out, &mut scratch)?;
        }
        for message in messages {
            message.finish(out, &mut scratch)?;
        }
        let dead_letters = Partition::new(&self.settings.dead_letters, 0);
        let headers = [(SCHEMA, SCHEMA_DEAD_LETTER.as_bytes()), (CONTENT_TYPE, b"application/json".as_slice())];
        for (key, value) in &self.dead {
            out.append(&dead_letters, NewRecord { key: Some(key.as_bytes()), headers: &headers, value: Some(value) })?;
        }
        Ok(())
    }

    /// Forgets the transaction and keeps the memory.
    fn forget(&mut self) {
        for mut window in self.windows.drain(..) {
            window.clear();
            // Memory for a burst of windows is not kept for ever.
            if self.spare.len() < 8 {
                self.spare.push(window);
            }
        }
        self.recent = 0;
        self.unique.clear();
        self.late.clear();
        self.gauges.clear();
        self.samples = 0;
        self.dead.clear();
        self.dead_bytes = 0;
        self.events = 0;
        self.counted.iter_mut().for_each(|(_, counts)| *counts = Counts::default());
        if self.series.held() > SERIES_CACHE {
            self.series.clear();
            self.spare.clear();
        }
    }
}

impl OpenWindow {
    fn aggregate(&mut self, series: SeriesId) -> &mut Aggregate {
        let at = series.0 as usize;
        if at >= self.places.len() {
            self.places.resize((at + 1).next_power_of_two(), 0);
        }
        let Self { places, aggregates, used, .. } = self;
        let place = places.get_mut(at).expect("the list was made long enough above");
        if *place == 0 {
            match aggregates.get_mut(*used) {
                Some(spare) => spare.0 = series,
                None => aggregates.push((series, Aggregate::default())),
            }
            *used += 1;
            *place = u32::try_from(*used).unwrap_or(u32::MAX);
        }
        &mut aggregates.get_mut(*place as usize - 1).expect("every place but 0 was given out above").1
    }

    fn clear(&mut self) {
        for (series, aggregate) in self.aggregates.iter_mut().take(self.used) {
            if let Some(place) = self.places.get_mut(series.0 as usize) {
                *place = 0;
            }
            aggregate.clear();
        }
        self.used = 0;
    }
}

/// A message to one partition, cut into chunks as it grows.
struct Message<'a> {
    to: &'a Partition,
    head: Head,
    body: Vec<u8>,
}

impl<'a> Message<'a> {
    fn new(to: &'a Partition, head: Head) -> Self {
        Self { to, head, body: Vec::new() }
    }

    fn push(
        &mut self,
        window: usize,
        kind: EntryKind,
        key: &[u8],
        content: impl FnOnce(&mut Vec<u8>),
        out: &mut dyn Emit,
        scratch: &mut Vec<u8>,
    ) -> Result<(), CommitError> {
        put_entry(window, kind, key, &mut self.body);
        content(&mut self.body);
        if self.body.len() >= CHUNK {
            self.send(out, scratch)?;
            self.head.chunk += 1;
        }
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Emit, scratch: &mut Vec<u8>) -> Result<(), CommitError> {
        self.head.last = true;
        self.send(out, scratch)
    }

    fn send(&mut self, out: &mut dyn Emit, scratch: &mut Vec<u8>) -> Result<(), CommitError> {
        scratch.clear();
        self.head.encode(scratch);
        scratch.extend_from_slice(&self.body);
        self.body.clear();
        out.append(self.to, NewRecord { key: None, headers: &[], value: Some(scratch) })
    }
}

/// First half of a coordinate's hash: the record.
pub(crate) fn coordinate_seed(place: u32, offset: Offset) -> u64 {
    mix(mix(u64::from(place)).wrapping_add(offset.0))
}

/// h(partition, offset, item): additive over events, so a lost and a doubled event never cancel (GUARANTEES §5).
pub(crate) fn coordinate_hash(seed: u64, item: u32) -> u64 {
    mix(seed.wrapping_add(u64::from(item)))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
