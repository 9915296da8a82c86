//! A pipeline on threads: it works, stops in order, and says when a task does not.

use crate::words::{Adder, Closer, counts, partials, source};
use crate::world::{On, PARTITIONS, SOURCES, topics};
use platform_core::log::{CommitError, Committed, Log, Polled, Subscription};
use platform_core::pipeline::{Kind, Pipeline, Stage};
use platform_core::record::{Batch, NewRecord, Offset, Partition};
use platform_core::stage::{Emit, MapStage};
use platform_core::time::AppendTime;
use platform_runtime::clock::SystemClock;
use platform_runtime::memory::MemoryStores;
use platform_runtime::runtime::{RunError, Running, Runtime, STOP_DEADLINE};
use platform_runtime::task::{Place, RuntimeSettings, TaskError, TaskState};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An `Adder` that tells of each word it has processed, and does on command what a stage must not.
struct Watched {
    inner: Adder,
    processed: Sender<usize>,
    release: Arc<Mutex<Receiver<()>>>,
}

impl MapStage for Watched {
    fn assigned(&mut self, partitions: &[(Partition, Committed)]) {
        self.inner.assigned(partitions);
    }

    fn process(&mut self, batch: &Batch<'_>) {
        for record in batch.iter() {
            match record.value.unwrap() {
                b"0 panic" => panic!("on command"),
                b"0 hang" => {
                    self.processed.send(0).unwrap();
                    self.release.lock().unwrap().recv().unwrap();
                }
                _ => {}
            }
        }
        self.inner.process(batch);
        self.processed.send(batch.len()).unwrap();
    }

    fn crashed(&mut self, batch: &Batch<'_>) {
        self.inner.crashed(batch);
    }

    fn idle(&mut self, partition: &Partition, position: Offset, known_before: AppendTime) {
        self.inner.idle(partition, position, known_before);
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    fn has_output(&self) -> bool {
        self.inner.has_output()
    }

    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        self.inner.emit(out)
    }

    fn committed(&mut self) {
        self.inner.committed();
    }

    fn aborted(&mut self) {
        self.inner.aborted();
    }

    fn ended(&mut self) {
        self.inner.ended();
    }
}

struct Live {
    log: Arc<dyn Log>,
    /// What the log lies in.
    _folder: Option<tempfile::TempDir>,
    running: Running,
    processed: Receiver<usize>,
    release: Sender<()>,
}

fn start(on: On, commit_interval: Duration) -> Live {
    let clock = Arc::new(SystemClock::new());
    let (log, folder) = on.log(clock.clone(), &topics());
    let ((processed_to, processed), (release, release_from)) = (channel(), channel());
    let release_from = Arc::new(Mutex::new(release_from));
    let make = move || {
        let (processed, release) = (processed_to.clone(), Arc::clone(&release_from));
        Box::new(Watched { inner: Adder::new(SOURCES, PARTITIONS), processed, release }) as Box<dyn MapStage>
    };
    let keyed = Kind::Keyed(Box::new(|partition| Box::new(Closer::new(SOURCES, partition))), 1);
    let stages = vec![
        Stage { name: "add".into(), reads: vec![source()], writes: vec![partials()], tasks: 2, kind: Kind::Map(Box::new(make)) },
        Stage { name: "close".into(), reads: vec![partials()], writes: vec![counts()], tasks: 2, kind: keyed },
    ];
    let settings = RuntimeSettings { commit_interval, ..RuntimeSettings::default() };
    let pipeline = Pipeline { name: "words".into(), stages };
    let running =
        Runtime::start(vec![pipeline], Arc::clone(&log), Arc::new(MemoryStores::default()), clock, settings, Place::default()).unwrap();
    Live { log, _folder: folder, running, processed, release }
}

impl Live {
    fn write(&self, partition: u32, value: &str) {
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        self.log.producer().unwrap().append(&Partition::new(&source(), partition), &[record]).unwrap();
    }
}

#[test]
fn words_written_come_out_counted() {
    On::EACH.into_iter().for_each(come_out_counted);
}

fn come_out_counted(on: On) {
    let mut live = start(on, Duration::from_millis(5));
    for n in 0..20 {
        live.write(n % SOURCES, "17 word");
    }
    // The clock is far beyond 17, so idle claims close the window.
    let mut reader = live.log.reader(&Subscription { group: None, topics: vec![counts()] }).unwrap();
    let mut count = 0;
    while count < 20 {
        let batch = match reader.poll(Duration::from_secs(30)).unwrap() {
            Polled::Batch(batch) => batch,
            Polled::Assigned(_) => continue,
            Polled::Nothing => panic!("nothing came: {:?}", live.running.watch().failure()),
        };
        for record in batch.iter() {
            let text = std::str::from_utf8(record.value.unwrap()).unwrap();
            let fields: Vec<&str> = text.split(' ').collect();
            if let [_, "1", "word", total, ..] = fields[..] {
                count = total.parse().unwrap();
            }
        }
    }
    assert_eq!(count, 20);
    live.running.stop(STOP_DEADLINE).unwrap();
    assert!(live.running.watch().failure().is_none());
    let tasks = live.running.watch().tasks();
    assert_eq!(tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["words.add.0", "words.add.1", "words.close.0", "words.close.1"]);
    assert!(tasks.iter().all(|t| t.state == TaskState::Stopped), "{tasks:?}");
}

#[test]
fn a_stop_commits_all_that_was_processed() {
    On::EACH.into_iter().for_each(commits_all);
}

fn commits_all(on: On) {
    let mut live = start(on, Duration::from_secs(3600));
    for n in 0..10 {
        live.write(n % SOURCES, "17 word");
    }
    let mut processed = 0;
    while processed < 10 {
        processed += live.processed.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    live.running.stop(STOP_DEADLINE).unwrap();
    for partition in (0..SOURCES).map(|i| Partition::new(&source(), i)) {
        let committed = live.log.committed("words.add", &partition).unwrap().unwrap();
        assert_eq!(committed.offset, live.log.bounds(&partition).unwrap().1);
    }
    let partial = Partition::new(&partials(), 0);
    assert!(live.log.bounds(&partial).unwrap().1 > Offset(0));
}

#[test]
fn a_panic_in_a_stage_is_a_failure_with_the_name_of_its_task() {
    let mut live = start(On::Memory, Duration::from_millis(5));
    live.write(1, "0 panic");
    let failure = live.running.watch().wait_failed(Duration::from_secs(30)).unwrap();
    let RunError::Task { task, error: TaskError::Panicked(text) } = &*failure else { panic!("{failure}") };
    assert_eq!((task.as_str(), text.as_str()), ("words.add.1", "on command"));
    assert_eq!(live.running.watch().tasks()[1].state, TaskState::Failed);
    live.running.stop(STOP_DEADLINE).unwrap();
}

#[test]
fn a_task_that_does_not_end_within_the_deadline_is_named() {
    let mut live = start(On::Memory, Duration::from_millis(5));
    live.write(0, "0 hang");
    live.processed.recv_timeout(Duration::from_secs(30)).unwrap();
    match live.running.stop(Duration::from_millis(200)) {
        Err(RunError::Late(names)) => assert_eq!(names, ["words.add.0"]),
        other => panic!("{other:?}"),
    }
    live.release.send(()).unwrap();
}
