use super::server::{Server, answer};
use golden_outputs::Webhook;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, BadOutput, WebhookSettings};
use golden_pipeline::emit::outbox::Chunk;
use golden_pipeline::settings::Span;
use platform_core::clock::Clock;
use platform_core::codec::put_bytes;
use platform_core::record::Offset;
use platform_core::secret::Secret;
use platform_core::time::EventTime;
use platform_runtime::clock::SystemClock;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "a canary of sixteen";

pub(crate) fn settings(url: &str, allow: &[&str]) -> WebhookSettings {
    WebhookSettings {
        url: url.to_owned(),
        secret: Some(Secret::new(SECRET)),
        secret_file: None,
        allow: allow.iter().map(|host| (*host).to_owned()).collect(),
        max_age: Span(Duration::from_secs(3600)),
        http: Access::default(),
    }
}

fn output(url: &str, allow: &[&str]) -> Webhook {
    Webhook::new(&settings(url, allow), Arc::new(SystemClock::new())).unwrap()
}

pub(crate) fn chunk() -> Chunk {
    let mut body = vec![];
    put_bytes(&mut body, b"key-1");
    body.extend_from_slice(br#"{"state":"critical"}"#);
    Chunk { number: 0, through: Offset(1), window_end: EventTime(SystemClock::new().wall()), body }
}

#[test]
fn what_is_old_is_told_no_more() {
    let server = Server::new(|_, _| answer(200, ""));
    let old = Chunk { window_end: EventTime(SystemClock::new().wall() - 3_601_000_000_000), ..chunk() };
    assert_eq!(output(&server.url, &["127.0.0.1"]).send(&old), Outcome::Through { sent: 0, dropped: vec![("old", 1)] });
    assert!(server.asked().is_empty());
}

#[test]
fn a_notice_is_signed_and_has_a_key() {
    let server = Server::new(|_, at| if at == 0 { answer(500, "") } else { answer(200, "") });
    let mut output = output(&server.url, &["127.0.0.1"]);
    assert!(matches!(output.send(&chunk()), Outcome::Again { .. }));
    assert_eq!(output.send(&chunk()), Outcome::Through { sent: 1, dropped: vec![] });
    let asked = server.asked();
    for asked in &asked {
        assert_eq!((asked.header("idempotency-key"), &*asked.body), ("key-1", &br#"{"state":"critical"}"#[..]));
        let signature = asked.header("x-golden-signature");
        let (time, code) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_700_000_000 && code.len() == 64 && !signature.contains("canary"), "{signature}");
    }
}

#[test]
fn an_address_that_is_not_public_is_not_called_unless_it_is_allowed() {
    let server = Server::new(|_, _| answer(200, ""));
    for url in [server.url.clone(), server.url.replace("127.0.0.1", "localhost")] {
        let Outcome::Again { why, .. } = output(&url, &["other"]).send(&chunk()) else { panic!() };
        assert!(why.contains("no public address"), "{why}");
    }
    assert!(server.asked().is_empty());
    assert!(matches!(output(&server.url, &["127.0.0.1"]).send(&chunk()), Outcome::Through { .. }));
}

#[test]
fn a_redirect_is_not_followed() {
    let inside = Server::new(|_, _| answer(200, ""));
    let to = format!("location: {}\r\n", inside.url);
    let outside = Server::new(move |_, _| answer(302, &to));
    let Outcome::Again { why, .. } = output(&outside.url, &["127.0.0.1"]).send(&chunk()) else { panic!() };
    assert!(why.starts_with("302"), "{why}");
    assert!(inside.asked().is_empty());
}

#[test]
fn nothing_is_sent_without_a_secret_that_is_worth_it() {
    let mut settings = settings("https://example.com", &[]);
    settings.secret = Some(Secret::new("short"));
    assert!(matches!(Webhook::new(&settings, Arc::new(SystemClock::new())), Err(BadOutput::Unsigned)));
    settings.secret = None;
    assert!(matches!(Webhook::new(&settings, Arc::new(SystemClock::new())), Err(BadOutput::Unsigned)));
    settings.url = "file:///etc/passwd".to_owned();
    assert!(matches!(Webhook::new(&settings, Arc::new(SystemClock::new())), Err(BadOutput::Url { .. })));
}
