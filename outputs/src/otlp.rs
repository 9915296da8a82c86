//! OpenTelemetry: one call of OTLP/HTTP, in protobuf, for each chunk.

use crate::answer::{Verdict, verdict};
use crate::http::Receiver;
use crate::sender::{Outcome, Output};
use crate::settings::{BadOutput, OtlpSettings};
use golden_pipeline::emit::otlp::encode;
use golden_pipeline::emit::otlp::messages::Response;
use golden_pipeline::emit::outbox::Chunk;
use golden_pipeline::emit::scrape::push::Samples;
use prost::Message as _;

const NAME: &str = "otlp";
const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// Metrics by OTLP.
pub struct Otlp {
    receiver: Receiver,
}

impl Otlp {
    /// The output that these settings describe; nothing is called yet.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: &OtlpSettings) -> Result<Self, BadOutput> {
        Ok(Self { receiver: Receiver::new(NAME, &settings.url, &settings.http, None)? })
    }

    fn send_all(&self, samples: Samples, sent: &mut u64, dropped: &mut Vec<(&'static str, u64)>) -> Result<(), Outcome> {
        let (body, points) = encode(&samples);
        let answer = self.receiver.post(&HEADERS, &body).map_err(Outcome::again)?;
        let mut refused = |reason, count, why: &str| {
            tracing::warn!(output = NAME, reason, count, why, "points refused");
            dropped.push((reason, count));
        };
        match verdict(answer.status, answer.header("retry-after")) {
            Verdict::Again(after) => return Err(Outcome::Again { after, why: answer.said() }),
            Verdict::Taken => {
                // An answer without a body says that all is well.
                let partial = Response::decode(&*answer.body).ok().and_then(|response| response.partial_success).unwrap_or_default();
                let rejected = u64::try_from(partial.rejected).unwrap_or(0).min(points);
                *sent += points - rejected;
                if rejected > 0 {
                    refused("rejected", rejected, &partial.error);
                }
            }
            Verdict::TooLarge => match samples.halves() {
                Ok((first, second)) => {
                    self.send_all(first, sent, dropped)?;
                    self.send_all(second, sent, dropped)?;
                }
                Err(_) => refused("too_large", points, &answer.said()),
            },
            Verdict::Refused => refused("refused", points, &answer.said()),
        }
        Ok(())
    }
}

impl Output for Otlp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        let samples = match Samples::decode(&chunk.body) {
            Ok(samples) => samples,
            Err(error) => return Outcome::again(format!("chunk {} cannot be read: {error}", chunk.number)),
        };
        let (mut sent, mut dropped) = (0, vec![]);
        let done = self.send_all(samples, &mut sent, &mut dropped);
        done.err().unwrap_or(Outcome::Through { sent, dropped })
    }
}
