//! Prometheus remote write: one call for each chunk.
//!
//! 2.0: a receiver takes what is good and says in headers how much that was; one that says nothing does not understand 2.0, and has
//! taken nothing, whatever its status. 1.0: a receiver may refuse a whole request for one sample, so what it refuses is halved until the
//! bad series stand alone; only these are dropped. A receiver that refuses everything is not asked about each series.

use crate::answer::{Verdict, verdict};
use crate::http::{Answer, Receiver};
use crate::sender::{Outcome, Output};
use crate::settings::{BadOutput, Histograms, RemoteWriteSettings, Version};
use golden_pipeline::emit::outbox::Chunk;
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
        let shown = Shown {
            classic: settings.histograms != Histograms::Native,
            native: settings.histograms != Histograms::Classic,
            labels: settings.labels.clone(),
        };
        Ok(Self { receiver: Receiver::new(NAME, &settings.url, &settings.http, None)?, version: settings.version, shown })
    }

    fn send_v2(&self, samples: Samples, done: &mut Done) -> Result<(), Outcome> {
        let request = encode_v2(&samples, &self.shown);
        let all = request.content.samples + request.content.histograms;
        let answer = self.receiver.post(&V2, &request.body).map_err(Outcome::again)?;
        let verdict = verdict(answer.status, answer.header("retry-after"));
        let written = written(&answer);
        match (verdict, written) {
            (Verdict::Again(after), _) => Err(Outcome::Again { after, why: answer.said() }),
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
            (Verdict::Taken, None) if all > 0 => Err(Outcome::again(format!(
                "{}, and does not say what it has written: it may know version 1.0 only (outputs.remote_write.version)",
                answer.said()
            ))),
            (Verdict::Taken | Verdict::Refused, written) => {
                let written = written.unwrap_or(0).min(all);
                done.sent += written;
                if written < all {
                    done.refused("refused", all - written, &answer);
                }
                Ok(())
            }
        }
    }

    fn send_v1(&self, series: &[TimeSeries], done: &mut Done) -> Result<(), Outcome> {
        if series.is_empty() {
            return Ok(());
        }
        let all = series.iter().map(|series| (series.samples.len() + series.histograms.len()) as u64).sum();
        let answer = self.receiver.post(&V1, &pack_v1(series)).map_err(Outcome::again)?;
        done.calls += 1;
        match verdict(answer.status, answer.header("retry-after")) {
            Verdict::Again(after) => return Err(Outcome::Again { after, why: answer.said() }),
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
        let sent = match self.version {
            Version::V2 => self.send_v2(samples, &mut done),
            Version::V1 => self.send_v1(&encode_v1(&samples, &self.shown), &mut done),
        };
        sent.err().unwrap_or(Outcome::Through { sent: done.sent, dropped: done.dropped })
    }
}

/// What became of the parts of a chunk.
#[derive(Default)]
struct Done {
    calls: u32,
    sent: u64,
    dropped: Vec<(&'static str, u64)>,
}

impl Done {
    fn refused(&mut self, reason: &'static str, count: u64, answer: &Answer) {
        tracing::warn!(output = NAME, reason, count, answer = answer.said(), "samples refused");
        self.dropped.push((reason, count));
    }
}

/// Samples and histograms that the receiver says it has written; `None` when it does not say.
fn written(answer: &Answer) -> Option<u64> {
    let of = |what: &str| answer.header(&format!("x-prometheus-remote-write-{what}-written"))?.trim().parse::<u64>().ok();
    match (of("samples"), of("histograms")) {
        (None, None) => None,
        (samples, histograms) => Some(samples.unwrap_or(0).saturating_add(histograms.unwrap_or(0))),
    }
}
