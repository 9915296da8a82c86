//! A wire between processes and a broker that can be cut: the processes live and reach nobody, and what they sent meanwhile arrives once it is
//! mended, as after the partition of a network.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Builder;

/// Passes on what comes to a port of its own.
pub(crate) struct Relay {
    listener: Option<TcpListener>,
    /// Where it takes connections.
    pub(crate) port: u16,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    is_cut: Mutex<bool>,
    changed: Condvar,
}

impl Wire {
    /// Waits until it is whole.
    fn whole(&self) {
        drop(self.changed.wait_while(self.is_cut.lock().unwrap(), |is_cut| *is_cut).unwrap());
    }

    /// Passes on until one of the two ends it.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from.read(&mut buffer);
            self.whole();
            match read {
                Ok(length) if length > 0 && to.write_all(&buffer[..length]).is_ok() => {}
                _ => break,
            }
        }
        // It may be closed already.
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    }
}

impl Relay {
    /// At a free port of loopback. Connections wait until it is opened.
    pub(crate) fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener: Some(listener), port, wire: Arc::default() }
    }

    /// From now on everything goes there. Its threads end with the process.
    pub(crate) fn open(&mut self, to: SocketAddr) {
        let listener = self.listener.take().expect("it is opened once");
        let wire = Arc::clone(&self.wire);
        spawn(move || {
            for client in listener.incoming() {
                wire.whole();
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(to)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, wire) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&wire));
                    spawn(move || wire.pass(from, to));
                }
            }
        });
    }

    /// Cuts the wire, or mends it.
    pub(crate) fn cut(&self, is_cut: bool) {
        *self.wire.is_cut.lock().unwrap() = is_cut;
        self.wire.changed.notify_all();
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) {
    Builder::new().name("relay".to_owned()).spawn(run).unwrap();
}
