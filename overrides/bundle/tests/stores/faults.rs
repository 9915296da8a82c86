//! A real S3 server that is killed, paused, in trouble, or that lies; and one that does not keep conditions.

use crate::proxy::{Fault, Proxy, read_request, serve};
use crate::server::{BUCKET, Server};
use crate::{AT, active, files, new, nonce, poller, published, try_publish};
use golden_bundle::blob::{Blob, Got, When};
use golden_bundle::history::versions;
use golden_bundle::poll::{Found, PollError, Poller};
use golden_bundle::publish::{Order, PublishError, Published, What, publish};
use golden_bundle::s3::{S3, S3Settings};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// A store that soon gives up.
fn impatient(server: &Server, url: &str) -> S3 {
    S3::new(BUCKET, "team/overrides", S3Settings { patience: PATIENCE, ..server.settings(url) }).unwrap()
}

fn unreachable(result: Result<Found, PollError>) -> String {
    match result {
        Err(error @ PollError::Store(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_is_killed_for_long_is_polled_on_and_found_again() {
    let Some(mut server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    let mut poller = poller(Box::new(impatient(&server, &server.url)), None);
    let in_force = active(&new(poller.poll(0, None)));
    server.kill();
    // More than it takes to make the client anew.
    for poll in 1..=12 {
        let said = unreachable(poller.poll(poll, in_force.as_ref()));
        assert!(said.contains("s3://golden/team/overrides/current.json") && said.contains("check the network"), "{said}");
        let failing = poller.failing().unwrap();
        assert_eq!((failing.since, i64::from(failing.polls)), (1, poll));
    }
    server.restart();
    assert_eq!(poller.poll(13, in_force.as_ref()), Ok(Found::Unchanged));
    assert_eq!(poller.failing(), None);
    published(&server.open(), What::Files(&files("b")));
    assert_eq!(new(poller.poll(14, in_force.as_ref())).publication.version, 2);
}

#[test]
fn a_server_that_stands_still_is_an_error_in_time() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    let mut poller = poller(Box::new(impatient(&server, &server.url)), None);
    let in_force = active(&new(poller.poll(0, None)));
    server.pause();
    let said = unreachable(poller.poll(1, in_force.as_ref()));
    assert!(said.contains("no answer"), "{said}");
    server.resume();
    assert_eq!(poller.poll(2, in_force.as_ref()), Ok(Found::Unchanged));
}

#[test]
fn a_server_paused_under_a_publisher_loses_nothing_and_repeats_nothing() {
    let Some(server) = Server::start() else { return };
    let server = Arc::new(server);
    published(&server.open(), What::Files(&files("a")));
    // It stops when the pointer is written, and goes on when the publisher asks whether it was.
    let (at_pointer, paused) = (AtomicBool::new(false), Arc::clone(&server));
    let proxy = Proxy::before(&server.url, move |_, request| {
        if request.line.starts_with("PUT") && request.line.contains("current.json") && !at_pointer.swap(true, Ordering::SeqCst) {
            paused.pause();
            let paused = Arc::clone(&paused);
            let wake = move || {
                // A bound, not a wait for luck: whenever it wakes, the outcome must be the same.
                let (_keep, never) = std::sync::mpsc::channel::<()>();
                assert!(never.recv_timeout(PATIENCE.mul_f64(0.7)).is_err());
                paused.resume();
            };
            std::thread::Builder::new().spawn(wake).unwrap();
        }
        Fault::None
    });
    let store = impatient(&server, &proxy.url);
    let made = published(&store, What::Files(&files("b")));
    let next = published(&server.open(), What::Files(&files("c")));
    assert_eq!((made.version, next.version), (2, 3));
    let all = versions(&server.open(), 9).unwrap();
    assert_eq!(all.iter().map(|one| one.version).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(all[1], made);
}

#[test]
fn publishers_of_a_server_that_is_killed_again_and_again_keep_every_success() {
    let Some(mut server) = Server::start() else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = |by: &'static str, settings: S3Settings, stop: Arc<AtomicBool>| {
        move || {
            let store = S3::new(BUCKET, "team/overrides", settings).unwrap();
            let mut made = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let content = files(&nonce());
                let order = Order { what: What::Files(&content), by, commit: None, at: AT, nonce: &nonce(), key: None };
                if let Ok(Published::New(publication)) = publish(&store, &order, &|_| Ok(())) {
                    made.push(publication);
                }
            }
            made
        }
    };
    let settings = S3Settings { patience: PATIENCE, ..server.settings(&server.url) };
    let publishers: Vec<_> = ["ann", "bob"]
        .map(|by| std::thread::Builder::new().spawn(publisher(by, settings.clone(), Arc::clone(&stop))).unwrap())
        .into_iter()
        .collect();
    for kill in 0..8 {
        let watch = server.open();
        let enough = |found: Vec<_>| found.len() > kill * 5;
        while !versions(&watch, 1000).is_ok_and(enough) {
            std::thread::yield_now();
        }
        server.kill();
        server.restart();
    }
    stop.store(true, Ordering::SeqCst);
    let made: Vec<_> = publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect();
    let mut all = versions(&server.open(), 10_000).unwrap();
    all.reverse();
    assert_eq!(all.iter().map(|one| one.version).collect::<Vec<_>>(), (1..=all.len() as u64).collect::<Vec<_>>());
    assert!(made.len() > 10 && made.iter().all(|one| all.get(one.version as usize - 1) == Some(one)));
    new(poller(Box::new(server.open()), None).poll(0, None));
}

#[test]
fn a_lost_answer_of_any_request_publishes_once() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    for at in 0..8 {
        for fault in [Fault::LoseAnswer, Fault::CutAnswer, Fault::Answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>")] {
            let lost = fault.clone();
            let proxy = Proxy::before(&server.url, move |number, _| if number == at { lost.clone() } else { Fault::None });
            let before = versions(&server.open(), 1000).unwrap().len();
            let made = published(&server.open_by(&proxy.url), What::Files(&files(&nonce())));
            let after = versions(&server.open(), 1000).unwrap();
            assert_eq!((after.len(), &after[0]), (before + 1, &made), "request {at}, {fault:?}");
        }
    }
}

#[test]
fn a_pointer_whose_answers_are_all_lost_is_found_by_reading_it() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    let proxy = Proxy::before(&server.url, |_, request| {
        let pointer = request.line.starts_with("PUT") && request.line.contains("current.json");
        if pointer { Fault::LoseAnswer } else { Fault::None }
    });
    let made = published(&server.open_by(&proxy.url), What::Files(&files("b")));
    assert_eq!(versions(&server.open(), 9).unwrap()[0], made);
    assert_eq!(made.version, 2);
}

#[test]
fn an_error_behind_a_status_of_200_is_no_success() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    const LIE: Fault = Fault::Answer("200 OK", "<Error><Code>InternalError</Code></Error>");
    let proxy = Proxy::before(&server.url, |_, request| {
        if request.line.starts_with("PUT") && request.line.contains("current.json") { LIE } else { Fault::None }
    });
    let result = try_publish(&server.open_by(&proxy.url), What::Files(&files("b")), None);
    assert!(matches!(&result, Err(PublishError::Unknown { version: 2, .. })), "{result:?}");
    assert_eq!(versions(&server.open(), 9).unwrap().len(), 1);

    let proxy = Proxy::before(&server.url, |_, _| LIE);
    let mut poller = poller(Box::new(server.open_by(&proxy.url)), None);
    assert!(poller.poll(0, None).is_err());
}

