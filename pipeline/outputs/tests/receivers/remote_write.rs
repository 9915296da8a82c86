use super::samples::chunk;
use super::server::{Asked, Server, answer};
use golden_outputs::RemoteWrite;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, Histograms, RemoteWriteSettings, Version};
use golden_pipeline::emit::remote_write::messages::{v1, v2};
use platform_core::secret::Secret;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

fn output(url: &str, version: Version, http: Access) -> RemoteWrite {
    let settings = RemoteWriteSettings { url: url.to_owned(), version, histograms: Histograms::Classic, labels: BTreeMap::new(), http };
    RemoteWrite::new(&settings).unwrap()
}

fn plain(asked: &Asked) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(&asked.body).unwrap()
}

fn samples(asked: &Asked) -> u64 {
    v2::Request::decode(&*plain(asked)).unwrap().timeseries.iter().map(|series| series.samples.len() as u64).sum()
}

fn written(samples: u64) -> String {
    format!("x-prometheus-remote-write-samples-written: {samples}\r\nx-prometheus-remote-write-histograms-written: 0\r\n")
}

#[test]
fn version_2_is_announced_and_what_is_written_is_counted() {
    let server = Server::new(|asked, _| answer(204, &written(samples(asked))));
    let headers = [("x-scope-orgid".to_owned(), Secret::new("team-a"))].into();
    let access = Access { bearer: Some(Secret::new("canary")), headers, ..Access::default() };
    let outcome = output(&server.url, Version::V2, access).send(&chunk(&["cart"]));
    let asked = &server.asked()[0];
    assert_eq!(outcome, Outcome::Through { sent: samples(asked), dropped: vec![] });
    for (name, value) in [
        ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "2.0.0"),
        ("authorization", "Bearer canary"),
        ("x-scope-orgid", "team-a"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    assert!(asked.header("user-agent").starts_with("golden-signals/"));
}

#[test]
fn a_receiver_that_does_not_say_what_it_wrote_has_written_nothing() {
    let server = Server::new(|_, _| answer(204, ""));
    let Outcome::Again { why, .. } = output(&server.url, Version::V2, Access::default()).send(&chunk(&["cart"])) else { panic!() };
    assert!(why.contains("1.0"), "{why}");
}

#[test]
fn a_partial_write_drops_what_was_not_written() {
    let server = Server::new(|asked, _| answer(400, &written(samples(asked) - 3)));
    let outcome = output(&server.url, Version::V2, Access::default()).send(&chunk(&["cart"]));
    let all = samples(&server.asked()[0]);
    assert_eq!(outcome, Outcome::Through { sent: all - 3, dropped: vec![("refused", 3)] });
}

#[test]
fn what_is_too_large_is_sent_in_halves() {
    let server = Server::new(|asked, _| if samples(asked) > 100 { answer(413, "") } else { answer(204, &written(samples(asked))) });
    let outcome = output(&server.url, Version::V2, Access::default()).send(&chunk(&["a", "b", "c", "d"]));
    let taken: u64 = server.asked().iter().map(samples).filter(|count| *count <= 100).sum();
    assert_eq!(outcome, Outcome::Through { sent: taken, dropped: vec![] });
    assert!(server.asked().len() > 2);
}

#[test]
fn trouble_that_passes_is_waited_for_and_shows_no_secret() {
    let server = Server::new(|_, at| match at {
        0 => answer(503, "retry-after: 7\r\n"),
        _ => (401, String::new(), b"no  way\n".to_vec()),
    });
    let access = Access { user: Some("u".to_owned()), password: Some(Secret::new("canary")), ..Access::default() };
    let mut output = output(&server.url, Version::V2, access);
    let chunk = chunk(&["cart"]);
    assert_eq!(output.send(&chunk), Outcome::Again { after: Some(Duration::from_secs(7)), why: "503".to_owned() });
    let all = samples(&server.asked()[0]);
    let denied = Outcome::Denied { sent: 0, dropped: vec![("unauthorized", all)], why: "401 no way".to_owned() };
    assert_eq!(output.send(&chunk), denied, "whoever runs it can repair that");
    assert_eq!(server.asked()[0].body, server.asked()[1].body, "a call made again is the same");
    assert_eq!(server.asked()[0].header("authorization"), "Basic dTpjYW5hcnk=");
    let mut nobody = self::output("http://127.0.0.1:1/", Version::V2, Access { bearer: Some(Secret::new("canary")), ..Access::default() });
    let Outcome::Again { why, .. } = nobody.send(&chunk) else { panic!() };
    assert!(!why.contains("canary"), "{why}");
}

#[test]
fn a_token_in_a_file_may_change_while_it_runs() {
    let server = Server::new(|asked, _| answer(204, &written(samples(asked))));
    let file = std::env::temp_dir().join(format!("golden-token-{}", std::process::id()));
    std::fs::write(&file, "one\n").unwrap();
    let mut output = output(&server.url, Version::V2, Access { bearer_file: Some(file.clone()), ..Access::default() });
    output.send(&chunk(&["cart"]));
    std::fs::write(&file, "two\n").unwrap();
    output.send(&chunk(&["cart"]));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        server.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect::<Vec<_>>(),
        ["Bearer one", "Bearer two"]
    );
}

