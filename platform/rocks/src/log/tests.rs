//! What only this log does; what every log does is in the scripts of calibration.

use super::*;
use crate::rocks::{Rocks, TopicSettings};
use platform_core::log::{AppendError, Assignment, Claim, CommitError, Polled, Positions};
use platform_core::record::NewRecord;
use platform_core::time::SECOND;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A clock that stands still until it is moved.
pub(crate) struct TestClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(1_000 * SECOND), monotonic: AtomicU64::new(0) })
    }

    fn pass(&self, seconds: i64) {
        self.wall.fetch_add(seconds * SECOND, Ordering::SeqCst);
        self.monotonic.fetch_add(u64::try_from(seconds * SECOND).unwrap(), Ordering::SeqCst);
    }

    fn step_wall(&self, seconds: i64) {
        self.wall.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Topics with their partitions, everything kept, nothing waiting for company, no reserve.
pub(crate) fn settings(topics: &[(&str, u32)]) -> Settings {
    let topics = topics.iter().map(|(name, partitions)| TopicSettings {
        topic: Topic::new(name),
        partitions: *partitions,
        retention: Duration::MAX,
    });
    Settings {
        topics: topics.collect(),
        group_commit_wait: Duration::ZERO,
        reserve: 0,
        retention_every: Duration::MAX,
        ..Settings::default()
    }
}

fn open(dir: &Path, topics: &[(&str, u32)]) -> Rocks {
    Rocks::open(dir, &settings(topics), TestClock::new()).unwrap()
}

fn partition(topic: &str, index: u32) -> Partition {
    Partition::new(&Topic::new(topic), index)
}

fn value(value: &[u8]) -> NewRecord<'_> {
    NewRecord { value: Some(value), ..NewRecord::default() }
}

fn alone() -> Claim {
    Claim { group: String::new(), member: 0, generation: 0 }
}

fn at(offset: u64) -> Committed {
    Committed { offset: Offset(offset), metadata: b"meta".to_vec() }
}

fn subscribe(log: &RocksLog, group: Option<&str>, topics: &[&str]) -> Box<dyn Reader> {
    let topics = topics.iter().map(|t| Topic::new(t)).collect();
    log.reader(&Subscription { group: group.map(str::to_owned), topics }).unwrap()
}

fn assigned(reader: &mut dyn Reader) -> Assignment {
    match reader.poll(Duration::ZERO).unwrap() {
        Polled::Assigned(assignment) => assignment,
        other => panic!("no assignment but {other:?}"),
    }
}

/// Values of everything that is there, by partition, in order.
type Content = BTreeMap<Partition, Vec<(u64, Vec<u8>)>>;

fn content(log: &RocksLog, topics: &[&str]) -> Content {
    let mut reader = subscribe(log, None, topics);
    assigned(reader.as_mut());
    let mut found = Content::new();
    while let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
        assert!(!batch.is_empty());
        let records = batch.iter().map(|r| (r.offset.0, r.value.unwrap().to_vec()));
        found.entry(batch.partition.clone()).or_default().extend(records);
    }
    found
}

fn values(log: &RocksLog, topic: &str) -> Vec<Vec<u8>> {
    content(log, &[topic]).into_values().flatten().map(|(_, value)| value).collect()
}

#[test]
fn partitions_take_turns_and_a_position_beyond_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &[("in", 2)]).log();
    let producer = log.producer().unwrap();
    let large = vec![7; 700_000];
    for index in 0..2 {
        producer.append(&partition("in", index), &[value(&large), value(&large), value(&large)]).unwrap();
    }
    let mut reader = subscribe(&log, None, &["in"]);
    assigned(reader.as_mut());
    let mut order = Vec::new();
    while let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
        order.push((batch.partition.index, batch.len()));
    }
    assert_eq!(order, [(0, 2), (1, 2), (0, 1), (1, 1)]);
    reader.seek(&Positions::from([(partition("in", 1), Offset(4))])).unwrap();
    assert!(matches!(reader.poll(Duration::ZERO), Err(LogError::OutOfRange { position: Offset(4), end: Offset(3), .. })));
}

