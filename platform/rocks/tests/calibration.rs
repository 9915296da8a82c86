//! The embedded log shows what every log shows.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use platform_testkit::calibration::{Script, Terms};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_embedded_log_shows_what_every_log_shows() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = Script::all();
    let topic = |(topic, partitions)| TopicSettings { topic, partitions, retention: Duration::MAX };
    let topics = scripts.iter().flat_map(Script::topics).map(topic).collect();
    let settings = Settings { topics, group_commit_wait: Duration::ZERO, reserve: 0, ..Settings::default() };
    let rocks = Rocks::open(dir.path(), &settings, Arc::new(SystemClock::new())).unwrap();
    let (log, terms) = (rocks.log(), Terms { open_shows: false, wait: Duration::ZERO });
    let failures: Vec<String> = scripts.iter().filter_map(|script| script.run(&*log, terms).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
