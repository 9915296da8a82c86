//! Between a client and a real server: passes requests on, or does to them what networks and servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Passed on, and the answer back.
    None,
    /// Answered like this, and not passed on.
    Answer(&'static str, &'static str),
    /// Passed on; the answer never comes back.
    LoseAnswer,
    /// Passed on; of the answer, the head and half of the body.
    CutAnswer,
    /// Read, and then nothing.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `PUT /golden/…`.
    pub(crate) line: String,
    /// In lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Plan = Arc<dyn Fn(usize, &Request) -> Fault + Send + Sync>;

pub(crate) struct Proxy {
    pub(crate) url: String,
    /// All requests so far.
    pub(crate) seen: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// In front of a server; `plan` decides about each request, by its number from 0 on.
    pub(crate) fn before(server: &str, plan: impl Fn(usize, &Request) -> Fault + Send + Sync + 'static) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let (plan, seen): (Plan, Arc<Mutex<Vec<Request>>>) = (Arc::new(plan), Arc::default());
        let kept = Arc::clone(&seen);
        let url = serve(move |mut client| {
            let Some((request, raw)) = read_request(&client) else { return };
            let number = {
                let mut kept = kept.lock().unwrap();
                kept.push(request.clone());
                kept.len() - 1
            };
            let fault = plan(number, &request);
            match fault {
                Fault::Answer(head, body) => {
                    let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                    drop(client.write_all(text.as_bytes()));
                }
                // Until the client gives up.
                Fault::Hang => drop(client.read(&mut [0])),
                Fault::None | Fault::LoseAnswer | Fault::CutAnswer => {
                    let Ok(mut upstream) = TcpStream::connect(&server) else { return };
                    let mut answer = Vec::new();
                    drop(upstream.write_all(&raw).and_then(|()| upstream.read_to_end(&mut answer)));
                    if fault == Fault::CutAnswer {
                        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0) + 4;
                        answer.truncate(body + (answer.len() - body) / 2);
                    }
                    if fault != Fault::LoseAnswer {
                        drop(client.write_all(&answer));
                    }
                }
            }
        });
        Self { url, seen }
    }
}

/// Serves each connection on a thread of its own, until the process ends; gives the URL.
pub(crate) fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    let accept = move || {
        for client in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            std::thread::Builder::new().spawn(move || answer(client)).unwrap();
        }
    };
    std::thread::Builder::new().spawn(accept).unwrap();
    url
}

/// One request, and its bytes with a wish to close the connection afterwards.
pub(crate) fn read_request(client: &TcpStream) -> Option<(Request, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut raw = line.clone();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        raw += &header;
    }
    raw += "connection: close\r\n\r\n";
    let mut request = Request { line: line.trim_end().to_owned(), headers, body: Vec::new() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    let raw = [raw.as_bytes(), &request.body].concat();
    Some((request, raw))
}