#[test]
fn a_waiting_reader_is_woken_by_records_a_new_share_and_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &[("in", 1)]).log();
    let mut reader = subscribe(&log, Some("g"), &["in"]);
    let (said, hear) = mpsc::channel();
    let waiting = std::thread::Builder::new().spawn(move || {
        loop {
            let word = match reader.poll(Duration::from_secs(600)) {
                Ok(Polled::Assigned(_)) => "assigned",
                Ok(Polled::Batch(_)) => "batch",
                Ok(Polled::Nothing) => "nothing",
                Err(LogError::Closed) => "closed",
                Err(error) => panic!("{error}"),
            };
            said.send(word).unwrap();
            if word == "closed" {
                return;
            }
        }
    });
    assert_eq!(hear.recv().unwrap(), "assigned");
    log.producer().unwrap().append(&partition("in", 0), &[value(b"1")]).unwrap();
    assert_eq!(hear.recv().unwrap(), "batch");
    let mut other = subscribe(&log, Some("g"), &["in"]);
    assigned(other.as_mut());
    assert_eq!(hear.recv().unwrap(), "assigned");
    // From the committed position, and nothing was committed.
    assert_eq!(hear.recv().unwrap(), "batch");
    log.close();
    assert_eq!(hear.recv().unwrap(), "closed");
    waiting.unwrap().join().unwrap();
    assert!(matches!(log.writer("w"), Err(LogError::Closed)));
}

#[test]
fn append_times_never_go_back_not_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let commit = |rocks: &Rocks| rocks.log().writer("w").unwrap().commit(&alone(), &[]).unwrap();
    let rocks = Rocks::open(dir.path(), &settings(&[("in", 1)]), clock.clone()).unwrap();
    let mut times = vec![commit(&rocks)];
    clock.pass(10);
    times.push(commit(&rocks));
    clock.step_wall(-500);
    clock.pass(10);
    times.push(commit(&rocks));
    assert!(rocks.log().figures().clock_ahead > 2 * SECOND);
    drop(rocks);
    clock.step_wall(-100);
    let rocks = Rocks::open(dir.path(), &settings(&[("in", 1)]), clock.clone()).unwrap();
    times.push(commit(&rocks));
    assert_eq!(times[0], AppendTime(1_000 * SECOND));
    assert_eq!(times[1], AppendTime(1_010 * SECOND));
    assert!(times[2] > times[1] && times[2] <= AppendTime(1_020 * SECOND), "{times:?}");
    assert_eq!(times[3], times[2]);
}

#[test]
fn everything_is_there_after_a_reopen_and_offsets_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let topics = [("in", 2), ("out", 1)];
    let before = {
        let log = open(dir.path(), &topics).log();
        let mut reader = subscribe(&log, Some("g"), &["in"]);
        let claim = assigned(reader.as_mut()).claim;
        log.producer().unwrap().append(&partition("in", 1), &[value(b"1"), value(b"2")]).unwrap();
        let mut writer = log.writer("w").unwrap();
        writer.append(&partition("out", 0), value(b"3")).unwrap();
        writer.commit(&claim, &[(partition("in", 1), at(2))]).unwrap();
        content(&log, &["in", "out"])
    };
    assert_eq!(before.values().flatten().count(), 3);
    // In another order, with a new topic, and one left out: it is still there.
    let log = open(dir.path(), &[("new", 1), ("in", 2)]).log();
    assert_eq!(content(&log, &["in", "out", "new"]), before);
    assert_eq!(log.committed("g", &partition("in", 1)).unwrap(), Some(at(2)));
    assert_eq!(log.producer().unwrap().append(&partition("in", 1), &[value(b"4")]), Ok(Offset(2)));
    assert_eq!(log.bounds(&partition("in", 1)).unwrap(), (Offset(0), Offset(3)));
    assert_eq!(log.partitions(&Topic::new("out")).unwrap(), 1);
    assert!(matches!(log.partitions(&Topic::new("none")), Err(LogError::UnknownTopic(_))));
}

