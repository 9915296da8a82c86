//! Which windows are told of, and how a notice is known again.

use super::*;
use crate::emit::scrape::push::tests::Log;
use platform_core::record::{BatchBuffer, Partition, Topic};
use platform_runtime::memory::MemoryStore;
use std::time::Duration;

/// Reads a log from `from` on, commits after each record, and gives what is to be told.
fn told(log: &Log, store: &mut MemoryStore, from: usize) -> Vec<Notice> {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let mut stage = HealthNotices::new(&outbox, 0);
    stage.restore(store, &[]).unwrap();
    for (at, (headers, value)) in log.0.iter().enumerate().skip(from) {
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&Topic::new("public"), 0));
        buffer.push(Offset(at as u64), None, None, headers, Some(value));
        buffer.batch().unwrap().iter().for_each(|record| stage.apply(&record, store).unwrap());
        let mut changes = Changes::default();
        stage.changes(&mut changes);
        store.write(&changes, Offset(at as u64 + 1)).unwrap();
    }
    let mut notices = vec![];
    while let Some((partition, chunk)) = outbox.next(Duration::ZERO) {
        outbox.sent(partition, &chunk);
        notices.push(Notice::decode(&chunk.body).unwrap());
    }
    notices
}

fn states(notices: &[Notice]) -> Vec<String> {
    let text = |notice: &Notice| {
        let json: serde_json::Value = serde_json::from_slice(&notice.json).unwrap();
        let field = |name: &str| json[name].as_str().unwrap().to_owned();
        format!("{} {}: {} -> {}", field("service"), &field("window_start")[11..16], field("before"), field("state"))
    };
    notices.iter().map(text).collect()
}

fn log() -> Log {
    let mut log = Log::default();
    log.result("cart", 10, 0, 3, &[]);
    log.result("shop", 10, 0, 3, &["timeout"]);
    log.progress(10);
    log.result("cart", 11, 0, 3, &["timeout"]);
    log.result("cart", 10, 1, 3, &["late"]);
    log.result("cart", 12, 0, 3, &["timeout"]);
    log.result("cart", 13, 0, 3, &[]);
    log.result("cart", 13, 1, 3, &["late"]);
    log
}

#[test]
fn only_changes_of_the_newest_window_are_told() {
    let told = told(&log(), &mut MemoryStore::default(), 0);
    assert_eq!(
        states(&told),
        [
            "shop 00:10: healthy -> critical",
            "cart 00:11: healthy -> critical",
            "cart 00:13: critical -> healthy",
            "cart 00:13: healthy -> critical"
        ]
    );
    let keys: std::collections::BTreeSet<&str> = told.iter().map(|notice| notice.key.as_str()).collect();
    assert_eq!(keys.len(), 4, "each revision has its own key");
}

#[test]
fn a_notice_that_is_made_again_has_the_same_key_and_body() {
    let log = log();
    let whole = told(&log, &mut MemoryStore::default(), 0);
    let mut store = MemoryStore::default();
    let again = told(&log, &mut store, 0);
    assert_eq!(whole, again);
    assert_eq!(told(&log, &mut store, log.0.len()), whole, "what was not deleted is shown again");
}
