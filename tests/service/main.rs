//! `golden run` as a whole process: what it promises while it runs, is killed, and starts again.

#[cfg(test)]
mod avro;
#[cfg(test)]
mod colours;
#[cfg(test)]
mod counted;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod demo_stack;
mod deploy;
#[cfg(test)]
mod finals;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod overrides;
#[cfg(test)]
mod overrides_backtest;
#[cfg(test)]
mod overrides_kafka;
#[cfg(test)]
mod page;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod process;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod router_cli;
#[cfg(test)]
mod saturation;
#[cfg(test)]
mod scrape;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod torn;
#[cfg(test)]
mod webhook;
