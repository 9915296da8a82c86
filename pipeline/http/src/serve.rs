//! Serves a router on a listener, under limits that a slow or greedy client cannot pass, and stops in order.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 4096;
/// How long a request's head may take.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// How long requests under way have at the end.
const GRACE: Duration = Duration::from_secs(10);
/// How long accepting rests when the process has no file left.
const REST: Duration = Duration::from_millis(100);

/// Who sends a request; every request has it as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Address of the other end of the connection.
    pub address: IpAddr,
    /// True once the server stops: answers without an end end then.
    pub closing: watch::Receiver<bool>,
}

/// Serves until `shutdown` resolves, then lets requests under way finish, for ten seconds at most.
///
/// # Errors
/// When the listener's address is gone; errors of single connections are theirs alone.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let (close, closing) = watch::channel(false);
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, address, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // The peer went away, or there are no files left; either way the listener is good.
                let _ = tokio::time::timeout(REST, std::future::pending::<()>()).await;
                continue;
            }
        };
        let peer = Peer { address, closing: closing.clone() };
        let router = router.clone().map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request
        });
        let connection = builder().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = close.send(true);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way at the end");
    }
    connections.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    let _ = stream.set_nodelay(true);
    Ok((stream, address.ip(), place))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(16 << 10)
        .max_concurrent_streams(128)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}