#[test]
fn retention_deletes_what_is_too_old_and_offsets_are_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut with = settings(&[("short", 1), ("long", 1)]);
    with.topics[0].retention = Duration::from_secs(60);
    let rocks = Rocks::open(dir.path(), &with, clock.clone()).unwrap();
    let log = rocks.log();
    let producer = log.producer().unwrap();
    let mut reader = subscribe(&log, None, &["short"]);
    assigned(reader.as_mut());
    for second in 0..100_u64 {
        for topic in ["short", "long"] {
            assert_eq!(producer.append(&partition(topic, 0), &[value(&second.to_be_bytes())]), Ok(Offset(second)));
        }
        clock.pass(1);
    }
    log.enforce_retention().unwrap();
    assert_eq!(log.bounds(&partition("short", 0)).unwrap(), (Offset(40), Offset(100)));
    assert_eq!(log.bounds(&partition("long", 0)).unwrap(), (Offset(0), Offset(100)));
    assert!(matches!(reader.poll(Duration::ZERO), Err(LogError::OutOfRange { position: Offset(0), start: Offset(40), .. })));
    assert_eq!(content(&log, &["short"])[&partition("short", 0)].first().unwrap().0, 40);
    clock.pass(1_000);
    log.enforce_retention().unwrap();
    assert_eq!(content(&log, &["short"]), Content::new());
    let (_, synced) = crate::synced::SyncedFile::open(&dir.path().join("log.synced")).unwrap();
    assert_eq!(synced, log.shared.db.latest_sequence_number(), "files are dropped, so the bounds must be durable");
    drop((reader, producer, log, rocks));

    let log = Rocks::open(dir.path(), &with, clock).unwrap().log();
    assert_eq!(log.bounds(&partition("short", 0)).unwrap(), (Offset(100), Offset(100)));
    assert_eq!(log.producer().unwrap().append(&partition("short", 0), &[value(b"next")]), Ok(Offset(100)));
    assert_eq!(values(&log, "short"), [b"next".to_vec()]);
    assert_eq!(values(&log, "long").len(), 100);
}

#[test]
fn retention_gives_the_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut with = Settings { write_buffers: 4 << 20, cache: 16 << 20, ..settings(&[("short", 2)]) };
    with.topics[0].retention = Duration::from_secs(60);
    let log = Rocks::open(dir.path(), &with, clock.clone()).unwrap().log();
    let producer = log.producer().unwrap();
    let mut noise = 1_u64;
    let mut append = |count: u32| {
        for index in 0..count {
            let bytes = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            });
            let bytes = bytes.take(1 << 20).collect::<Vec<_>>();
            producer.append(&partition("short", index % 2), &[value(&bytes)]).unwrap();
        }
        log.shared.db.wait_for_compact(&rocksdb::WaitForCompactOptions::default()).unwrap();
    };
    append(60);
    let before = log.figures().table_bytes;
    assert!(before > 50 << 20, "{before}");
    clock.pass(100);
    log.enforce_retention().unwrap();
    append(20);
    let after = log.figures().table_bytes;
    assert!(after < 30 << 20, "{before} before, {after} after");
}

/// The newest write-ahead log of the log's database.
fn wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|f| f.unwrap().path());
    files.filter(|f| f.extension().is_some_and(|e| e == "log")).max().unwrap()
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn lost_records_are_refused_without_a_change_unless_the_loss_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &[("in", 1)]).log();
        let producer = log.producer().unwrap();
        (0..20_u64).for_each(|i| assert_eq!(producer.append(&partition("in", 0), &[value(&i.to_be_bytes())]), Ok(Offset(i))));
    }
    let wal = wal(dir.path());
    let length = std::fs::metadata(&wal).unwrap().len();
    std::fs::File::options().write(true).open(&wal).unwrap().set_len(length - 100).unwrap();
    let damaged = files(dir.path());
    let refused = Rocks::open(dir.path(), &settings(&[("in", 1)]), TestClock::new());
    let Err(OpenError::LostWrites { recovered, synced, .. }) = refused else { panic!("not refused") };
    assert!(recovered < synced);
    assert!(files(dir.path()) == damaged, "the refusal changed something");

    let accepting = Settings { accept_loss: true, ..settings(&[("in", 1)]) };
    let log = Rocks::open(dir.path(), &accepting, TestClock::new()).unwrap().log();
    let left = values(&log, "in");
    assert!((1..20).contains(&left.len()), "{} left", left.len());
    assert!(left.iter().enumerate().all(|(i, v)| *v == (i as u64).to_be_bytes()));
    assert_eq!(log.producer().unwrap().append(&partition("in", 0), &[value(b"new")]), Ok(Offset(left.len() as u64)));
    drop(log);
    // The accepted loss is over: the next start needs no flag.
    assert_eq!(values(&open(dir.path(), &[("in", 1)]).log(), "in").len(), left.len() + 1);
}

