//! One gRPC call after the other, over HTTP/2 in plain text: for a collector beside us. Across networks OTLP/HTTP with TLS is there.
//!
//! The connection stays open between calls; one that failed is opened anew with the next call. A call is a message in and a message out, nothing
//! of gRPC beyond that.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// Calls of one method at one address.
pub(crate) struct Grpc {
    runtime: Runtime,
    /// Drives the connection; one at a time.
    connections: JoinSet<()>,
    open: Option<SendRequest<Bytes>>,
    /// `host:port`.
    address: String,
    url: String,
    timeout: Duration,
}

/// What became of a call: the status and what was said, and the answer when the status is 0.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) message: String,
    pub(crate) body: Vec<u8>,
}

impl Grpc {
    /// Calls of `path` at an `http://host:port`; nothing is opened yet.
    ///
    /// # Errors
    /// When the URL is no such one.
    pub(crate) fn new(url: &str, path: &str, timeout: Duration) -> Result<Self, String> {
        let address =
            url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).filter(|rest| !rest.is_empty() && !rest.contains('/'));
        let address = address.ok_or("gRPC is spoken in plain text: the url is http://host:port; for TLS take `protocol: http`")?;
        let address = if address.contains(':') { address.to_owned() } else { format!("{address}:4317") };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let url = format!("http://{address}{path}");
        Ok(Self { runtime, connections: JoinSet::new(), open: None, address, url, timeout })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn call(&mut self, headers: &[(String, String)], authorization: Option<&str>, message: &[u8]) -> Result<Reply, String> {
        let Self { runtime, connections, open, address, url, timeout: most } = self;
        let call = async {
            let sender = match open.take() {
                Some(sender) => sender,
                None => connect(address, connections).await?,
            };
            let request = request(url, headers, authorization)?;
            // Ready: it may have been closed meanwhile.
            let mut sender = match sender.ready().await {
                Ok(sender) => sender,
                Err(_) => connect(address, connections).await?.ready().await.map_err(|error| error.to_string())?,
            };
            let reply = exchange(&mut sender, request, message).await.map_err(|error| error.to_string())?;
            *open = Some(sender);
            Ok(reply)
        };
        runtime.block_on(async { timeout(*most, call).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) })
    }
}

async fn connect(address: &str, connections: &mut JoinSet<()>) -> Result<SendRequest<Bytes>, String> {
    connections.abort_all();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (sender, connection) = client::handshake(stream).await.map_err(|error| error.to_string())?;
    // An error of the connection is one of the call that uses it.
    connections.spawn(async move { drop(connection.await) });
    Ok(sender)
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
