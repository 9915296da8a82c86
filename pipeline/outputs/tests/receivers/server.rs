//! A receiver: answers each request by a function of it, and keeps what it was asked.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::Builder;

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value.as_str())
    }
}

/// An answer: status, headers as lines, body.
pub(crate) type Answer = (u16, String, Vec<u8>);

pub(crate) fn answer(status: u16, headers: &str) -> Answer {
    (status, headers.to_owned(), vec![])
}

/// Listens as long as the test's process lives.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn new(answers: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, answers)
    }

    /// One that proves who it is.
    pub(crate) fn with_tls(config: &Arc<ServerConfig>, answers: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Some(Arc::clone(config)), answers)
    }

    fn start(tls: Option<Arc<ServerConfig>>, answers: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/in", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let (kept, answers) = (Arc::clone(&asked), Arc::new(answers));
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let (kept, answers, tls) = (Arc::clone(&kept), Arc::clone(&answers), tls.clone());
                let serve = move || match tls {
                    None => serve(stream, &kept, &*answers),
                    Some(config) => serve(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &kept, &*answers),
                };
                let serve = move || drop(serve());
                Builder::new().name("connection".to_owned()).spawn(serve).unwrap();
            }
        };
        Builder::new().name("receiver".to_owned()).spawn(accept).unwrap();
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: impl Read + Write, kept: &Mutex<Vec<Asked>>, answers: &dyn Fn(&Asked, usize) -> Answer) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let mut asked = Asked::default();
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                asked.headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        asked.body.resize(asked.header("content-length").parse().unwrap_or(0), 0);
        requests.read_exact(&mut asked.body)?;
        let (status, headers, body) = {
            let mut kept = kept.lock().unwrap();
            kept.push(asked.clone());
            answers(&asked, kept.len() - 1)
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        requests.get_mut().write_all(head.as_bytes())?;
        requests.get_mut().write_all(&body)?;
        requests.get_mut().flush()?;
    }
}
