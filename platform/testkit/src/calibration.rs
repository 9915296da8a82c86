//! Calibration: short scripts over the `Log` trait whose visible results are the same on every log, Apache Kafka's being the reference.
//!
//! `scripts.txt` holds them, each with its name, its steps and what they must show. Compared is what callers may rely on: which records are
//! read, in which order within a partition; what becomes of commits; positions, as the record that is read next; metadata; who owns what;
//! whether a position reaches the end. Offsets and counts of them are not, and neither is the time at which somebody else's records show.
//! Besides, each script sees to it that offsets rise, that an offset keeps its record, that append times do not fall, and that a commit's
//! answer is no older than what it wrote. What a log does when it fails is not here: see `sim` and `log`.

mod records;
mod run;

use platform_core::log::Log;
use platform_core::record::Topic;
use std::time::Duration;

const SCRIPTS: &str = include_str!("calibration/scripts.txt");

/// Topics of each script, with their partitions; it is given those that it names.
const TOPICS: [(&str, u32); 3] = [("in", 2), ("out", 2), ("wide", 5)];

/// How to ask a log.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether open transactions lie in the log, where they move its end and hold readers back.
    pub open_shows: bool,
    /// How long a poll waits. After two hundred that brought nothing, nothing more is expected.
    pub wait: Duration,
}

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The fact that it shows.
    pub name: &'static str,
    /// Before every topic, group and transactional id, so that scripts share a log.
    prefix: String,
    /// Steps, with the numbers of their lines.
    steps: Vec<(usize, &'static str)>,
}

impl Script {
    /// All scripts, in the order of their file.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut scripts: Vec<Self> = Vec::new();
        for (number, line) in (1..).zip(SCRIPTS.lines().map(str::trim)) {
            if let Some(name) = line.strip_prefix("# ") {
                scripts.push(Self { name, prefix: format!("script-{}.", scripts.len() + 1), steps: Vec::new() });
            } else if let Some(script) = scripts.last_mut().filter(|_| !line.is_empty()) {
                script.steps.push((number, line));
            }
        }
        scripts
    }

    /// Topics that must be there, with their partitions.
    pub fn topics(&self) -> impl Iterator<Item = (Topic, u32)> {
        let named = |topic: &str| self.steps.iter().any(|(_, step)| step.split([' ', '/']).any(|word| word == topic));
        TOPICS.iter().filter(move |(topic, _)| named(topic)).map(|(topic, count)| (Topic::new(&format!("{}{topic}", self.prefix)), *count))
    }

    /// Runs on a log that holds the topics and nothing in them.
    ///
    /// # Errors
    /// The first step that shows something else, in words.
    pub fn run(&self, log: &dyn Log, terms: Terms) -> Result<(), String> {
        let mut run = run::Run::new(log, terms, &self.prefix);
        for (line, step) in &self.steps {
            run.step(step).map_err(|shown| format!("{}\n  line {line}: {step}\n  {shown}", self.name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