fn series(asked: &Asked) -> Vec<v1::TimeSeries> {
    v1::WriteRequest::decode(&*plain(asked)).unwrap().timeseries
}

fn is_bad(series: &v1::TimeSeries) -> bool {
    let has = |name: &str, value: &str| series.labels.iter().any(|label| label.name == name && label.value == value);
    has("service_name", "bad") && has("__name__", "golden_signals_requests_total")
}

#[test]
fn version_1_drops_the_bad_series_and_no_other() {
    let status = |asked: &Asked| if series(asked).iter().any(is_bad) { 400 } else { 204 };
    let server = Server::new(move |asked, _| answer(status(asked), ""));
    let outcome = output(&server.url, Version::V1, Access::default()).send(&chunk(&["a", "b", "bad", "c"]));
    let asked = server.asked();
    assert_eq!(asked[0].header("x-prometheus-remote-write-version"), "0.1.0");
    assert_eq!(asked[0].header("content-type"), "application/x-protobuf");
    let all = series(&asked[0]);
    let count = |all: &[v1::TimeSeries]| all.iter().map(|series| series.samples.len() as u64).sum::<u64>();
    let bad: Vec<v1::TimeSeries> = all.iter().filter(|series| is_bad(series)).cloned().collect();
    assert_eq!(outcome, Outcome::Through { sent: count(&all) - count(&bad), dropped: vec![("refused", count(&bad))] });
    let taken: Vec<v1::TimeSeries> = asked.iter().filter(|asked| status(asked) == 204).flat_map(series).collect();
    assert!(taken.iter().eq(all.iter().filter(|series| !is_bad(series))), "each of the others once, in order");
}

#[test]
fn a_receiver_that_refuses_everything_is_not_asked_about_each_series() {
    let server = Server::new(|_, _| answer(400, ""));
    let services: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    let outcome = output(&server.url, Version::V1, Access::default()).send(&chunk(&names));
    let Outcome::Through { sent: 0, dropped } = outcome else { panic!("{outcome:?}") };
    let all: u64 = series(&server.asked()[0]).iter().map(|series| series.samples.len() as u64).sum();
    assert_eq!(dropped.iter().map(|(_, count)| count).sum::<u64>(), all);
    assert!(server.asked().len() < 250, "{} calls", server.asked().len());
}

