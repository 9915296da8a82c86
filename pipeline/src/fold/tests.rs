//! FOLD driven by batches: source records in, partials and dead letters out, without a log.

use super::*;
use crate::decode::decoder;
use crate::source::{Format, Source as Mapping};
use platform_core::codec::Cursor;
use platform_core::log::Positions;
use platform_core::record::BatchBuffer;
use platform_core::time::SECOND;
use std::time::Duration;

const BOUND: i64 = 30;
const HOLD: i64 = 45;
const RETAIN: i64 = 3600;
const SKEW: i64 = 60;
const NOW: i64 = 1_700_000_000;
const PARTITIONS: u32 = 2;

#[derive(Default)]
struct Out {
    partials: Vec<(u32, Vec<u8>)>,
    dead: Vec<(String, serde_json::Value)>,
}

impl Emit for Out {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let value = record.value.unwrap();
        match to.topic.as_str() {
            "partials" => self.partials.push((to.index, value.to_vec())),
            _ => self.dead.push((String::from_utf8(record.key.unwrap().to_vec()).unwrap(), serde_json::from_slice(value).unwrap())),
        }
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

/// Entries by (window in seconds, kind, series), and the ranges of partition 0's last chunk.
#[derive(Debug, Default, PartialEq)]
struct Read {
    entries: BTreeMap<(i64, String, String), Aggregate>,
    gauges: BTreeMap<(i64, String), Resources>,
    ranges: Vec<(u32, u64, u64, i64)>,
    chunks: u32,
    ended: bool,
}

impl Out {
    fn read(&self) -> Read {
        let mut read = Read::default();
        let mut next = [0; PARTITIONS as usize];
        for (partition, bytes) in &self.partials {
            let mut from = Cursor::new(bytes);
            let head = Head::decode(&mut from).unwrap();
            let next = &mut next[*partition as usize];
            assert_eq!(head.chunk, *next);
            *next = if head.last { 0 } else { head.chunk + 1 };
            read.chunks += 1;
            read.ended |= head.ended;
            read.ranges = head
                .ranges
                .iter()
                .map(|r| (r.source, r.from.0, r.to.0, if r.watermark == EventTime::MIN { i64::MIN } else { r.watermark.0 / SECOND - NOW }))
                .collect();
            while !from.is_empty() {
                let (start, kind, key) = partial::entry(&head, &mut from).unwrap();
                let name = match kind {
                    EntryKind::Folded => "folded".to_owned(),
                    EntryKind::Unique(id) => format!("unique {id:x}"),
                    EntryKind::Late => "late".to_owned(),
                    EntryKind::Gauges => {
                        let series = String::from_utf8(key.to_vec()).unwrap().replace('\0', "/");
                        let resources = Resources::decode(&mut from).unwrap();
                        read.gauges.insert((start.0 / SECOND - NOW, series), resources);
                        continue;
                    }
                };
                let series = String::from_utf8(key.to_vec()).unwrap().replace('\0', "/");
                read.entries.entry((start.0 / SECOND - NOW, name, series)).or_default().merge_encoded(&mut from).unwrap();
            }
        }
        assert_eq!(next, [0; PARTITIONS as usize], "every message has its last chunk");
        read
    }
}

fn settings(time: TimeMode) -> FoldSettings {
    let groupings = BTreeMap::from([("service".to_owned(), vec![]), ("service_operation".to_owned(), vec!["operation".to_owned()])]);
    FoldSettings {
        stamp: Stamp { colour: "blue", epoch: 1, tenant: "t".into() },
        groupings: Groupings::new(&groupings).unwrap(),
        window: WindowLength::new(Duration::from_secs(10)).unwrap(),
        verdicts: VerdictLimits { retain: RETAIN * SECOND, skew: SKEW * SECOND },
        watermark: WatermarkLimits { bound: BOUND * SECOND, hold: HOLD * SECOND, broker_skew: 0 },
        time,
        traces: false,
        lead: 120 * SECOND,
        partials: Topic::new("partials"),
        partitions: PARTITIONS,
        dead_letters: Topic::new("dead"),
        starts: Positions::new(),
    }
}

fn source(index: u32) -> Partition {
    Partition::new(&Topic::new("events"), index)
}

struct Run {
    fold: Fold,
    tally: Arc<Tally>,
}

fn run_of(mapping: &Mapping, time: TimeMode, from: &[u64]) -> Run {
    run_with(mapping, time, from, Rules::none())
}

fn run_with(mapping: &Mapping, time: TimeMode, from: &[u64], rules: Arc<Rules>) -> Run {
    let settings = settings(time);
    let tally = Arc::new(Tally::default());
    let mapping = mapping.clone();
    let made: MakeDecoder = Arc::new(move |wanted| decoder(&mapping, wanted));
    let mut fold = Fold::new(
        settings,
        vec![FoldSource { topic: Topic::new("events"), name: "test".to_owned(), decoder: made }],
        rules,
        Arc::clone(&tally),
    );
    let committed = |offset: &u64| Committed { offset: Offset(*offset), metadata: vec![] };
    let owned: Vec<(Partition, Committed)> =
        from.iter().enumerate().map(|(p, o)| (source(u32::try_from(p).unwrap()), committed(o))).collect();
    fold.assigned(&owned);
    Run { fold, tally }
}

fn run(from: &[u64]) -> Run {
    run_of(&Mapping::for_format(Format::Json), TimeMode::Live, from)
}

/// A record of one event, `at` seconds from now.
fn event(at: i64, service: &str) -> String {
    format!(r#"{{"timestamp":{},"service":"{service}","operation":"o","latency_ms":5,"status":200}}"#, NOW + at)
}

impl Run {
    /// Reads records of one partition from `offset` on, each with its append time in seconds from now.
    fn read(&mut self, partition: u32, offset: u64, records: &[(i64, Option<&str>)]) {
        let mut buffer = BatchBuffer::default();
        buffer.start(&source(partition));
        for (n, (append, value)) in records.iter().enumerate() {
            buffer.push(Offset(offset + n as u64), Some(AppendTime((NOW + append) * SECOND)), None, &[], value.map(str::as_bytes));
        }
        self.fold.process(&buffer.batch().unwrap());
    }

    fn emit(&mut self) -> Out {
        let mut out = Out::default();
        self.fold.emit(&mut out).unwrap();
        out
    }

    fn commit(&mut self) -> Out {
        let out = self.emit();
        self.fold.committed();
        out
    }
}

#[test]
fn verdicts_fall_by_the_events_own_times_and_everything_is_accounted() {
    let mut run = run(&[0]);
    let (ok, late, future) = (event(0, "a"), event(-RETAIN - 1, "a"), event(SKEW + 1, "a"));
    run.read(
        0,
        0,
        &[
            (0, Some(&ok)),
            (0, Some(&late)),
            (0, Some(&future)),
            (0, Some("{")),
            (0, None),
            (0, Some(&event(-RETAIN, "b"))),
            (0, Some(&event(SKEW, "b"))),
        ],
    );
    let out = run.commit();
    let read = out.read();
    let keys: Vec<String> =
        read.entries.iter().map(|((w, kind, series), a)| format!("{w} {kind} {series} {}", a.counts().events)).collect();
    assert_eq!(
        keys,
        ["-3600 folded t//b/o/ 1", "0 folded t//a/o/ 1", "0 late t//a/ 1", "60 folded t//b/o/ 1"],
        "the ledger's window is of append time"
    );
    let dead: Vec<(&str, &str)> = out.dead.iter().map(|(key, v)| (key.as_str(), v["reason"].as_str().unwrap())).collect();
    assert_eq!(dead, [("events/0/2/0", "time_future"), ("events/0/3/0", "decode_json")]);
    let counts = run.tally.total();
    assert_eq!((counts.decoded, counts.folded, counts.late, counts.dead_letters(), counts.skipped_items()), (7, 3, 1, 2, 1));
    assert!(counts.accounted());
}

#[test]
fn i4_ranges_follow_each_other_over_commits_and_go_to_every_partition() {
    let mut run = run(&[5, 0]);
    run.read(0, 5, &[(0, Some(&event(0, "a"))), (0, None)]);
    let out = run.commit();
    assert_eq!(out.partials.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(out.read().ranges, [(0, 5, 7, -BOUND), (1, 0, 0, i64::MIN)]);
    run.read(0, 7, &[(1, None)]);
    run.read(1, 0, &[(1, Some("{"))]);
    assert_eq!(run.commit().read().ranges, [(0, 7, 8, -BOUND), (1, 0, 1, 1 - HOLD - BOUND)]);
    assert!(!run.fold.has_output());
}

#[test]
fn i7_good_records_move_the_watermark_by_their_time_and_bad_ones_by_append_time_alone() {
    let watermark = |records: &[(i64, Option<&str>)]| {
        let mut run = run(&[0]);
        run.read(0, 0, records);
        run.commit().read().ranges[0].3
    };
    assert_eq!(watermark(&[(0, Some(&event(-10, "a")))]), -10 - BOUND);
    assert_eq!(watermark(&[(0, Some(&event(30, "a")))]), -BOUND, "a fast clock closes nothing early");
    assert_eq!(watermark(&[(0, Some(&event(-RETAIN - 9, "a")))]), -HOLD - BOUND, "a slow one holds nobody up");
    assert_eq!(watermark(&[(0, Some("{"))]), -HOLD - BOUND);
    assert_eq!(watermark(&[(0, None)]), -HOLD - BOUND);
    assert_eq!(watermark(&[(0, Some(&event(SKEW + 1, "a")))]), -HOLD - BOUND, "an event of the future is a bad record");
    assert_eq!(watermark(&[(0, Some(&event(-1, "a\\u0007")))]), -HOLD - BOUND, "so is one without a usable service");
}

#[test]
fn an_idle_claim_moves_the_watermark_only_at_the_position_that_was_read() {
    let mut run = run(&[3]);
    run.fold.idle(&source(0), Offset(2), AppendTime(NOW * SECOND));
    assert!(!run.fold.has_output());
    run.fold.idle(&source(0), Offset(3), AppendTime(NOW * SECOND));
    assert_eq!(run.commit().read().ranges, [(0, 3, 3, -BOUND)]);
    // The log uses an offset for itself behind the last record.
    run.fold.idle(&source(0), Offset(4), AppendTime((NOW + 5) * SECOND));
    assert_eq!(run.commit().read().ranges, [(0, 3, 4, 5 - BOUND)]);
}

#[test]
fn what_was_aborted_comes_again_and_gives_the_same() {
    let texts: Vec<String> = (0..6).map(|n| event(n, ["a", "b"][n as usize % 2])).collect();
    let records: Vec<(i64, Option<&str>)> = texts.iter().map(|t| (6, Some(t.as_str()))).chain([(6, Some("{"))]).collect();
    let mut once = run(&[0]);
    once.read(0, 0, &records);
    let mut twice = run(&[0]);
    twice.read(0, 0, &records);
    twice.emit();
    twice.fold.aborted();
    assert!(!twice.fold.has_output());
    twice.read(0, 0, &records);
    let (one, two) = (once.commit(), twice.commit());
    assert_eq!((one.partials, one.dead), (two.partials, two.dead));
    assert_eq!(once.tally.total(), twice.tally.total());
}

#[test]
fn i3_an_abort_takes_back_the_watermark_of_records_that_come_again_later() {
    let mut run = run(&[0]);
    run.read(0, 0, &[(0, Some(&event(-20, "a"))), (100, Some(&event(100, "a")))]);
    run.fold.aborted();
    run.read(0, 0, &[(0, Some(&event(-20, "a")))]);
    assert_eq!(run.commit().read().ranges, [(0, 0, 1, -20 - BOUND)]);
    run.read(0, 1, &[(100, Some(&event(100, "a")))]);
    run.fold.assigned(&[(source(0), Committed { offset: Offset(1), metadata: vec![] })]);
    run.fold.idle(&source(0), Offset(1), AppendTime((NOW - 15) * SECOND));
    assert_eq!(run.commit().read().ranges, [(0, 1, 1, -15 - BOUND)]);
}

#[test]
fn i5_totals_and_hashes_do_not_depend_on_batches_and_commits() {
    let texts: Vec<String> = (0..40).map(|n| [event(n, "a"), event(n - 20, "b")].join("\n")).collect();
    let records: Vec<(i64, Option<&str>)> = texts.iter().map(|t| (40, Some(t.as_str()))).collect();
    let totals = |batch: usize, commit: usize| {
        let mut run = run(&[0]);
        let mut all: BTreeMap<(i64, String, String), Aggregate> = BTreeMap::new();
        for (n, part) in records.chunks(batch).enumerate() {
            run.read(0, (n * batch) as u64, part);
            if n % commit == commit - 1 || (n + 1) * batch >= records.len() {
                for (key, aggregate) in run.commit().read().entries {
                    all.entry(key).or_default().merge(&aggregate).unwrap();
                }
            }
        }
        all
    };
    let whole = totals(40, 1);
    assert!(whole.len() == 8 && whole.values().map(|a| a.counts().events).sum::<u64>() == 80);
    for (batch, commit) in [(1, 1), (1, 7), (3, 2), (40, 1)] {
        assert_eq!(totals(batch, commit), whole, "batches of {batch}, a commit every {commit}");
    }
}

#[test]
fn every_item_has_a_hash_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for partition in 0..4 {
        for offset in 0..50 {
            assert!((0..20).all(|item| seen.insert(coordinate_hash(coordinate_seed(partition, Offset(offset)), item))));
        }
    }
}

#[test]
fn a_large_message_is_cut_into_chunks_that_hold_everything() {
    let mut run = run_of(&Mapping::for_format(Format::Json), TimeMode::Live, &[0]);
    let wide = |n: u32| format!(r#"{{"timestamp":{NOW},"service":"a","operation":"{n:0240}","latency_ms":5,"status":200}}"#);
    let texts: Vec<String> = (0..40).map(|r| (0..200).map(|n| wide(r * 200 + n)).collect::<Vec<_>>().join("\n")).collect();
    let records: Vec<(i64, Option<&str>)> = texts.iter().map(|t| (0, Some(t.as_str()))).collect();
    run.read(0, 0, &records);
    let out = run.commit();
    let read = out.read();
    assert_eq!(read.entries.len(), 8000);
    assert!(read.chunks > 3 && out.partials.iter().all(|(_, bytes)| bytes.len() < 2 * CHUNK), "{}", read.chunks);
}

#[test]
fn a_flood_of_dead_letters_keeps_coordinates_and_reasons_only() {
    let mut run = run(&[0]);
    let records = vec![(0, Some("nonsense")); DEAD_WITH_PAYLOAD + 5];
    run.read(0, 0, &records);
    let out = run.commit();
    assert_eq!(out.dead.len(), DEAD_WITH_PAYLOAD + 5);
    let (kept, bare) = out.dead.split_at(DEAD_WITH_PAYLOAD);
    assert!(kept.iter().all(|(_, v)| v["payload_base64"].is_string()));
    assert!(bare.iter().all(|(_, v)| v.get("payload_base64").is_none() && v["reason"].is_string() && v["length"] == 8));
    run.read(0, 2000, &[(0, Some("nonsense"))]);
    assert!(run.commit().dead[0].1["payload_base64"].is_string(), "the next transaction keeps again");
}

#[test]
fn i11_a_record_that_kills_is_a_dead_letter_and_is_not_decoded() {
    use base64::Engine as _;
    let mut run = run(&[3]);
    let good = event(-1, "a");
    // Decoding it would show: it is an event.
    let record = |offset| {
        let mut buffer = BatchBuffer::default();
        buffer.start(&source(0));
        buffer.push(Offset(offset), Some(AppendTime(NOW * SECOND)), None, &[], Some(good.as_bytes()));
        buffer
    };
    run.fold.crashed(&record(3).batch().unwrap());
    let out = run.commit();
    assert!(out.read().entries.is_empty(), "nothing of it counts");
    // Its append time counts for the watermark as that of any bad record.
    assert_eq!(out.read().ranges, [(0, 3, 4, -HOLD - BOUND)]);
    let [(key, letter)] = &out.dead[..] else { panic!("{:?}", out.dead) };
    assert_eq!((key.as_str(), letter["reason"].as_str(), letter["offset"].as_u64()), ("events/0/3/0", Some("crash"), Some(3)));
    let payload = base64::engine::general_purpose::STANDARD.decode(letter["payload_base64"].as_str().unwrap()).unwrap();
    assert_eq!((payload, letter["length"].as_u64()), (good.clone().into_bytes(), Some(good.len() as u64)));
    assert_eq!(dead_letter::unread(letter.to_string().as_bytes()), Some((source(0), Offset(3))));
    run.read(0, 4, &[(0, Some(&good))]);
    assert_eq!(run.commit().read().entries.len(), 1, "the next one is decoded");
}

#[test]
fn ids_travel_one_by_one() {
    let mapping = Mapping::from_yaml("s.yaml", "source: s\nformat: json\ndedup: {id: [id]}\n").unwrap();
    let mut run = run_of(&mapping, TimeMode::Live, &[0]);
    let text = format!(r#"{{"timestamp":{NOW},"service":"a","operation":"o","id":"x"}}"#);
    run.read(0, 0, &[(0, Some(&text)), (0, Some(&text))]);
    let read = run.commit().read();
    assert_eq!(read.entries.len(), 1);
    let ((_, kind, _), aggregate) = read.entries.first_key_value().unwrap();
    assert!(kind.starts_with("unique ") && aggregate.counts().events == 2 && run.tally.total().folded == 2);
}

#[test]
fn a_bounded_input_proves_nothing_and_says_its_end() {
    let mut bounded = run_of(&Mapping::for_format(Format::Json), TimeMode::Bounded, &[0]);
    bounded.read(0, 0, &[(0, Some(&event(-RETAIN * 9, "a"))), (0, Some(&event(SKEW * 9, "a")))]);
    let read = bounded.commit().read();
    assert!(read.ranges.is_empty() && !read.ended && read.entries.len() == 2, "nothing is late or ahead");
    bounded.fold.ended();
    assert!(bounded.fold.has_output() && bounded.commit().read().ended && !bounded.fold.has_output());
}

#[test]
fn streaming_takes_the_greatest_event_time_so_far_as_append_time() {
    let mut run = run_of(&Mapping::for_format(Format::Json), TimeMode::Streaming, &[0]);
    run.read(0, 0, &[(0, Some(&event(100, "a"))), (0, Some(&event(100 - RETAIN - 1, "a"))), (0, Some(&event(9_000, "\\u0007")))]);
    let read = run.commit().read();
    assert_eq!(read.ranges, [(0, 0, 3, 100 - BOUND)]);
    assert!(read.entries.keys().any(|(window, kind, _)| (*window, kind.as_str()) == (100, "late")));
}

#[test]
fn memory_of_windows_is_used_again_and_a_burst_is_not_kept() {
    let mut run = run(&[0]);
    let texts: Vec<String> = (0..40).map(|n| event(-n * 10, "a")).collect();
    let records: Vec<(i64, Option<&str>)> = texts.iter().map(|t| (0, Some(t.as_str()))).collect();
    run.read(0, 0, &records);
    assert_eq!(run.fold.work.windows.len(), 40);
    assert!(run.fold.held() > 40 * size_of::<Aggregate>());
    run.commit();
    assert_eq!((run.fold.work.windows.len(), run.fold.work.spare.len(), run.fold.held()), (0, 8, 0));
    run.read(0, 40, &records[..3]);
    assert_eq!((run.fold.work.windows.len(), run.fold.work.spare.len()), (3, 5));
    assert!(run.commit().read().entries.values().all(|a| a.counts().events == 1), "nothing of the last transaction is left in it");
}

#[test]
fn what_fold_itself_refuses_is_kept_as_it_came() {
    use base64::Engine as _;
    let payload = |out: &Out, n: usize| {
        let text = out.dead[n].1["payload_base64"].as_str().unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
    };
    let mut json = run(&[0]);
    let (future, bad) = (event(SKEW + 1, "a"), event(0, "\\u0007"));
    json.read(0, 0, &[(0, Some(&format!("[{},{future}]", event(0, "a")))), (0, Some(&bad))]);
    let out = json.commit();
    assert_eq!((payload(&out, 0), payload(&out, 1)), (future.clone(), bad));
    assert_eq!(out.dead[0].1["length"], future.len());
    // A line of an access log is kept with its record.
    let mapping = Mapping::from_yaml("s.yaml", "source: s\nformat: nginx_json\ndefaults: {service: a}\n").unwrap();
    let mut nginx = run_of(&mapping, TimeMode::Live, &[0]);
    let line = format!(r#"{{"msec":"{}.000","request_time":"0.1","status":"200","request_method":"GET","uri":"/"}}"#, NOW + SKEW + 1);
    nginx.read(0, 0, &[(0, Some(&line))]);
    let out = nginx.commit();
    assert_eq!(out.dead[0].1["reason"], "time_future", "{:?}", out.dead);
    assert_eq!(payload(&out, 0), line);
}

/// A record of one gauge, `at` seconds from now.
fn metric(at: i64, service: &str, instance: &str, cores: f64) -> String {
    let attribute = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let resource = format!("{},{}", attribute("service.name", service), attribute("service.instance.id", instance));
    let point = format!(r#"{{"timeUnixNano":"{}","asDouble":{cores}}}"#, (NOW + at) * SECOND);
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{resource}]}},"scopeMetrics":[{{"metrics":[
        {{"name":"container.cpu.usage","gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}}"#
    )
}

#[test]
fn samples_go_to_the_owner_of_their_service_and_are_no_events() {
    let mut run = run_of(&Mapping::for_format(Format::OtlpMetricsJson), TimeMode::Live, &[0]);
    let records = [
        metric(-5, "a", "1", 0.5),
        metric(-4, "a", "1", 0.25),
        metric(-RETAIN - 1, "a", "1", 9.0),
        metric(SKEW + 1, "a", "1", 9.0),
        metric(-5, "", "1", 9.0),
    ];
    let records: Vec<(i64, Option<&str>)> = records.iter().map(|record| (0, Some(record.as_str()))).collect();
    run.read(0, 0, &records);
    let read = run.commit().read();
    let mut expected = Resources::default();
    expected.note(crate::resource::Instance::of("1", ""), crate::resource::Measure::CpuUsed, 500_000);
    assert_eq!(read.gauges, BTreeMap::from([((-10, "t//a/".to_owned()), expected)]));
    assert!(read.entries.is_empty());
    let counts = run.tally.total();
    assert_eq!((counts.decoded, counts.skipped_items(), counts.accounted()), (5, 5, true));
    assert_eq!(counts.samples, BTreeMap::from([("future", 1), ("late", 1), ("no_service", 1), ("taken", 2)]));
}

#[test]
fn i7_metrics_that_never_cease_hold_the_watermark_no_more_than_silence_does() {
    let mut run = run_of(&Mapping::for_format(Format::OtlpMetricsJson), TimeMode::Live, &[0]);
    run.read(0, 0, &[(0, Some(&metric(-3000, "a", "1", 1.0)))]);
    assert_eq!(run.commit().read().ranges, [(0, 0, 1, -BOUND)]);
}
