//! `golden-bench`: figures of speed and memory as ratios within one run; never a test.
//!
//! Absolute times drift by half on shared machines, so whole processes run in turn, round by round, and what is quoted is the median and
//! the range of ratios. A speed counts only when its output is right. This measures `golden` from outside and links none of its loop.

use anyhow::Result;
use clap::{Parser, Subcommand};

mod check;
mod decode;
mod history;
mod ingest;
mod kafka;
mod load;
mod measure;
mod memory;
mod push;
mod report;
mod running;
mod sample;
mod scrape;
mod speed;

/// Measures golden against a plain reference, in one run.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// CPU, throughput and peak memory of replay and decoding against the reference.
    Speed(speed::Speed),
    /// Peak memory of a million series in two open windows.
    Memory(memory::Memory),
    /// Lines of the metrics page per CPU-second, against a plain loop, and what a scrape costs its sink.
    Scrape(scrape::Scrape),
    /// What a whole process takes in by HTTP while it is scraped, against the same without.
    Ingest(ingest::Ingest),
    /// Speed and latency from a Kafka broker, against reading alone and against peers.
    Kafka(kafka::KafkaBench),
    /// What forwarding costs a router worker, against a plain loop of the same client.
    Router(kafka::forward::ForwardBench),
    /// What sending the metrics of many series costs in one window.
    Push(push::PushBench),
    /// How long questions about a day and about a fleet wait while windows come in.
    History(history::HistoryBench),
    /// Write generated events to standard output.
    Generate(load::Load),
    /// Decode a file of events and do nothing with them.
    Decode(decode::Decode),
    /// Read the topic of events and do nothing with them (used by `kafka`).
    #[command(hide = true)]
    Drain(kafka::Drain),
    /// Forward a topic of results and decide nothing (used by `router`).
    #[command(hide = true)]
    Forward(kafka::forward::Forward),
    /// Run one command and write down what it took (used by the others).
    #[command(hide = true)]
    Measure(measure::Measure),
}

fn main() -> Result<()> {
    match Command::parse().step {
        Step::Speed(step) => step.run(),
        Step::Memory(step) => step.run(),
        Step::Scrape(step) => step.run(),
        Step::Ingest(step) => step.run(),
        Step::Kafka(step) => step.run(),
        Step::Drain(step) => step.run(),
        Step::Router(step) => step.run(),
        Step::Forward(step) => step.run(),
        Step::Push(step) => step.run(),
        Step::History(step) => step.run(),
        Step::Generate(load) => load.write(),
        Step::Decode(step) => step.run(),
        Step::Measure(step) => step.run(),
    }
}