#[test]
fn rot_in_the_middle_is_refused_as_lost_records() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &[("in", 1)]).log();
        let producer = log.producer().unwrap();
        (0..20).for_each(|i| assert_eq!(producer.append(&partition("in", 0), &[value(&[7; 100])]), Ok(Offset(i))));
    }
    let wal = wal(dir.path());
    let mut bytes = std::fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&wal, bytes).unwrap();
    assert!(matches!(Rocks::open(dir.path(), &settings(&[("in", 1)]), TestClock::new()), Err(OpenError::LostWrites { .. })));
}

#[test]
fn a_lost_transaction_that_nobody_was_promised_is_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &[("in", 1)]).log();
        log.producer().unwrap().append(&partition("in", 0), &[value(b"promised")]).unwrap();
        let synced = std::fs::read(dir.path().join("log.synced")).unwrap();
        let mut writer = log.writer("w").unwrap();
        writer.append(&partition("in", 0), value(&[1; 500])).unwrap();
        writer.commit(&alone(), &[]).unwrap();
        // A transaction waits for no sync, so a power cut may take it.
        assert_eq!(std::fs::read(dir.path().join("log.synced")).unwrap(), synced);
        for (path, bytes) in files(dir.path()) {
            let to = copy.path().join(path.strip_prefix(dir.path()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
    }
    let wal = wal(copy.path());
    let length = std::fs::metadata(&wal).unwrap().len();
    std::fs::File::options().write(true).open(&wal).unwrap().set_len(length - 100).unwrap();
    assert_eq!(values(&open(copy.path(), &[("in", 1)]).log(), "in"), [b"promised".to_vec()]);
}

fn refusal(dir: &Path, settings: &Settings) -> String {
    Rocks::open(dir, settings, TestClock::new()).err().unwrap().to_string()
}

#[test]
fn a_folder_in_use_is_refused_and_its_user_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = open(dir.path(), &[("in", 1)]);
    assert!(matches!(Rocks::open(dir.path(), &settings(&[("in", 1)]), TestClock::new()), Err(OpenError::InUse { .. })));
    assert!(refusal(dir.path(), &settings(&[])).contains("in use"));
    rocks.log().producer().unwrap().append(&partition("in", 0), &[value(b"1")]).unwrap();
    let reader = subscribe(&rocks.log(), None, &["in"]);
    drop(rocks);
    // A handle that is still alive keeps the lock, because it keeps the database open.
    assert!(refusal(dir.path(), &settings(&[])).contains("in use"));
    drop(reader);
    assert_eq!(values(&open(dir.path(), &[]).log(), "in").len(), 1);
}

#[test]
fn folders_that_are_newer_foreign_or_damaged_are_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &[("in", 1)]));
    let format = dir.path().join("FORMAT");
    let written = std::fs::read(&format).unwrap();
    let refused = |bytes: &[u8], reason: &str| {
        std::fs::write(&format, bytes).unwrap();
        let before = files(dir.path());
        let said = refusal(dir.path(), &settings(&[("in", 1)]));
        assert!(said.contains(reason) && said.contains(dir.path().to_str().unwrap()), "{said}");
        assert!(files(dir.path()) == before, "the refusal changed something");
    };
    refused(b"golden-signals data folder, format 2\n", "start the newer program");
    refused(b"something else", "is damaged");
    std::fs::write(&format, written).unwrap();
    drop(open(dir.path(), &[("in", 1)]));

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.tex"), b"x").unwrap();
    assert!(refusal(foreign.path(), &settings(&[])).contains("not ours"));
    assert_eq!(files(foreign.path()).len(), 1);
}

