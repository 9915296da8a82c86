//! Decoding alone: a file of events through our decoder, and nothing done with them but counting.

use anyhow::{Context, Result};
use clap::Args;
use golden_pipeline::decode::{Input, Items, Reason, Skip, Wanted, decoder};
use golden_pipeline::event::Event;
use golden_pipeline::source::{Format, Source};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Bytes read at once.
const BLOCK: usize = 1 << 20;

/// What to decode.
#[derive(Args, Debug)]
pub(crate) struct Decode {
    /// Newline-delimited events in the `json` format.
    file: PathBuf,
}

/// Counts items; the checksum keeps the fields from being optimised away.
#[derive(Default)]
struct Count {
    events: u64,
    others: u64,
    checksum: u64,
}

impl Items for Count {
    fn event(&mut self, _: u32, event: &Event<'_>) {
        self.events += 1;
        let texts = (event.service.len() + event.operation.len()) as u64;
        let numbers = event.event_time.0 as u64 ^ event.duration.unwrap_or(0) ^ event.outcome as u64;
        self.checksum = self.checksum.wrapping_add(numbers ^ texts);
    }

    fn skipped(&mut self, _: u32, _: Skip) {
        self.others += 1;
    }

    fn dead(&mut self, _: u32, _: Reason, _: &str, _: &[u8]) {
        self.others += 1;
    }
}

impl Decode {
    pub(crate) fn run(&self) -> Result<()> {
        let mut decoder = decoder(&Source::for_format(Format::Json), &Wanted::default());
        let mut count = Count::default();
        let mut file = File::open(&self.file).with_context(|| format!("cannot open {}", self.file.display()))?;
        let (mut block, mut held) = (vec![0; BLOCK], 0);
        loop {
            let got = file.read(block.get_mut(held..).unwrap_or_default())?;
            let filled = block.get(..held + got).unwrap_or_default();
            // Whole lines are a record; what is begun waits for the next block, or is the end.
            let whole = if got == 0 { held } else { memchr::memrchr(b'\n', filled).map_or(0, |last| last + 1) };
            let value = filled.get(..whole).unwrap_or_default();
            if !value.is_empty() {
                decoder.decode(&Input::new(value), &mut count);
            }
            if got == 0 {
                break;
            }
            block.copy_within(whole..held + got, 0);
            held = held + got - whole;
            if held == block.len() {
                block.resize(2 * held, 0);
            }
        }
        println!("{}others={} checksum={:x}", says(count.events), count.others, count.checksum);
        Ok(())
    }
}

/// How the output of a complete run begins.
pub(crate) fn says(events: u64) -> String {
    format!("decoded={events} ")
}
