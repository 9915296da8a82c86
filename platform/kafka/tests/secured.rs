//! Every way to log in to a secured broker: connect, make a topic, write a transaction, read it back; and what is said when it fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "common/cluster.rs"]
mod cluster;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cluster::{Cluster, alone, need, script, value, values};
use platform_core::clock::Clock as _;
use platform_core::log::{Claim, Log, LogError};
use platform_core::record::{Partition, Topic};
use platform_core::secret::Secret;
use platform_kafka::log::Kafka;
use platform_kafka::settings::{Login, Oauth, Sasl, Settings, Tls};
use platform_runtime::clock::SystemClock;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const PASSWORD: &str = "canary-password";

/// Servers of a listener, by the name of the file that the script keeps them in.
fn servers(cluster: &Cluster, listener: &str) -> String {
    std::fs::read_to_string(cluster.folder.path().join(format!("bootstrap-{listener}"))).unwrap().trim().to_owned()
}

fn tls(cluster: &Cluster, own: bool) -> Option<Tls> {
    let file = |name: &str| Some(cluster.folder.path().join("tls").join(name));
    let (certificate, key) = if own { (file("client.pem"), file("client.key")) } else { (None, None) };
    Some(Tls { ca: file("ca.pem"), certificate, key, ..Tls::default() })
}

fn login() -> Login {
    Login { user: "golden".to_owned(), password: Some(Secret::new(PASSWORD)), password_file: None }
}

fn secured(cluster: &Cluster, sasl: Sasl) -> Settings {
    Settings { bootstrap: servers(cluster, "sasl-ssl"), tls: tls(cluster, false), sasl: Some(sasl), dev: true, ..Settings::default() }
}

#[test]
fn every_way_to_log_in_leads_to_transactions() {
    let user = format!("golden:{PASSWORD}");
    let Some(cluster) = Cluster::with_options(&["--tls", "--user", &user]) else { return };
    // Rights are another test's matter. Without a certificate and without a password one is ANONYMOUS.
    let allow = ["--add", "--operation", "All", "--topic", "*", "--transactional-id", "*", "--group", "*", "--cluster"];
    let users = ["--allow-principal", "User:golden", "--allow-principal", "User:ANONYMOUS"];
    let output = script().arg("tool").arg(cluster.folder.path()).arg("AclCommand").args(allow).args(users).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ssl = Settings { bootstrap: servers(&cluster, "ssl"), dev: true, ..Settings::default() };
    let oauth = Oauth {
        token_url: token_endpoint(),
        client: "golden-client".to_owned(),
        secret: Some(Secret::new(PASSWORD)),
        secret_file: None,
        scope: None,
    };
    let ways = [
        ("tls", Settings { tls: tls(&cluster, false), ..ssl.clone() }),
        ("mtls", Settings { tls: tls(&cluster, true), ..ssl.clone() }),
        ("plain", secured(&cluster, Sasl::Plain(login()))),
        ("scram-256", secured(&cluster, Sasl::Scram256(login()))),
        ("scram-512", secured(&cluster, Sasl::Scram512(login()))),
        ("oauthbearer", secured(&cluster, Sasl::Oauth(oauth.clone()))),
    ];
    for (way, settings) in &ways {
        transactions_work(way, settings);
    }
    let wrong = Login { password: Some(Secret::new("canary-wrong")), ..login() };
    let other_ca = Some(cluster.folder.path().join("tls/other-ca.pem"));
    let by_name = servers(&cluster, "ssl").replace("127.0.0.1", "localhost");
    let refused = [
        (secured(&cluster, Sasl::Plain(wrong.clone())), "log.kafka.sasl"),
        (secured(&cluster, Sasl::Scram512(wrong)), "log.kafka.sasl"),
        (secured(&cluster, Sasl::Oauth(Oauth { secret: Some(Secret::new("canary-wrong")), ..oauth })), "log.kafka.sasl"),
        (Settings { tls: Some(Tls { ca: other_ca, ..Tls::default() }), ..ssl.clone() }, "log.kafka.tls"),
        (Settings { bootstrap: by_name, ..ways[0].1.clone() }, "log.kafka.bootstrap"),
    ];
    for (settings, names) in refused {
        says(&settings, names);
    }
}

fn transactions_work(way: &str, settings: &Settings) {
    let log = Kafka::new(settings, "test", Arc::new(SystemClock::new())).unwrap().impatient(Duration::from_secs(10));
    let topic = Topic::new(way);
    log.apply(&log.plan(&[need(&topic, 1)]).unwrap_or_else(|e| panic!("{way}: {e}"))).unwrap();
    let zero = Partition::new(&topic, 0);
    let mut writer = log.writer(way).unwrap();
    writer.append(&zero, value(way)).unwrap();
    writer.commit(&Claim { group: String::new(), member: 0, generation: 0 }, &[]).unwrap();
    log.producer().unwrap().append(&zero, &[value("outside")]).unwrap();
    assert_eq!(values(&mut *alone(&log, &topic), 2), [way, "outside"]);
}

/// That the trouble names this setting, and no secret.
fn says(settings: &Settings, names: &str) {
    let log = Kafka::new(settings, "test", Arc::new(SystemClock::new())).unwrap().impatient(Duration::ZERO);
    let mut heard = Vec::new();
    for _ in 0..10 {
        match log.partitions(&Topic::new("any")) {
            Err(LogError::Engine(text)) => heard.push(text),
            other => panic!("{other:?}"),
        }
        heard.extend(log.trouble());
        if heard.last().is_some_and(|text| text.contains(names)) {
            break;
        }
    }
    assert!(heard.last().is_some_and(|text| text.contains(names)), "{names}: {heard:#?}");
    assert!(!heard.concat().contains("canary"), "{heard:#?}");
    eprintln!("{names}: {}", heard.last().unwrap());
}

/// The address of an identity provider that gives tokens for user `golden`, as long as the test runs.
fn token_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let serve = move || listener.incoming().flatten().for_each(|stream| drop(give_token(stream)));
    std::thread::Builder::new().name("tokens".to_owned()).spawn(serve).unwrap();
    url
}

fn give_token(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut known, mut length) = (false, 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let (name, what) = line.trim().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => known = what == format!("Basic {}", STANDARD.encode(format!("golden-client:{PASSWORD}"))),
            "content-length" => length = what.parse().unwrap(),
            _ => {}
        }
        if line.trim().is_empty() {
            break;
        }
    }
    lines.read_exact(&mut vec![0; length])?;
    let now = SystemClock::new().wall() / 1_000_000_000;
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let claims = format!("{{\"sub\":\"golden\",\"iat\":{now},\"exp\":{}}}", now + 3600);
    let token = format!("{}.{}.", part("{\"alg\":\"none\"}".to_owned()), part(claims));
    let (status, body) = match known {
        true => ("200 OK", format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}")),
        false => ("401 Unauthorized", "{\"error\":\"invalid_client\"}".to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
