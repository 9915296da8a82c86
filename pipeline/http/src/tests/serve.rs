//! The accept loop over a real socket.

use super::app::app;
use crate::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[tokio::test]
async fn it_answers_refuses_large_heads_and_stops_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve(listener, app().router, async move { drop(stopped.await) }));

    let exchange = async |request: String| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let head = "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    assert!(exchange(format!("{head}\r\n")).await.ends_with("healthy\n"));
    let large = exchange(format!("{head}x: {}\r\n\r\n", "y".repeat(40_000))).await;
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");

    // Neither a stream nor an idle connection holds up the end.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    let idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    assert!(tasks.join_next().await.unwrap().unwrap().is_ok());
    drop(idle);
}