#[test]
fn answers_that_are_cut_hang_or_fail_are_errors_and_then_forgotten() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    for fault in [
        Fault::CutAnswer,
        Fault::Hang,
        Fault::LoseAnswer,
        Fault::Answer("503 Slow Down", ""),
        Fault::Answer("500 Internal Server Error", "<Error><Code>InternalError</Code></Error>"),
        Fault::Answer("403 Forbidden", "<Error><Code>ExpiredToken</Code></Error>"),
    ] {
        let bad = Arc::new(AtomicBool::new(false));
        let (switch, done) = (Arc::clone(&bad), fault.clone());
        let proxy = Proxy::before(&server.url, move |_, _| if switch.load(Ordering::SeqCst) { done.clone() } else { Fault::None });
        let mut poller = poller(Box::new(impatient(&server, &proxy.url)), None);
        let in_force = active(&new(poller.poll(0, None)));
        bad.store(true, Ordering::SeqCst);
        // With a new process too, which has no ETag.
        let mut fresh = Poller::new(Box::new(impatient(&server, &proxy.url)), None, Duration::from_secs(1));
        let said = unreachable(fresh.poll(1, None));
        assert_eq!(said.contains("renew the credentials"), said.contains("ExpiredToken"), "{said}");
        if fault != Fault::CutAnswer {
            // Of an answer without a body nothing can be cut.
            unreachable(poller.poll(1, in_force.as_ref()));
        }
        bad.store(false, Ordering::SeqCst);
        assert_eq!(poller.poll(2, in_force.as_ref()), Ok(Found::Unchanged), "{fault:?}");
        assert_eq!(new(fresh.poll(2, None)).files, files("a"));
    }
}