#[test]
fn what_was_taken_before_a_denial_is_not_counted_as_lost() {
    // Too large as one, the first half is taken, then the token ends.
    let server = Server::new(|asked, at| match at {
        0 => answer(413, ""),
        1 => answer(204, &written(samples(asked))),
        _ => answer(403, ""),
    });
    let outcome = output(&server.url, Version::V2, Access::default()).send(&chunk(&["a", "b"]));
    let (all, half) = (samples(&server.asked()[0]), samples(&server.asked()[1]));
    let Outcome::Denied { sent, dropped, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((sent, dropped), (half, vec![("forbidden", all - half)]));
}

/// Samples, native histograms and exemplars of a request.
fn content(asked: &Asked) -> (u64, u64, u64) {
    let request = v2::Request::decode(&*plain(asked)).unwrap();
    request.timeseries.iter().fold((0, 0, 0), |(samples, histograms, exemplars), series| {
        let (s, h, e) = (series.samples.len() as u64, series.histograms.len() as u64, series.exemplars.len() as u64);
        (samples + s, histograms + h, exemplars + e)
    })
}

#[test]
fn histograms_and_exemplars_are_counted_by_what_the_receiver_says_of_each() {
    for (lost_histograms, lost_exemplars) in [(0, 0), (1, 0), (0, 1), (2, 1)] {
        let server = Server::new(move |asked, _| {
            let (samples, histograms, exemplars) = content(asked);
            let of = |what: &str, count: u64| format!("X-Prometheus-Remote-Write-{what}-Written: {count}\r\n");
            let headers =
                [of("Samples", samples), of("Histograms", histograms - lost_histograms), of("Exemplars", exemplars - lost_exemplars)];
            answer(if lost_histograms > 0 { 400 } else { 204 }, &headers.concat())
        });
        let settings = RemoteWriteSettings {
            url: server.url.clone(),
            version: Version::V2,
            histograms: Histograms::Both,
            labels: BTreeMap::new(),
            http: Access::default(),
        };
        let outcome = RemoteWrite::new(&settings).unwrap().send(&chunk(&["traced"]));
        let (samples, histograms, exemplars) = content(&server.asked()[0]);
        assert!(samples > 10 && histograms == 2 && exemplars == 2, "{samples}, {histograms}, {exemplars}");
        let dropped = [("refused", lost_histograms), ("exemplars", lost_exemplars)].into_iter().filter(|(_, lost)| *lost > 0).collect();
        assert_eq!(outcome, Outcome::Through { sent: samples + histograms - lost_histograms, dropped });
    }
}

fn refused(labels: &[(&str, &str)], http: Access) -> String {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings =
        RemoteWriteSettings { url: "http://localhost/".to_owned(), version: Version::V2, histograms: Histograms::Both, labels, http };
    RemoteWrite::new(&settings).err().map(|why| why.to_string()).unwrap_or_default()
}

#[test]
fn labels_that_would_make_series_wrong_are_refused() {
    let none = Access::default;
    for (name, value) in [
        ("service_name", "x"),
        ("grouping", "x"),
        ("le", "x"),
        ("tenant", "x"),
        ("__name__", "x"),
        ("a", ""),
        ("", "x"),
        ("1a", "x"),
        ("a-b", "x"),
    ] {
        let why = refused(&[("fine", "x"), (name, value)], none());
        assert!(why.starts_with(&format!("outputs.remote_write.labels.{name}: ")), "{name}={value}: {why}");
    }
    assert_eq!(refused(&[("cluster", "eu"), ("job", "golden"), ("_A1", "ü")], none()), "");
}

#[test]
fn headers_that_calls_have_already_are_refused() {
    let with = |header: &str, value: &str| Access { headers: [(header.to_owned(), Secret::new(value))].into(), ..Access::default() };
    for header in ["Content-Type", "content-encoding", "X-Prometheus-Remote-Write-Version", "Host", "User-Agent", "bad name", ""] {
        let why = refused(&[], with(header, "canary"));
        assert!(why.starts_with(&format!("outputs.remote_write.http.headers: `{header}` ")) && !why.contains("canary"), "{header}: {why}");
    }
    let split = refused(&[], with("x-a", "b\r\nx-c: canary"));
    assert!(split.contains("no header can have") && !split.contains("canary"), "{split}");
    let twice = Access { bearer: Some(Secret::new("canary")), ..with("Authorization", "Bearer other") };
    assert!(refused(&[], twice).contains("`Authorization` is given by bearer"));
    let same = [("X-A".to_owned(), Secret::new("1")), ("x-a".to_owned(), Secret::new("2"))].into();
    assert!(refused(&[], Access { headers: same, ..Access::default() }).contains("given twice"));
    assert_eq!(refused(&[], with("X-Scope-OrgID", "team-a")) + &refused(&[], with("Authorization", "Custom a")), "");
}
