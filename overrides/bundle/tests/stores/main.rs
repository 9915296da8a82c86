//! Publishing and polling, on a folder and on a real S3 server that is killed, paused, and lied about.
//!
//! Without the server's program and without Go to build it, tests that need it say so and pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod damage;
mod faults;
mod hostile;
mod memory;
mod proxy;
mod publishing;
mod races;
mod server;
mod signing;

use golden_bundle::blob::Blob;
use golden_bundle::folder::Folder;
use golden_bundle::poll::{Active, Bundle, Found, PollError, Poller};
use golden_bundle::publication::Publication;
use golden_bundle::publish::{Order, PublishError, Published, What, publish};
use golden_bundle::signature::{PublicKey, SecretKey};
use golden_overrides::archive::Files;
use server::Server;
use std::time::Duration;

const AT: &str = "2026-01-01T00:00:00Z";

/// Files with this one content, which differ by it.
fn files(owner: &str) -> Files {
    Files::from([("shop/cart.yaml".to_owned(), format!("owner: {owner}\n").into_bytes())])
}

/// A change nobody has made before.
fn nonce() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    format!("nonce-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn try_publish(blob: &dyn Blob, what: What<'_>, key: Option<&SecretKey>) -> Result<Published, PublishError> {
    publish(blob, &Order { what, by: "ann", commit: Some("c0ffee"), at: AT, nonce: &nonce(), key }, &|_| Ok(()))
}

/// Publishes what must become a new version.
fn published(blob: &dyn Blob, what: What<'_>) -> Publication {
    match try_publish(blob, what, None).unwrap() {
        Published::New(made) => made,
        Published::Same(there) => panic!("{there:?} is the same"),
    }
}

fn poller(blob: Box<dyn Blob>, key: Option<PublicKey>) -> Poller {
    Poller::new(blob, key, Duration::from_secs(300))
}

fn new(found: Result<Found, PollError>) -> Bundle {
    match found {
        Ok(Found::New(bundle)) => *bundle,
        other => panic!("not new: {other:?}"),
    }
}

fn active(bundle: &Bundle) -> Option<Active> {
    Some(Active { version: bundle.publication.version, sha256: bundle.publication.sha256.clone() })
}

/// Runs a test on a new folder, and on a new bucket where there is a server. `open` gives further handles of one and the same store.
fn on_each_store(test: impl Fn(&(dyn Fn() -> Box<dyn Blob> + Sync))) {
    let folder = tempfile::tempdir().unwrap();
    test(&|| Box::new(Folder::new(folder.path().join("bundles"))));
    if let Some(server) = Server::start() {
        test(&|| Box::new(server.open()));
    }
}
