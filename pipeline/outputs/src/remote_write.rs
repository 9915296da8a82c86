//! Prometheus remote write: one call for each chunk, by the rules of the specification (docs/outputs.md lists them).
//!
//! 2.0: a receiver takes what is good and says in headers how much that was; one that says nothing does not understand 2.0, and has
//! taken nothing, whatever its status. 1.0: a receiver may refuse a whole request for one sample, so what it refuses is halved until the
//! bad series stand alone; only these are dropped. A receiver that refuses everything is not asked about each series.

use crate::answer::{Verdict, verdict};
use crate::http::{Answer, Receiver};
use crate::sender::{Outcome, Output, Stop};
use crate::settings::{BadOutput, Histograms, RemoteWriteSettings, Version};
use golden_pipeline::emit::outbox::Chunk;
use golden_pipeline::emit::prometheus::Compatibility;
use golden_pipeline::emit::prometheus::is_own_label;
use golden_pipeline::emit::remote_write::messages::v1::TimeSeries;
use golden_pipeline::emit::remote_write::{Shown, encode_v1, encode_v2, pack_v1};
use golden_pipeline::emit::scrape::push::Samples;

const NAME: &str = "remote_write";
/// Content and version.
const V1: [(&str, &str); 3] =
    [("content-type", "application/x-protobuf"), ("content-encoding", "snappy"), ("x-prometheus-remote-write-version", "0.1.0")];
const V2: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "2.0.0"),
];
/// Reason of traces that a receiver did not keep, whatever it did with their samples.
const EXEMPLARS: &str = "exemplars";
/// Most calls that look for the bad series of one chunk.
const SEARCH: u32 = 200;

/// Metrics by remote write.
pub struct RemoteWrite {
    receiver: Receiver,
    version: Version,
    shown: Shown,
}

impl RemoteWrite {
    /// The output that these settings describe; nothing is called yet.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: &RemoteWriteSettings) -> Result<Self, BadOutput> {
        for (name, value) in &settings.labels {
            label(name, value).map_err(|why| BadOutput::Label { label: name.clone(), why })?;
        }
        let shown = Shown {
            classic: settings.histograms != Histograms::Native,
            native: settings.histograms != Histograms::Classic,
            labels: settings.labels.clone(),
            compatibility: Compatibility::default(),
        };
        Ok(Self { receiver: Receiver::new(NAME, &settings.url, &settings.http, None)?, version: settings.version, shown })
    }

    /// The same with names of other tools beside our own.
    #[must_use]
    pub fn with_names(mut self, names: Compatibility) -> Self {
        self.shown.compatibility = names;
        self
    }

    fn send_v2(&self, samples: Samples, done: &mut Done) -> Result<(), Stop> {
        let request = encode_v2(&samples, &self.shown);
        let all = request.content.samples + request.content.histograms;
        let answer = self.receiver.post(&V2, &request.body).map_err(Stop::away)?;
        let verdict = verdict(answer.status, answer.header("retry-after"));
        let written = written(&answer);
        match (verdict, written) {
            (Verdict::Again(after), _) => Err(Stop::Again(after, answer.said())),
            (Verdict::Denied(reason), _) => Err(Stop::Denied(reason, answer.said())),
            (Verdict::TooLarge, _) => match samples.halves() {
                Ok((first, second)) => {
                    self.send_v2(first, done)?;
                    self.send_v2(second, done)
                }
                Err(_) => {
                    done.refused("too_large", all, &answer);
                    Ok(())
                }
            },
            (Verdict::Taken, None) if all > 0 => Err(Stop::away(format!(
                "{}, and does not say what it has written: it may know version 1.0 only (outputs.remote_write.version)",
                answer.said()
            ))),
            (Verdict::Taken | Verdict::Refused, written) => {
                let (samples, exemplars) = written.unwrap_or_default();
                let written = samples.min(all);
                done.sent += written;
                if written < all {
                    done.refused("refused", all - written, &answer);
                }
                // Traces are extras: a store without room for them is no trouble, and one that lost some is told of.
                if let Some(lost) = request.content.exemplars.checked_sub(exemplars).filter(|lost| *lost > 0) {
                    done.exemplars += lost;
                }
                Ok(())
            }
        }
    }

    /// Samples and histograms of a chunk, the same in both versions.
    fn size(&self, samples: &Samples) -> u64 {
        let content = encode_v2(samples, &self.shown).content;
        content.samples + content.histograms
    }

    fn send_v1(&self, series: &[TimeSeries], done: &mut Done) -> Result<(), Stop> {
        if series.is_empty() {
            return Ok(());
        }
        let all = series.iter().map(|series| (series.samples.len() + series.histograms.len()) as u64).sum();
        let answer = self.receiver.post(&V1, &pack_v1(series)).map_err(Stop::away)?;
        done.calls += 1;
        match verdict(answer.status, answer.header("retry-after")) {
            Verdict::Again(after) => return Err(Stop::Again(after, answer.said())),
            Verdict::Denied(reason) => return Err(Stop::Denied(reason, answer.said())),
            Verdict::Taken => done.sent += all,
            Verdict::Refused | Verdict::TooLarge if series.len() > 1 && done.calls < SEARCH => {
                let (first, second) = series.split_at(series.len() / 2);
                self.send_v1(first, done)?;
                self.send_v1(second, done)?;
            }
            Verdict::TooLarge => done.refused("too_large", all, &answer),
            Verdict::Refused => done.refused("refused", all, &answer),
        }
        Ok(())
    }
}

