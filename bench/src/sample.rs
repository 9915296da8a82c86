//! Aggregates of made-up requests, for benchmarks of what comes behind counting. Their values mean nothing; their shape is that of real ones.

use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::event::Event;
use golden_pipeline::outcome::Outcome;

/// So many requests with durations from 1 ms to 1 s, spread by powers, a twentieth of which failed.
pub(crate) fn aggregate(seed: u64, requests: u64) -> Aggregate {
    let mut aggregate = Aggregate::default();
    for n in 0..requests {
        let failed = n % 20 == 19;
        let event = Event {
            duration: Some((1_000_000 << ((seed * 7 + n * 3) % 10)) | ((seed * 7919 + n * 104_729) % 1_000_000)),
            outcome: if failed { Outcome::Error } else { Outcome::Ok },
            error_type: if failed { "timeout" } else { "" },
            ..Event::EMPTY
        };
        aggregate.add(&event, n);
    }
    aggregate
}
