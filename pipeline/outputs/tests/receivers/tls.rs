//! Every output over TLS, with certificates of an authority of one's own: it reaches whom it trusts, and nobody else.

use super::otlp::collector;
use super::samples::chunk;
use super::server::{Server, answer};
use super::webhook;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, Histograms, OtlpSettings, Protocol, RemoteWriteSettings, Temporality, Version, WebhookSettings};
use golden_outputs::{Otlp, RemoteWrite, Webhook};
use golden_pipeline::emit::outbox::Chunk;
use platform_runtime::clock::SystemClock;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// An authority in a folder of its own, and a server that it vouches for.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// For 127.0.0.1 and for no other host.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |line: &str| {
            let output = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output();
            let output = output.expect("certificates are made with openssl, which has to be on the PATH");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        std::fs::write(folder.path().join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!("{new} -x509 -days 1 -subj /CN=ca -keyout ca.key -out ca.pem"));
        openssl(&format!("{new} -subj /CN=receiver -keyout key.pem -out receiver.csr"));
        openssl("x509 -req -in receiver.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ext -out receiver.pem");
        Self { folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn server(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let at = |name: &str| self.folder.path().join(name);
        let certificate = CertificateDer::from_pem_file(at("receiver.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(at("key.pem")).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

fn access(ca: &Path) -> Access {
    Access { ca: Some(ca.to_owned()), ..Access::default() }
}

fn otlp(url: &str, protocol: Protocol, ca: &Path) -> Box<dyn Output> {
    let settings = OtlpSettings { url: url.to_owned(), protocol, temporality: Temporality::Cumulative, http: access(ca) };
    Box::new(Otlp::new(&settings).unwrap())
}

/// What makes an output for a URL, by what is trusted.
type Make = Box<dyn Fn(&str, &Path) -> Box<dyn Output>>;

#[test]
fn every_output_reaches_whom_it_trusts_over_tls_and_nobody_else() {
    // Here and in the program: one TLS for all.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let (ours, others) = (Authority::new(), Authority::new());
    let server = Server::with_tls(&ours.server(&[b"http/1.1"]), |_, _| answer(200, ""));
    let (collector, told) = collector(&[0], Some(ours.server(&[b"h2"])));
    let remote_write = |url: &str, ca: &Path| {
        let settings = RemoteWriteSettings {
            url: url.to_owned(),
            version: Version::V1,
            histograms: Histograms::Both,
            labels: [].into(),
            http: access(ca),
        };
        Box::new(RemoteWrite::new(&settings).unwrap()) as Box<dyn Output>
    };
    let notices = |url: &str, ca: &Path| {
        let settings = WebhookSettings { http: access(ca), ..webhook::settings(url, &["127.0.0.1", "localhost"]) };
        Box::new(Webhook::new(&settings, Arc::new(SystemClock::new())).unwrap()) as Box<dyn Output>
    };
    let samples = || chunk(&["cart"]);
    let all: [(&str, &str, Make, Chunk); 4] = [
        ("remote write", &server.url, Box::new(remote_write), samples()),
        ("OTLP/HTTP", &server.url, Box::new(|url: &str, ca: &Path| otlp(url, Protocol::Http, ca)), samples()),
        ("OTLP/gRPC", &collector, Box::new(|url: &str, ca: &Path| otlp(url, Protocol::Grpc, ca)), samples()),
        ("webhook", &server.url, Box::new(notices), webhook::chunk()),
    ];
    for (name, url, make, chunk) in all {
        let before = server.asked().len();
        let refused = make(url, &others.ca()).send(&chunk);
        assert!(
            matches!(&refused, Outcome::Again { why, .. } if why.contains("certificate") || why.contains("UnknownIssuer")),
            "{name}: {refused:?}"
        );
        let renamed = make(&url.replace("127.0.0.1", "localhost"), &ours.ca()).send(&chunk);
        assert!(matches!(&renamed, Outcome::Again { .. }), "{name}: a certificate of another host: {renamed:?}");
        assert_eq!(server.asked().len(), before, "{name}: nothing is told to whom nobody trusts");
        let taken = make(url, &ours.ca()).send(&chunk);
        assert!(matches!(&taken, Outcome::Through { sent, dropped } if *sent > 0 && dropped.is_empty()), "{name}: {taken:?}");
    }
    assert_eq!(server.asked().len(), 3);
    assert!(told.recv().unwrap().1.len() > 100);
}

#[test]
fn a_collector_that_speaks_no_http_2_is_told_so() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let ours = Authority::new();
    let server = Server::with_tls(&ours.server(&[]), |_, _| answer(200, ""));
    let url = server.url.trim_end_matches("/in");
    let Outcome::Again { why, .. } = otlp(url, Protocol::Grpc, &ours.ca()).send(&chunk(&["cart"])) else { panic!() };
    assert!(why.contains("HTTP/2"), "{why}");
}
