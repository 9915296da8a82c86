use super::samples::fill;
use golden_outputs::sender::{Outcome, Output, Sender};
use golden_pipeline::emit::outbox::{Chunk, Outbox};
use platform_core::metric::Value;
use platform_runtime::metrics::{MetricsHandle, install_metrics};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender as Channel, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Fails a few times, then takes everything, and says what it was given.
struct Stubborn {
    fails: Arc<AtomicU32>,
    given: Mutex<Channel<Chunk>>,
}

impl Output for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        self.given.lock().unwrap().send(chunk.clone()).unwrap();
        let left = self.fails.load(Ordering::Relaxed);
        if left == 0 {
            return Outcome::Through { sent: 1, dropped: vec![] };
        }
        self.fails.store(left - 1, Ordering::Relaxed);
        Outcome::Again { after: Some(Duration::from_millis(1)), why: "no".to_owned() }
    }
}

#[test]
fn a_chunk_is_tried_until_it_is_through_and_then_it_is_gone() {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let (given, taken) = channel();
    let output = Stubborn { fails: Arc::new(AtomicU32::new(3)), given: Mutex::new(given) };
    let sender = Sender::start(Box::new(output), Arc::clone(&outbox), HOUR).unwrap();
    let stage = fill(&outbox, &["cart"]);
    let tries: Vec<Chunk> = (0..4).map(|_| taken.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    assert!(tries.iter().all(|chunk| *chunk == tries[0]), "a call made again is the same");
    // It waits for what else there may be, and ends when it is told to.
    drop(sender);
    assert_eq!((outbox.size(), outbox.oldest()), (0, None));
    assert!(taken.try_recv().is_err());
    drop(stage);
}

#[test]
fn a_sender_that_waits_for_a_receiver_ends_at_once() {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let (given, taken) = channel();
    struct Away(Mutex<Channel<()>>);
    impl Output for Away {
        fn name(&self) -> &'static str {
            "away"
        }
        fn send(&mut self, _: &Chunk) -> Outcome {
            self.0.lock().unwrap().send(()).unwrap();
            Outcome::Again { after: Some(Duration::from_secs(3600)), why: "away".to_owned() }
        }
    }
    let sender = Sender::start(Box::new(Away(Mutex::new(given))), Arc::clone(&outbox), HOUR).unwrap();
    let stage = fill(&outbox, &["cart"]);
    taken.recv_timeout(Duration::from_secs(60)).unwrap();
    drop(sender);
    assert!(outbox.size() > 0, "what was not sent stays");
    drop(stage);
}

/// Denies everything.
struct Closed(Mutex<Channel<Chunk>>);

impl Output for Closed {
    fn name(&self) -> &'static str {
        "closed"
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        self.0.lock().unwrap().send(chunk.clone()).unwrap();
        Outcome::Denied { sent: 2, dropped: vec![("unauthorized", 5)], why: "401".to_owned() }
    }
}

/// Counters of this process by name and labels.
fn counted(metrics: &MetricsHandle) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for family in metrics.families() {
        for sample in family.samples {
            if let Value::Count(value) = sample.value {
                found.insert(format!("{} {:?}", family.name, sample.labels), value);
            }
        }
    }
    found
}

#[test]
fn what_is_denied_is_kept_while_patience_lasts_and_then_dropped_with_its_reason() {
    let metrics = install_metrics(&[]).unwrap();
    let outbox = Arc::new(Outbox::new(1 << 20));
    let (given, taken) = channel();
    let patience = Duration::from_millis(600);
    let sender = Sender::start(Box::new(Closed(Mutex::new(given))), Arc::clone(&outbox), patience).unwrap();
    let stage = fill(&outbox, &["cart"]);
    // Half a second and a second are waited; more than patience, so the third try is the last.
    let tries: Vec<Chunk> = (0..3).map(|_| taken.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    assert!(tries.iter().all(|chunk| *chunk == tries[0]));
    // It ends when the chunk is through.
    drop(sender);
    assert!(taken.try_recv().is_err());
    assert_eq!((outbox.size(), outbox.oldest()), (0, None), "it is not kept any longer");
    let found = counted(&metrics);
    let of = |name: &str| {
        found.iter().find(|(key, _)| key.starts_with(name) && key.contains("closed")).map(|(key, value)| (key.clone(), *value))
    };
    let (labels, dropped) = of("golden_signals_output_dropped_total").unwrap();
    assert!(dropped == 5 && labels.contains("unauthorized"), "{labels} {dropped}");
    assert_eq!(of("golden_signals_output_sent_total").map(|(_, value)| value), Some(2));
    assert_eq!(of("golden_signals_output_retried_total").map(|(_, value)| value), Some(2));
    drop(stage);
}
