//! A receiver of a test: answers each call by a function of it, and keeps them all.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) path: String,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How it was answered.
    pub(crate) status: u16,
}

impl Call {
    /// A header's value; empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Listens until the test's process ends.
pub(crate) struct Receiver {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0", |_| (200, String::new()))
    }

    /// One at an address, which gives each call a status and a text.
    pub(crate) fn at(address: &str, answers: impl Fn(&Call) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(vec![]));
        let kept = Arc::clone(&calls);
        let serve = move || listener.incoming().map_while(Result::ok).for_each(|stream| drop(take(stream, &kept, &answers)));
        std::thread::Builder::new().name("receiver".to_owned()).spawn(serve).unwrap();
        Self { url, calls }
    }

    /// In the order in which they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

/// One call; it is kept before it is answered.
fn take(stream: TcpStream, kept: &Mutex<Vec<Call>>, answers: &dyn Fn(&Call) -> (u16, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut call = Call { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), ..Call::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            call.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    call.body.resize(call.header("content-length").parse().unwrap_or(0), 0);
    reader.read_exact(&mut call.body)?;
    let (status, text) = answers(&call);
    call.status = status;
    kept.lock().unwrap().push(call);
    write!(reader.into_inner(), "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
}
