//! Publishers at once: every success is in the history, versions have no gap and no repeat, and a pipeline sees them rise.

use crate::server::Server;
use crate::{AT, active, files, new, nonce, on_each_store, poller};
use golden_bundle::blob::{Blob, Got, Put, When};
use golden_bundle::history::versions;
use golden_bundle::poll::Found;
use golden_bundle::publish::{Order, Published, What, publish};
use std::collections::BTreeSet;
use std::sync::Barrier;

const ROUNDS: usize = 50;

#[test]
fn two_publishers_race_fifty_times_and_nothing_is_lost() {
    on_each_store(|open| {
        let line = Barrier::new(2);
        let race = |by: &'static str| {
            let store = open();
            let mut made = Vec::new();
            for round in 0..ROUNDS {
                let content = files(&format!("{by}-{round}"));
                let order = Order { what: What::Files(&content), by, commit: None, at: AT, nonce: &nonce(), key: None };
                line.wait();
                match publish(&*store, &order, &|_| Ok(())).unwrap() {
                    Published::New(publication) => made.push(publication),
                    Published::Same(there) => panic!("{there:?}"),
                }
            }
            made
        };
        let watch = || {
            let mut poller = poller(open(), None);
            let (mut in_force, mut seen) = (None, 0);
            while seen < 2 * ROUNDS as u64 {
                match poller.poll(0, in_force.as_ref()) {
                    Ok(Found::New(bundle)) => {
                        assert!(bundle.publication.version > seen, "{} after {seen}", bundle.publication.version);
                        seen = bundle.publication.version;
                        in_force = active(&bundle);
                    }
                    Ok(_) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let made = std::thread::scope(|scope| {
            let watching = scope.spawn(watch);
            let publishers: Vec<_> = ["ann", "bob"].map(|by| scope.spawn(move || race(by))).into_iter().collect();
            let made: Vec<_> = publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect();
            watching.join().unwrap();
            made
        });
        let mut history = versions(&*open(), 1000).unwrap();
        history.reverse();
        let numbers: Vec<u64> = history.iter().map(|publication| publication.version).collect();
        assert_eq!(numbers, (1..=2 * ROUNDS as u64).collect::<Vec<_>>());
        let successes: BTreeSet<_> =
            made.iter().map(|publication| (publication.version, &publication.nonce, &publication.sha256)).collect();
        let recorded: BTreeSet<_> =
            history.iter().map(|publication| (publication.version, &publication.nonce, &publication.sha256)).collect();
        assert_eq!(successes, recorded);
        assert_eq!(new(poller(open(), None).poll(0, None)).publication, history[2 * ROUNDS - 1]);
    });
}

/// The server under test is trusted with conditions only as long as this passes.
#[test]
fn of_twelve_conditional_writers_one_wins() {
    const WRITERS: usize = 12;
    let Some(server) = Server::start() else { return };
    let line = Barrier::new(WRITERS);
    // Each object is made in one round and replaced in the next.
    let key = |round: u64| format!("versions/{}.json", round / 2);
    let compete = |number: usize| {
        let store = server.open();
        let mut won = Vec::new();
        for round in 0..40 {
            let etag = match store.get(&key(round), None, 100).unwrap() {
                Got::Found { etag, .. } => Some(etag),
                _ => None,
            };
            assert_eq!(etag.is_some(), round % 2 == 1);
            line.wait();
            let when = etag.as_deref().map_or(When::Absent, When::Is);
            let content = format!("{round} {number}").into_bytes();
            if store.put(&key(round), &content, when).unwrap() == Put::Done {
                won.push((round, content));
            }
            line.wait();
        }
        won
    };
    let mut won: Vec<_> = std::thread::scope(|scope| {
        let compete = &compete;
        let writers: Vec<_> = (0..WRITERS).map(|number| scope.spawn(move || compete(number))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    won.sort();
    assert_eq!(won.iter().map(|(round, _)| *round).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    for (round, content) in won.into_iter().filter(|(round, _)| round % 2 == 1) {
        let found = server.open().get(&key(round), None, 100).unwrap();
        assert!(matches!(found, Got::Found { content: there, .. } if there == content), "round {round}");
    }
}