#[test]
fn wrong_keys_and_missing_buckets_are_told_without_secrets() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("credentials");
    std::fs::write(&wrong, "[default]\naws_access_key_id = golden\naws_secret_access_key = canary-8f14e45f\n").unwrap();
    let settings = S3Settings { credentials: Some(wrong), ..server.settings(&server.url) };
    let store = S3::new(BUCKET, "", settings).unwrap();
    let said = store.get("current.json", None, 10).unwrap_err().to_string();
    assert!(said.contains("SignatureDoesNotMatch") && said.contains("credentials"), "{said}");
    let error = try_publish(&store, What::Files(&files("a")), None).unwrap_err();
    for text in [said, error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("canary"), "{text}");
    }
    let store = S3::new("no-such-bucket", "", server.settings(&server.url)).unwrap();
    for said in [store.get("current.json", None, 10).unwrap_err(), store.put("probe", b"", When::Always).unwrap_err()] {
        assert!(said.to_string().contains("s3://no-such-bucket/") && said.reason.contains("make the bucket"), "{said}");
    }
    let settings = S3Settings { credentials: Some(folder.path().join("none")), ..server.settings(&server.url) };
    let said = S3::new(BUCKET, "", settings).unwrap().get("current.json", None, 10).unwrap_err();
    assert!(said.reason.contains("no credentials"), "{said}");
}

