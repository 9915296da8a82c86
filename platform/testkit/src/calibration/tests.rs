use super::*;
use crate::clock::SimClock;
use crate::log::{Fault, FaultyLog};
use crate::seed::Seed;
use crate::sim::SimLog;
use platform_core::time::SECOND;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};
use std::collections::BTreeSet;
use std::sync::Arc;

const MEMORY: Terms = Terms { open_shows: false, wait: Duration::ZERO };
const BROKERS: Terms = Terms { open_shows: true, wait: Duration::ZERO };

fn memory(script: &Script) -> MemoryLog {
    let log = MemoryLog::new(AppendTimes::Clock(Arc::new(SimClock::at(1_000 * SECOND))));
    let settings = TopicSettings { markers: true, ..TopicSettings::default() };
    script.topics().for_each(|(topic, partitions)| log.create_topic(&topic, partitions, settings));
    log
}

fn failures(run: impl Fn(&Script) -> Result<(), String>) -> Vec<String> {
    Script::all().iter().filter_map(|script| run(script).err()).collect()
}

#[test]
fn the_log_in_memory_shows_what_every_log_shows() {
    let failures = failures(|script| script.run(&memory(script), MEMORY));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_simulated_brokers_show_what_every_log_shows() {
    let failures = failures(|script| {
        let log = SimLog::new(Seed::new(1), Arc::new(SimClock::at(1_000 * SECOND)));
        script.topics().for_each(|(topic, partitions)| log.create_topic(&topic, partitions, Duration::from_millis(500)));
        script.run(&log, BROKERS)
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_script_has_a_fact_of_its_own() {
    let scripts = Script::all();
    let names: BTreeSet<_> = scripts.iter().map(|script| script.name).collect();
    assert!(scripts.len() >= 60 && names.len() == scripts.len(), "{} scripts, {} names", scripts.len(), names.len());
    assert!(scripts.iter().all(|script| script.steps.len() > 1));
}

#[test]
fn a_log_that_shows_something_else_is_told_apart() {
    let failures_of = |faults: &[Option<Fault>]| {
        failures(|script| {
            let log = FaultyLog::new(Arc::new(memory(script)));
            log.script(faults.iter().copied());
            script.run(&log, MEMORY)
        })
    };
    assert!(
        failures_of(&[Some(Fault::Abort)])
            .iter()
            .any(|failure| failure.ends_with("shown: Aborted: the transaction was aborted: on command"))
    );
    assert!(failures_of(&[Some(Fault::DoubtfulCommitted)]).len() > 20);
    assert!(failures_of(&[]).is_empty());
    // Where open transactions do not lie in the log, nobody is held back by one.
    assert!(failures(|script| script.run(&memory(script), BROKERS)).len() >= 3);
}