#[test]
fn damaged_files_of_the_log_are_refused_by_name() {
    for (file, damage) in [("log/CURRENT", None), ("log/CURRENT", Some(&b"nonsense"[..])), ("log.synced", Some(b"nonsense"))] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), &[("in", 1)]));
        let path = dir.path().join(file);
        match damage {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let refused = Rocks::open(dir.path(), &settings(&[("in", 1)]), TestClock::new()).err();
        assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{file}: {refused:?}");
    }
}

#[test]
fn another_number_of_partitions_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &[("in", 2)]));
    let said = refusal(dir.path(), &settings(&[("new", 1), ("in", 3)]));
    assert!(said.contains("topic in has 2 partitions, and the settings say 3"), "{said}");
    let log = open(dir.path(), &[("in", 2)]).log();
    assert!(log.partitions(&Topic::new("new")).is_err());
}

#[test]
fn a_start_without_room_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = refusal(dir.path(), &Settings { reserve: u64::MAX, ..settings(&[]) });
    assert!(said.contains("free some space"), "{said}");
}

#[test]
fn a_queue_that_is_full_sends_producers_away() {
    let dir = tempfile::tempdir().unwrap();
    // Everything waits for company that never comes, until the log is closed.
    let slow =
        Settings { group_commit_wait: Duration::MAX, group_commit_bytes: usize::MAX, max_queued_bytes: 100, ..settings(&[("in", 1)]) };
    let log = Rocks::open(dir.path(), &slow, TestClock::new()).unwrap().log();
    let producer = log.producer().unwrap();
    let waiting = std::thread::Builder::new().spawn(move || producer.append(&partition("in", 0), &[value(&[1; 200])])).unwrap();
    while log.figures().queued_bytes == 0 {
        std::thread::yield_now();
    }
    assert_eq!(log.producer().unwrap().append(&partition("in", 0), &[value(b"x")]), Err(AppendError::Overloaded));
    log.close();
    assert_eq!(waiting.join().unwrap(), Ok(Offset(0)));
    assert!(matches!(log.producer().map(|_| ()), Err(LogError::Closed)));
}

#[test]
fn a_full_device_refuses_loses_nothing_and_takes_again_once_there_is_room() {
    const FILLER: u64 = 2 << 30;
    let dir = tempfile::tempdir().unwrap();
    let free = Folder::open(dir.path()).unwrap().free().unwrap();
    // Not a device that is really full, but one whose reserve the filler eats up.
    let close = Settings { reserve: free - FILLER / 2, ..settings(&[("in", 1), ("out", 1)]) };
    let log = Rocks::open(dir.path(), &close, TestClock::new()).unwrap().log();
    let producer = log.producer().unwrap();
    let mut writer = log.writer("w").unwrap();
    assert_eq!(producer.append(&partition("in", 0), &[value(b"before")]), Ok(Offset(0)));

    let path = dir.path().join("filler");
    let filler = std::fs::File::create(&path).unwrap();
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, FILLER).unwrap();
    assert!(matches!(producer.append(&partition("in", 0), &[value(b"refused")]), Err(AppendError::Full(_))));
    writer.append(&partition("out", 0), value(b"refused")).unwrap();
    assert!(matches!(writer.commit(&alone(), &[]), Err(CommitError::Full(_))));
    assert_eq!(values(&log, "in"), [b"before".to_vec()]);
    log.enforce_retention().unwrap();

    drop(filler);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(producer.append(&partition("in", 0), &[value(b"after")]), Ok(Offset(1)));
    writer.append(&partition("out", 0), value(b"after")).unwrap();
    writer.commit(&alone(), &[]).unwrap();
    assert_eq!((values(&log, "in").len(), values(&log, "out").len()), (2, 1));
}

