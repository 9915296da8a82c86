//! OpenTelemetry: one call for each chunk, of OTLP/HTTP in protobuf or of OTLP/gRPC.

use crate::answer::{Verdict, verdict, verdict_of_grpc};
use crate::grpc::Grpc;
use crate::http::Receiver;
use crate::sender::{Outcome, Output, Stop};
use crate::settings::{self, Access, BadOutput, OtlpSettings, Protocol};
use golden_pipeline::emit::otlp::messages::Response;
use golden_pipeline::emit::otlp::{Temporality, encode};
use golden_pipeline::emit::outbox::Chunk;
use golden_pipeline::emit::prometheus::Compatibility;
use golden_pipeline::emit::scrape::push::Samples;
use prost::Message as _;

const NAME: &str = "otlp";
const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// The method that collectors have for metrics.
const METHOD: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Metrics by OTLP.
pub struct Otlp {
    way: Way,
    temporality: Temporality,
    names: Compatibility,
}

/// The way to a collector.
enum Way {
    Http(Receiver),
    Grpc(Box<Grpc>, Access),
}

/// What a collector said.
struct Said {
    verdict: Verdict,
    message: String,
    body: Vec<u8>,
}

impl Way {
    fn call(&mut self, body: &[u8]) -> Result<Said, String> {
        match self {
            Self::Http(receiver) => {
                let answer = receiver.post(&HEADERS, body)?;
                let (verdict, message) = (verdict(answer.status, answer.header("retry-after")), answer.said());
                Ok(Said { verdict, message, body: answer.body })
            }
            Self::Grpc(grpc, access) => {
                let headers: Vec<(String, String)> = access.headers.iter().map(|(n, v)| (n.clone(), v.reveal().to_owned())).collect();
                let reply = grpc.call(&headers, access.authorization()?.as_deref(), body)?;
                let message = format!("gRPC status {}: {}", reply.status, reply.message);
                Ok(Said { verdict: verdict_of_grpc(reply.status), message, body: reply.body })
            }
        }
    }
}

impl Otlp {
    /// The output that these settings describe; nothing is called yet.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: &OtlpSettings) -> Result<Self, BadOutput> {
        let unusable = |why| BadOutput::Access { name: NAME, why };
        let way = match settings.protocol {
            Protocol::Http => Way::Http(Receiver::new(NAME, &settings.url, &settings.http, None)?),
            Protocol::Grpc => {
                settings.http.authorization().map_err(unusable)?;
                settings.http.check_headers(NAME)?;
                let grpc = Grpc::new(&settings.url, METHOD, settings.http.timeout.0, settings.http.ca.as_deref()).map_err(unusable)?;
                Way::Grpc(Box::new(grpc), settings.http.clone())
            }
        };
        let temporality = match settings.temporality {
            settings::Temporality::Cumulative => Temporality::Cumulative,
            settings::Temporality::Delta => Temporality::Delta,
        };
        Ok(Self { way, temporality, names: Compatibility::default() })
    }

    /// The same with names of other tools beside our own.
    #[must_use]
    pub fn with_names(mut self, names: Compatibility) -> Self {
        self.names = names;
        self
    }

    fn send_all(&mut self, samples: Samples, sent: &mut u64, dropped: &mut Vec<(&'static str, u64)>) -> Result<(), Stop> {
        let (body, points) = encode(&samples, self.temporality, self.names);
        let said = self.way.call(&body).map_err(Stop::away)?;
        let mut refused = |reason, count, why: &str| {
            tracing::warn!(output = NAME, reason, count, why, "points refused");
            dropped.push((reason, count));
        };
        match said.verdict {
            Verdict::Again(after) => return Err(Stop::Again(after, said.message)),
            Verdict::Denied(reason) => return Err(Stop::Denied(reason, said.message)),
            Verdict::Taken => {
                // An answer without a body says that all is well.
                let partial = Response::decode(&*said.body).ok().and_then(|response| response.partial_success).unwrap_or_default();
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
                Err(_) => refused("too_large", points, &said.message),
            },
            Verdict::Refused => refused("refused", points, &said.message),
        }
        Ok(())
    }
}

impl Output for Otlp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        let (temporality, names) = (self.temporality, self.names);
        let read =
            || Samples::decode(&chunk.body).map(|samples| if temporality == Temporality::Delta { samples.growth() } else { samples });
        let samples = match read() {
            Ok(samples) => samples,
            Err(error) => return Outcome::again(format!("chunk {} cannot be read: {error}", chunk.number)),
        };
        let (mut sent, mut dropped) = (0, vec![]);
        match self.send_all(samples, &mut sent, &mut dropped) {
            Ok(()) => Outcome::Through { sent, dropped },
            Err(stop) => stop.outcome(sent, dropped, || read().map_or(0, |samples| encode(&samples, temporality, names).1)),
        }
    }
}
