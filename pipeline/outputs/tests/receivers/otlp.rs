use super::samples::chunk;
use super::server::{Server, answer};
use golden_outputs::Otlp;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, OtlpSettings, Protocol, Temporality};
use golden_pipeline::emit::otlp::messages::{PartialSuccess, Request, Response};
use prost::Message;
use rustls::ServerConfig;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

fn output(url: &str) -> Otlp {
    Otlp::new(&OtlpSettings {
        url: url.to_owned(),
        protocol: Protocol::Http,
        temporality: Temporality::Cumulative,
        http: Access::default(),
    })
    .unwrap()
}

#[test]
fn points_are_sent_and_a_partial_success_is_counted() {
    let server = Server::new(|_, at| {
        let partial = PartialSuccess { rejected: 2, error: "too old".to_owned() };
        let body = Response { partial_success: Some(partial).filter(|_| at == 1) }.encode_to_vec();
        (200, "content-type: application/x-protobuf\r\n".to_owned(), body)
    });
    let mut output = output(&server.url);
    let Outcome::Through { sent, dropped } = output.send(&chunk(&["cart"])) else { panic!() };
    assert!(sent > 5 && dropped.is_empty());
    assert_eq!(output.send(&chunk(&["cart"])), Outcome::Through { sent: sent - 2, dropped: vec![("rejected", 2)] });
    let asked = &server.asked()[0];
    assert_eq!(asked.header("content-type"), "application/x-protobuf");
    let request = Request::decode(&*asked.body).unwrap();
    assert_eq!(request.resource_metrics[0].scope_metrics[0].scope.as_ref().unwrap().name, "golden-signals");
}

#[test]
fn an_overloaded_collector_is_waited_for_and_a_refusal_is_final() {
    let server = Server::new(|_, at| if at == 0 { answer(429, "") } else { answer(400, "") });
    let mut output = output(&server.url);
    assert!(matches!(output.send(&chunk(&["cart"])), Outcome::Again { after: None, .. }));
    let Outcome::Through { sent: 0, dropped } = output.send(&chunk(&["cart"])) else { panic!() };
    assert!(dropped[0].0 == "refused" && dropped[0].1 > 5);
}

/// What a collector was told: path and message of each call.
type Told = std::sync::mpsc::Receiver<(String, Vec<u8>)>;

/// A collector that speaks gRPC: says these statuses one after the other, and gives what it was told.
pub(crate) fn collector(statuses: &'static [u32], tls: Option<Arc<ServerConfig>>) -> (String, Told) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap());
    let (told, given) = std::sync::mpsc::channel();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut statuses = statuses.iter();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            match &tls {
                None => calls(stream, &mut statuses, &told).await,
                // A client that does not trust it leaves.
                Some(config) => match TlsAcceptor::from(Arc::clone(config)).accept(stream).await {
                    Ok(stream) => calls(stream, &mut statuses, &told).await,
                    Err(_) => continue,
                },
            }
        }
    };
    let run = move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
    std::thread::Builder::new().name("collector".to_owned()).spawn(run).unwrap();
    (url, given)
}

async fn calls<S>(stream: S, statuses: &mut std::slice::Iter<'static, u32>, told: &Sender<(String, Vec<u8>)>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let mut message = vec![];
        // The connection moves only while it is asked for the next call.
        let read = async {
            while let Some(piece) = body.data().await {
                let piece = piece.unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                message.extend_from_slice(&piece);
            }
        };
        tokio::select! { () = read => {}, _ = connection.accept() => {} }
        told.send((head.uri.path().to_owned(), message)).unwrap();
        let status = statuses.next().unwrap();
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        stream.send_data(vec![0, 0, 0, 0, 0].into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", (*status).into());
        stream.send_trailers(trailers).unwrap();
    }
}

#[test]
fn by_grpc_the_same_is_sent_over_one_connection() {
    let (url, given) = collector(&[14, 0, 3], None);
    let settings = OtlpSettings { url, protocol: Protocol::Grpc, temporality: Temporality::Cumulative, http: Access::default() };
    let mut output = Otlp::new(&settings).unwrap();
    let chunk = chunk(&["cart", "shop"]);
    let Outcome::Again { why, .. } = output.send(&chunk) else { panic!() };
    assert!(why.contains("14"), "{why}");
    let Outcome::Through { sent, dropped } = output.send(&chunk) else { panic!() };
    assert!(sent > 10 && dropped.is_empty());
    assert_eq!(output.send(&chunk), Outcome::Through { sent: 0, dropped: vec![("refused", sent)] });
    let (path, message) = given.recv().unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    let length = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
    assert_eq!((message[0], length), (0, message.len() - 5));
    assert!(!Request::decode(&message[5..]).unwrap().resource_metrics.is_empty());
}

#[test]
fn a_url_of_grpc_is_a_host_and_a_port() {
    for url in ["collector:4317", "http://", "https://collector:4317/v1/metrics", "ftp://collector:4317"] {
        let settings =
            OtlpSettings { url: url.to_owned(), protocol: Protocol::Grpc, temporality: Temporality::Cumulative, http: Access::default() };
        assert!(Otlp::new(&settings).is_err(), "{url}");
    }
}
