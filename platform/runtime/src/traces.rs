//! Log lines to stderr, and traces to an OTLP endpoint when there is one: sets both up once per process.
//!
//! Spans and lines are made where things happen, with `tracing`; commits of tasks are spans at level `debug`. Traces leave by OTLP over plain
//! HTTP with a small blocking client, on a thread of the exporter's own; a collector beside the process takes them on over TLS.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// What to show, and where traces go.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Levels by target, such as `info,platform_runtime=debug`.
    pub filter: String,
    /// One JSON object a line, for machines; else text.
    pub json: bool,
    /// URL of an OTLP/HTTP trace endpoint, such as `http://localhost:4318/v1/traces`. `None`: no traces.
    pub otlp_endpoint: Option<String>,
    /// `service.name` of the traces.
    pub service_name: String,
}

/// Why tracing cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The filter cannot be read.
    #[error("bad filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The endpoint cannot be used.
    #[error("bad trace endpoint: {0}")]
    Endpoint(#[from] ExporterBuildError),
    /// It was set up before.
    #[error("tracing is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends the last traces when it is dropped.
#[derive(Debug)]
pub struct TraceGuard(Option<SdkTracerProvider>);

impl Drop for TraceGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Sets up log lines and traces for this process. Keep what it returns until the end.
///
/// # Errors
/// When the settings are wrong, or it was done before.
pub fn init_tracing(settings: &TraceSettings) -> Result<TraceGuard, TraceError> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if settings.json { Box::new(lines.json()) } else { Box::new(lines) };
    let provider = settings.otlp_endpoint.as_deref().map(|endpoint| exporting_to(endpoint, &settings.service_name)).transpose()?;
    let traces = provider.as_ref().map(|p| tracing_opentelemetry::layer().with_tracer(p.tracer("platform")));
    tracing_subscriber::registry().with(lines).with(traces).with(filter).try_init()?;
    Ok(TraceGuard(provider))
}

fn exporting_to(endpoint: &str, service_name: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let timeout = Duration::from_secs(5);
    let agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build().new_agent();
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Blocking(agent)).with_endpoint(endpoint).with_timeout(timeout).build()?;
    let resource = Resource::builder().with_service_name(service_name.to_owned()).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The exporter's thread waits for each answer; there is nothing else it could do.
#[derive(Debug)]
struct Blocking(ureq::Agent);

impl HttpClient for Blocking {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}

impl Blocking {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(filter: &str, endpoint: Option<&str>) -> TraceSettings {
        TraceSettings { filter: filter.into(), json: true, otlp_endpoint: endpoint.map(Into::into), service_name: "test".into() }
    }

    #[test]
    fn bad_settings_are_refused_before_anything_is_set_up() {
        assert!(matches!(init_tracing(&settings("a=b=c", None)), Err(TraceError::Filter(_))));
        assert!(matches!(init_tracing(&settings("info", Some("not a url"))), Err(TraceError::Endpoint(_))));
        assert!(init_tracing(&settings("info", None)).is_ok());
        assert!(matches!(init_tracing(&settings("info", None)), Err(TraceError::Twice(_))));
    }

    #[test]
    fn spans_leave_by_http_to_the_endpoint() {
        use opentelemetry::trace::{Span as _, Tracer as _};
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = std::thread::Builder::new().spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 1024];
            while !request.windows(6).any(|w| w == b"commit") {
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "the span is in the request");
                request.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            request
        });
        let provider = exporting_to(&endpoint, "test").unwrap();
        provider.tracer("t").start("commit").end();
        provider.shutdown().unwrap();
        let request = collector.unwrap().join().unwrap();
        assert!(request.starts_with(b"POST /v1/traces HTTP/1.1"));
    }
}