impl Output for RemoteWrite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        let samples = match Samples::decode(&chunk.body) {
            Ok(samples) => samples,
            Err(error) => return Outcome::again(format!("chunk {} cannot be read: {error}", chunk.number)),
        };
        let mut done = Done::default();
        let stopped = match self.version {
            Version::V2 => self.send_v2(samples, &mut done),
            Version::V1 => self.send_v1(&encode_v1(&samples, &self.shown), &mut done),
        };
        match stopped {
            Ok(()) => {
                if done.exemplars > 0 {
                    done.dropped.push((EXEMPLARS, done.exemplars));
                }
                Outcome::Through { sent: done.sent, dropped: done.dropped }
            }
            Err(stop) => stop.outcome(done.sent, done.dropped, || Samples::decode(&chunk.body).map_or(0, |samples| self.size(&samples))),
        }
    }
}

/// Whether every series may get this label.
fn label(name: &str, value: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
        return Err("a name is letters, digits and underscores, and does not begin with a digit");
    }
    if name.starts_with("__") {
        return Err("two underscores in front are Prometheus' own");
    }
    if is_own_label(name) {
        return Err("series have a label of that name already");
    }
    if value.is_empty() { Err("it has no value, which is no label") } else { Ok(()) }
}

/// What became of the parts of a chunk.
#[derive(Default)]
struct Done {
    calls: u32,
    sent: u64,
    dropped: Vec<(&'static str, u64)>,
    /// That the receiver did not write.
    exemplars: u64,
}

impl Done {
    fn refused(&mut self, reason: &'static str, count: u64, answer: &Answer) {
        tracing::warn!(output = NAME, reason, count, answer = answer.said(), "samples refused");
        self.dropped.push((reason, count));
    }
}

/// Samples with histograms, and exemplars, that the receiver says it has written; `None` when it does not say.
fn written(answer: &Answer) -> Option<(u64, u64)> {
    let of = |what: &str| answer.header(&format!("x-prometheus-remote-write-{what}-written"))?.trim().parse::<u64>().ok();
    match (of("samples"), of("histograms"), of("exemplars")) {
        (None, None, None) => None,
        (samples, histograms, exemplars) => Some((samples.unwrap_or(0).saturating_add(histograms.unwrap_or(0)), exemplars.unwrap_or(0))),
    }
}