#[test]
fn credentials_that_were_renewed_are_read_again() {
    let Some(server) = Server::start() else { return };
    published(&server.open(), What::Files(&files("a")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    std::fs::write(&path, "[default]\naws_access_key_id = golden\naws_secret_access_key = old\n").unwrap();
    let settings = S3Settings { credentials: Some(path.clone()), ..server.settings(&server.url) };
    let mut poller = poller(Box::new(S3::new(BUCKET, "team/overrides", settings).unwrap()), None);
    unreachable(poller.poll(0, None));
    std::fs::copy(server.credentials(), path).unwrap();
    // A client keeps what it has read; after ten failures there is a new one.
    let found = (1..=10).find_map(|now| poller.poll(now, None).ok());
    assert!(matches!(found, Some(Found::New(_))), "{:?}", poller.failing());
}

#[test]
fn what_is_no_s3_is_not_taken_for_an_empty_bucket() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(&server.url, |_, _| Fault::Answer("404 Not Found", "<html>no such page</html>"));
    let said = unreachable(poller(Box::new(server.open_by(&proxy.url)), None).poll(0, None));
    assert!(said.contains("404") && said.contains("does not do what S3 does"), "{said}");
    let proxy = Proxy::before(&server.url, |_, _| Fault::Answer("304 Not Modified", ""));
    unreachable(poller(Box::new(server.open_by(&proxy.url)), None).poll(0, None));
}

#[test]
fn objects_that_are_too_large_are_not_read() {
    let Some(server) = Server::start() else { return };
    let store = server.open();
    store.put("bundles/x", &vec![7; 100_000], When::Always).unwrap();
    assert_eq!(store.get("bundles/x", None, 99_999).unwrap(), Got::TooLarge);
    assert!(matches!(store.get("bundles/x", None, 100_000).unwrap(), Got::Found { content, .. } if content.len() == 100_000));
    assert!(server.object("team/overrides/bundles/x").is_file());
}

#[test]
fn every_body_is_signed_and_has_a_checksum_and_polls_are_conditional() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(&server.url, |_, _| Fault::None);
    published(&server.open_by(&proxy.url), What::Files(&files("a")));
    let mut poller = poller(Box::new(server.open_by(&proxy.url)), None);
    let in_force = active(&new(poller.poll(0, None)));
    let from = proxy.seen.lock().unwrap().len();
    assert_eq!(poller.poll(1, in_force.as_ref()), Ok(Found::Unchanged));
    let seen = proxy.seen.lock().unwrap();
    for put in seen.iter().filter(|request| request.line.starts_with("PUT")) {
        let hash = golden_overrides::archive::sha256(&put.body);
        assert_eq!(put.header("x-amz-content-sha256"), Some(hash.as_str()), "{}", put.line);
        assert!(put.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum-")), "{put:?}");
    }
    let [poll] = &seen[from..] else { panic!("one request for a poll with nothing new") };
    assert!(poll.line.starts_with("GET") && poll.header("if-none-match").is_some(), "{poll:?}");
}

/// A server that stores what it gets and ignores some conditions, as several that call themselves compatible do.
fn careless(ignored: &'static [&'static str]) -> String {
    let objects: Mutex<BTreeMap<String, (u64, Vec<u8>)>> = Mutex::default();
    serve(move |mut client| {
        let Some((request, _)) = read_request(&client) else { return };
        let path = request.line.split(['?', ' ']).nth(1).unwrap().to_owned();
        let mut objects = objects.lock().unwrap();
        let etag = objects.get(&path).map(|(number, _)| format!("\"{number}\""));
        let condition = |name: &str| request.header(name).filter(|_| !ignored.contains(&name));
        let refused = (condition("if-none-match") == Some("*") && etag.is_some())
            || condition("if-match").is_some_and(|wanted| Some(wanted) != etag.as_deref());
        let (head, body) = match (request.line.starts_with("PUT"), objects.get(&path)) {
            (true, _) if refused => ("412 Precondition Failed".to_owned(), Vec::new()),
            (true, there) => {
                let number = there.map_or(1, |(number, _)| number + 1);
                objects.insert(path, (number, request.body));
                (format!("200 OK\r\netag: \"{number}\""), Vec::new())
            }
            (false, Some((number, content))) => (format!("200 OK\r\netag: \"{number}\""), content.clone()),
            (false, None) => ("404 Not Found".to_owned(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        };
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        drop(client.write_all(&[head.as_bytes(), &body].concat()));
    })
}

#[test]
fn a_server_that_ignores_conditions_is_refused_before_anything_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
    for (ignored, named) in [
        (["if-none-match", "if-match"].as_slice(), Some("If-None-Match")),
        (&["if-none-match"], Some("If-None-Match")),
        (&["if-match"], Some("If-Match")),
        (&[], None),
    ] {
        let settings = S3Settings {
            endpoint: Some(careless(ignored)),
            region: Some("us-east-1".to_owned()),
            credentials: Some(credentials.clone()),
            ..S3Settings::default()
        };
        let store = S3::new(BUCKET, "", settings).unwrap();
        // Also where another publisher was before.
        for _ in 0..2 {
            let result = try_publish(&store, What::Files(&files("a")), None);
            match (named, result) {
                (Some(named), Err(PublishError::NoConditions { condition, .. })) => assert_eq!(condition, named),
                (None, Ok(_)) => {}
                (_, other) => panic!("{ignored:?}: {other:?}"),
            }
        }
        assert_eq!(versions(&store, 9).unwrap().len(), usize::from(named.is_none()));
    }
}
