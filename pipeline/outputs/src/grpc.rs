//! One gRPC call after the other, over HTTP/2: in plain text for a collector beside us, with TLS across networks.
//!
//! The connection stays open between calls; one that failed is opened anew with the next call. A call is a message in and a message out, nothing
//! of gRPC beyond that.

use crate::http::certificates;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;
/// As TLS calls it.
const HTTP_2: &[u8] = b"h2";

/// Calls of one method at one address.
pub(crate) struct Grpc {
    runtime: Runtime,
    /// Drives the connection; one at a time.
    connections: JoinSet<()>,
    open: Option<SendRequest<Bytes>>,
    way: Way,
    url: String,
    timeout: Duration,
}

/// Where a connection is opened, and how.
struct Way {
    /// `host:port`.
    address: String,
    /// With whose name the other side has to prove who it is.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What became of a call: the status and what was said, and the answer when the status is 0.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) message: String,
    pub(crate) body: Vec<u8>,
}

impl Grpc {
    /// Calls of `path` at an `http://host:port` or `https://host:port`; nothing is opened yet. `ca`: who is trusted, PEM; none: the system's list.
    ///
    /// # Errors
    /// When the URL is no such one, or the certificates cannot be used.
    pub(crate) fn new(url: &str, path: &str, timeout: Duration, ca: Option<&Path>) -> Result<Self, String> {
        let (scheme, address) = url.split_once("://").unwrap_or_default();
        let address = address.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") || address.is_empty() || address.contains('/') {
            return Err(format!("for gRPC the url is http://host:port or https://host:port, and not `{url}`"));
        }
        // An address of IPv6 has its colons in brackets.
        let has_port = address.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let address = if has_port { address.to_owned() } else { format!("{address}:4317") };
        let tls = if scheme == "https" { Some((connector(ca)?, name(&address)?)) } else { None };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let url = format!("{scheme}://{address}{path}");
        Ok(Self { runtime, connections: JoinSet::new(), open: None, way: Way { address, tls }, url, timeout })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn call(&mut self, headers: &[(String, String)], authorization: Option<&str>, message: &[u8]) -> Result<Reply, String> {
        let Self { runtime, connections, open, way, url, timeout: most } = self;
        let call = async {
            let sender = match open.take() {
                Some(sender) => sender,
                None => way.connect(connections).await?,
            };
            let request = request(url, headers, authorization)?;
            // Ready: it may have been closed meanwhile.
            let mut sender = match sender.ready().await {
                Ok(sender) => sender,
                Err(_) => way.connect(connections).await?.ready().await.map_err(|error| error.to_string())?,
            };
            let reply = exchange(&mut sender, request, message).await.map_err(|error| error.to_string())?;
            *open = Some(sender);
            Ok(reply)
        };
        runtime.block_on(async { timeout(*most, call).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) })
    }
}

impl Way {
    async fn connect(&self, connections: &mut JoinSet<()>) -> Result<SendRequest<Bytes>, String> {
        connections.abort_all();
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        let Some((connector, name)) = &self.tls else { return speak(stream, connections).await };
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| format!("TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err("TLS: the other side does not speak HTTP/2".to_owned());
        }
        speak(stream, connections).await
    }
}

/// HTTP/2 over what is connected.
async fn speak<S>(stream: S, connections: &mut JoinSet<()>) -> Result<SendRequest<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = client::handshake(stream).await.map_err(|error| error.to_string())?;
    // An error of the connection is one of the call that uses it.
    connections.spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = match ca {
        None => config.with_platform_verifier().map_err(|error| error.to_string())?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                let certificate = CertificateDer::from(certificate.der().to_vec());
                roots.add(certificate).map_err(|error| format!("ca {}: {error}", path.display()))?;
            }
            config.with_root_certificates(roots)
        }
    };
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The host of a `host:port`.
fn name(address: &str) -> Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name of a host"))
}

fn request(url: &str, headers: &[(String, String)], authorization: Option<&str>) -> Result<Request<()>, String> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header holds what no header may".to_owned());
    let mut all = HeaderMap::new();
    for (name, text) in headers {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))?;
        all.insert(name, value(text)?);
    }
    if let Some(text) = authorization {
        all.insert(AUTHORIZATION, value(text)?);
    }
    all.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    all.insert(TE, HeaderValue::from_static("trailers"));
    all.insert(USER_AGENT, HeaderValue::from_static(concat!("golden-signals/", env!("CARGO_PKG_VERSION"))));
    let mut request = Request::post(url).body(()).map_err(|error| error.to_string())?;
    *request.headers_mut() = all;
    Ok(request)
}

async fn exchange(sender: &mut SendRequest<Bytes>, request: Request<()>, message: &[u8]) -> Result<Reply, h2::Error> {
    let (response, mut stream) = sender.send_request(request, false)?;
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    // Not compressed, so long, and the message.
    stream.send_data([&[0][..], &length, message].concat().into(), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut answer = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        if answer.len() < MAX_ANSWER {
            answer.extend_from_slice(&piece);
        }
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let text = |name: &str| trailers.get(name).or_else(|| head.headers.get(name)).and_then(|value| value.to_str().ok());
    // What is no gRPC has no status: 2 is `unknown`.
    let status = text("grpc-status").and_then(|status| status.parse().ok()).unwrap_or(2);
    let message = text("grpc-message").map_or_else(|| head.status.to_string(), str::to_owned);
    Ok(Reply { status, message, body: answer.get(5..).unwrap_or_default().to_vec() })
}