#[test]
fn after_a_failed_sync_nothing_is_believed_any_more() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &[("in", 1)]));
    let folder = Arc::new(Folder::open(dir.path()).unwrap());
    let settings = settings(&[("in", 1)]);
    let mut opened = open::open(&folder, &settings, &Memory::new(&settings)).unwrap();
    opened.synced = crate::synced::SyncedFile::that_fails(&dir.path().join("log.synced"));
    let log = RocksLog::start(&folder, &settings, TestClock::new(), opened).unwrap();
    let mut writer = log.writer("w").unwrap();
    let mut reader = subscribe(&log, None, &["in"]);
    let producer = log.producer().unwrap();
    assert!(matches!(producer.append(&partition("in", 0), &[value(b"1")]), Err(AppendError::Failed(_))));
    assert!(matches!(producer.append(&partition("in", 0), &[value(b"2")]), Err(AppendError::Failed(_))));
    writer.append(&partition("in", 0), value(b"3")).unwrap();
    assert!(matches!(writer.commit(&alone(), &[]), Err(CommitError::Failed(_))));
    assert!(matches!(reader.poll(Duration::ZERO), Err(LogError::Engine(_))));
    assert!(log.enforce_retention().is_err());
    assert!(log.producer().is_err());
}

#[test]
fn appends_that_wait_together_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut encoded = Vec::new();
    keys::put_record(&mut encoded, &value(&[1; 100]));
    let patient = Settings { group_commit_wait: Duration::MAX, group_commit_bytes: 4 * encoded.len(), ..settings(&[("in", 1)]) };
    let log = Rocks::open(dir.path(), &patient, TestClock::new()).unwrap().log();
    let mut offsets: Vec<u64> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..4).map(|_| log.producer().unwrap()).collect();
        let append = |producer: Box<dyn Producer>| move || producer.append(&partition("in", 0), &[value(&[1; 100])]).unwrap().0;
        let appends: Vec<_> = producers.into_iter().map(|producer| scope.spawn(append(producer))).collect();
        appends.into_iter().map(|append| append.join().unwrap()).collect()
    });
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!((log.figures().syncs, log.figures().batches), (1, 1));
}

