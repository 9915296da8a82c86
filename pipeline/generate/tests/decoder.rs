//! The pipeline's decoder and the generator's facts agree, line by line: one judges the other, and they share no code.

use golden_generate::{
    fact::{Bad, Fact, Outcome},
    generator::Generator,
    settings::Settings,
};
use golden_pipeline::decode::{Input, Items, Reason, Skip, Wanted, decoder};
use golden_pipeline::event::Event;
use golden_pipeline::outcome;
use golden_pipeline::source::{Format, Source};

/// What became of one line, in words.
#[derive(Default)]
struct Told(Vec<String>);

fn event(time: i64, service: &str, operation: &str, outcome: &str, latency: Option<u64>) -> String {
    format!("{time} {service} {operation} {outcome} {latency:?}")
}

impl Items for Told {
    fn event(&mut self, _: u32, e: &Event<'_>) {
        let outcome = match e.outcome {
            outcome::Outcome::Ok => "ok",
            outcome::Outcome::Error => "error",
            outcome::Outcome::Ignored => "ignored",
        };
        self.0.push(event(e.event_time.0, e.service, e.operation, outcome, e.duration));
    }

    fn skipped(&mut self, _: u32, reason: Skip) {
        self.0.push(format!("skipped: {}", reason.name()));
    }

    fn dead(&mut self, _: u32, reason: Reason, _: &str, _: &[u8]) {
        self.0.push(reason.code().to_owned());
    }
}

#[test]
fn every_line_is_decoded_as_its_fact_says() {
    let settings = Settings {
        events: 20_000,
        ignored_share: 0.02,
        no_latency_share: 0.02,
        late_share: 0.02,
        bad_share: 0.1,
        duplicate_share: 0.02,
        ..Settings::default()
    };
    let mut generator = Generator::new(&settings).unwrap();
    let mut decoder = decoder(&Source::for_format(Format::Json), &Wanted::default());
    let mut line = Vec::new();
    while let Some(fact) = {
        line.clear();
        generator.next_line(&mut line)
    } {
        let mut told = Told::default();
        decoder.decode(&Input::new(&line), &mut told);
        let expected = match fact {
            // Bad names are refused where series are made, once for each, and not by the decoder.
            Fact::Bad(Bad::ControlInService | Bad::LongService) => {
                assert_eq!(told.0.len(), 1);
                continue;
            }
            Fact::Bad(bad) => bad.reason().to_owned(),
            Fact::Event(e) => {
                let outcome = match e.outcome {
                    Outcome::Ok => "ok",
                    Outcome::Error => "error",
                    Outcome::Ignored => "ignored",
                };
                let names = generator.names();
                event(e.time.0, names.service(e.service), names.operation(e.operation), outcome, e.latency)
            }
        };
        assert_eq!(told.0, [expected], "{fact:?}: {}", String::from_utf8_lossy(&line));
    }
}