/// Moves records from `in` to `out`, seven in a transaction, until `enough` says so after a commit.
fn carry(log: &RocksLog, name: &str, enough: impl Fn(u32) -> bool) {
    let mut reader = subscribe(log, Some("g"), &["in"]);
    let mut writer = log.writer(name).unwrap();
    let (mut claim, mut commits) = (alone(), 0);
    while !enough(commits) {
        let (from, next) = match reader.poll(Duration::from_millis(20)).unwrap() {
            Polled::Assigned(assignment) => {
                claim = assignment.claim;
                continue;
            }
            Polled::Nothing => continue,
            Polled::Batch(batch) => {
                batch.iter().take(7).for_each(|r| writer.append(&partition("out", 0), value(r.value.unwrap())).unwrap());
                (batch.partition.clone(), batch.iter().take(7).last().unwrap().offset.next())
            }
        };
        match writer.commit(&claim, &[(from.clone(), at(next.0))]) {
            Ok(_) => {
                commits += 1;
                reader.seek(&Positions::from([(from, next)])).unwrap();
            }
            Err(CommitError::Aborted(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_record_is_carried_once_while_members_come_and_go() {
    const RECORDS: u64 = 4 * 500;
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &[("in", 4), ("out", 1)]).log();
    let producer = log.producer().unwrap();
    for index in 0..4_u32 {
        let numbers: Vec<_> = (0..500_u32).map(|i| (index * 500 + i).to_be_bytes()).collect();
        let records: Vec<_> = numbers.iter().map(|n| value(n)).collect();
        producer.append(&partition("in", index), &records).unwrap();
    }
    let all = || log.bounds(&partition("out", 0)).unwrap().1.0 >= RECORDS;
    std::thread::scope(|scope| {
        scope.spawn(|| carry(&log, "stays", |_| all()));
        scope.spawn(|| carry(&log, "stays too", |_| all()));
        scope.spawn(|| (0..40).for_each(|_| carry(&log, "comes and goes", |commits| commits == 1 || all())));
    });
    let mut carried = values(&log, "out");
    carried.sort_unstable();
    assert_eq!(carried, (0..4 * 500_u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

/// Records of one transaction of the child below.
const SPREAD: u32 = 3;

/// Appends and commits until it is killed, and prints what it was answered. Works in its working folder.
#[test]
#[ignore = "runs in a process of its own, started by the test below"]
fn child_that_appends_until_it_is_killed() {
    let log = open(Path::new("data"), &[("in", 1), ("out", SPREAD)]).log();
    let producer = log.producer().unwrap();
    let mut writer = log.writer("w").unwrap();
    let mut reader = subscribe(&log, Some("g"), &["in"]);
    let claim = assigned(reader.as_mut()).claim;
    for number in 0..u64::MAX {
        let offset = producer.append(&partition("in", 0), &[value(&number.to_be_bytes())]).unwrap();
        println!("acked {offset}");
        (0..SPREAD).for_each(|index| writer.append(&partition("out", index), value(&number.to_be_bytes())).unwrap());
        writer.commit(&claim, &[(partition("in", 0), Committed { offset: offset.next(), metadata: Vec::new() })]).unwrap();
    }
}

#[test]
fn what_was_answered_survives_a_kill_and_transactions_stay_whole() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::tests::child_that_appends_until_it_is_killed", "--ignored", "--nocapture"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acked = lines.filter_map(|line| line.strip_prefix("acked ")?.parse::<u64>().ok());
    assert_eq!(acked.by_ref().take_while(|offset| *offset < 200).count(), 200);
    // While it is alive the folder is its own.
    assert!(refusal(&dir.path().join("data"), &settings(&[])).contains("in use"));
    child.kill().unwrap();
    child.wait().unwrap();
    let last = acked.last().unwrap_or(200);

    let log = open(&dir.path().join("data"), &[]).log();
    let held = content(&log, &["in", "out"]);
    let input = &held[&partition("in", 0)];
    assert!(input.len() as u64 > last, "{} records, {last} answered", input.len());
    assert!(input.iter().enumerate().all(|(i, (offset, value))| *offset == i as u64 && *value == offset.to_be_bytes()));
    let committed = log.committed("g", &partition("in", 0)).unwrap().unwrap().offset.0;
    for index in 0..SPREAD {
        assert_eq!(held[&partition("out", index)].len() as u64, committed);
    }
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Append(u32, u8),
    Transaction { writes: Vec<(u32, u8)>, position: u64, commit: bool },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = || (0..3_u32, any::<u8>());
    let transaction = (proptest::collection::vec(write(), 0..6), 0..1000_u64, any::<bool>());
    let step = prop_oneof![
        4 => write().prop_map(|(partition, value)| Step::Append(partition, value)),
        6 => transaction.prop_map(|(writes, position, commit)| Step::Transaction { writes, position, commit }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_holds_what_was_committed_and_nothing_else(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let topics = [("a", 2), ("b", 1)];
        let place = |index: u32| if index < 2 { partition("a", index) } else { partition("b", 0) };
        let (mut model, mut position) = (Content::new(), None);
        let mut rocks = open(dir.path(), &topics);
        for step in steps {
            match step {
                Step::Append(index, byte) => {
                    let held = model.entry(place(index)).or_default();
                    let offset = rocks.log().producer().unwrap().append(&place(index), &[value(&[byte])]).unwrap();
                    prop_assert_eq!(offset.0, held.len() as u64);
                    held.push((offset.0, vec![byte]));
                }
                Step::Transaction { writes, position: read, commit } => {
                    let log = rocks.log();
                    let mut reader = subscribe(&log, Some("g"), &["a"]);
                    let claim = assigned(reader.as_mut()).claim;
                    let mut writer = log.writer("w").unwrap();
                    writes.iter().for_each(|(index, byte)| writer.append(&place(*index), value(&[*byte])).unwrap());
                    if commit {
                        writer.commit(&claim, &[(partition("a", 0), at(read))]).unwrap();
                        position = Some(at(read));
                        for (index, byte) in writes {
                            let held = model.entry(place(index)).or_default();
                            held.push((held.len() as u64, vec![byte]));
                        }
                    } else {
                        writer.abort();
                    }
                }
                Step::Reopen => {
                    drop(rocks);
                    rocks = open(dir.path(), &topics);
                }
            }
        }
        prop_assert_eq!(content(&rocks.log(), &["a", "b"]), model);
        prop_assert_eq!(rocks.log().committed("g", &partition("a", 0)).unwrap(), position);
    }
}
