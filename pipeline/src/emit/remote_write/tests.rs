//! Requests as a receiver reads them.

use super::*;
use crate::emit::scrape::push::tests::{Log, Sink};
use platform_runtime::memory::MemoryStore;

fn chunks(log: &Log) -> Vec<Samples> {
    let mut sink = Sink::new(MemoryStore::default(), &[], 0);
    sink.read(log);
    sink.send().iter().map(|chunk| Samples::decode(&chunk.body).unwrap()).collect()
}

/// Three windows: one service, an error in the second, nothing but health in the third.
fn log() -> Log {
    let mut log = Log::default();
    log.result("cart", 10, 0, 3, &[]);
    log.progress(10);
    log.result("cart", 11, 0, 2, &["timeout"]);
    log.progress(11);
    log.result("cart", 12, 0, 0, &[]);
    log.progress(12);
    log
}

fn shown(classic: bool, native: bool) -> Shown {
    Shown { classic, native, labels: [("cluster".to_owned(), "eu".to_owned())].into(), ..Shown::default() }
}

fn read(request: &Request) -> v2::Request {
    let plain = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    v2::Request::decode(&*plain).unwrap()
}

/// `name{label=value,…}` of a series.
fn name(request: &v2::Request, series: &v2::TimeSeries) -> String {
    let text = |number: u32| request.symbols[number as usize].as_str();
    let labels: Vec<(&str, &str)> = series.labels_refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
    assert!(labels.windows(2).all(|two| two[0].0 < two[1].0), "sorted by name, and no name twice: {labels:?}");
    assert!(labels.iter().all(|(_, value)| !value.is_empty()), "an empty value is no label: {labels:?}");
    let rest = labels.iter().skip(1).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
    format!("{}{{{rest}}}", labels[0].1)
}

/// Value, ms, start of the samples of the one series with this name.
fn samples(request: &v2::Request, wanted: &str) -> Vec<(f64, i64, i64)> {
    let mut found = request.timeseries.iter().filter(|series| name(request, series) == wanted);
    let series = found.next().unwrap_or_else(|| panic!("{wanted} is not there"));
    assert!(found.next().is_none(), "{wanted} is there twice");
    series.samples.iter().map(|sample| (sample.value, sample.timestamp, sample.start_timestamp)).collect()
}

const CART: &str = "cluster=eu,grouping=service,service_name=cart";

#[test]
fn a_request_has_each_series_once_with_event_time_and_a_zero_where_it_begins() {
    let chunks = chunks(&log());
    let first = read(&encode_v2(&chunks[0], &shown(true, false)));
    let requests = format!("golden_signals_requests_total{{{CART}}}");
    assert_eq!(samples(&first, &requests), [(0.0, 600_000, 600_000), (3.0, 660_000, 600_000)]);
    assert_eq!(samples(&first, &format!("golden_signals_availability_ratio{{{CART}}}")), [(1.0, 660_000, 0)]);
    let second = read(&encode_v2(&chunks[1], &shown(true, false)));
    assert_eq!(samples(&second, &requests), [(6.0, 720_000, 600_000)]);
    let timeout = "golden_signals_errors_total{cluster=eu,error_type=timeout,grouping=service,service_name=cart}";
    assert_eq!(samples(&second, timeout), [(0.0, 660_000, 600_000), (1.0, 720_000, 600_000)]);
    assert_eq!(first.symbols[0], "");
}

#[test]
fn a_label_that_a_series_has_itself_is_not_given_once_more() {
    let chunks = chunks(&log());
    let shown = Shown { labels: [("service_name".to_owned(), "x".to_owned())].into(), ..shown(true, true) };
    let request = read(&encode_v2(&chunks[0], &shown));
    assert_eq!(samples(&request, "golden_signals_requests_total{grouping=service,service_name=cart}").len(), 2);
    // Looks at the names of all others.
    request.timeseries.iter().for_each(|series| drop(name(&request, series)));
}

#[test]
fn the_receiver_is_told_how_much_to_expect_and_what_it_is() {
    let chunks = chunks(&log());
    let request = encode_v2(&chunks[1], &shown(true, true));
    let read = read(&request);
    let samples: usize = read.timeseries.iter().map(|series| series.samples.len()).sum();
    let histograms: usize = read.timeseries.iter().map(|series| series.histograms.len()).sum();
    assert_eq!(request.content, Content { samples: samples as u64, histograms: histograms as u64, exemplars: 0 });
    for series in &read.timeseries {
        let metadata = series.metadata.unwrap();
        let name = name(&read, series);
        let wanted = match name.split_once('{').unwrap().0 {
            name if name.ends_with("_total") => v2::COUNTER,
            name if name.contains("_seconds") => v2::HISTOGRAM,
            _ => v2::GAUGE,
        };
        assert_eq!(metadata.r#type, wanted, "{name}");
        assert!(!read.symbols[metadata.help_ref as usize].is_empty());
    }
}

#[test]
fn classic_buckets_are_cumulative_and_end_with_all() {
    let chunks = chunks(&log());
    let request = read(&encode_v2(&chunks[1], &shown(true, false)));
    let of = |suffix: &str, le: &str| {
        let name =
            format!("golden_signals_request_duration_seconds{suffix}{{cluster=eu,grouping=service,{le}outcome=ok,service_name=cart}}");
        samples(&request, &name).last().unwrap().0
    };
    assert_eq!((of("_bucket", "le=0.01,"), of("_bucket", "le=0.025,"), of("_bucket", "le=+Inf,")), (0.0, 5.0, 5.0));
    assert_eq!((of("_count", ""), of("_sum", "")), (5.0, 0.1));
}

#[test]
fn a_gauge_without_a_value_gets_the_stale_marker() {
    let chunks = chunks(&log());
    let request = read(&encode_v2(&chunks[2], &shown(true, false)));
    let [(value, at, 0)] = samples(&request, &format!("golden_signals_availability_ratio{{{CART}}}"))[..] else { panic!("one sample") };
    assert_eq!((value.to_bits(), at), (STALE, 780_000));
}

#[test]
fn a_series_that_ended_is_stale_in_all_its_parts_behind_its_last_sample() {
    let mut log = log();
    for minute in 13..25 {
        log.result("other", minute, 0, 1, &[]);
        log.progress(minute);
    }
    let chunks = chunks(&log);
    let request = read(&encode_v2(chunks.last().unwrap(), &shown(true, true)));
    let of_cart: Vec<_> = request.timeseries.iter().filter(|series| name(&request, series).contains("cart")).collect();
    assert!(of_cart.len() > 30);
    for series in of_cart {
        let stale = |value: f64, at: i64| value.to_bits() == STALE && at == 24 * 60_000 + 1;
        assert!(series.samples.iter().all(|sample| stale(sample.value, sample.timestamp)));
        assert!(series.histograms.iter().all(|histogram| stale(histogram.sum, histogram.timestamp)));
        assert_eq!(series.samples.len() + series.histograms.len(), 1);
    }
}

#[test]
fn both_versions_say_the_same() {
    for samples in chunks(&log()) {
        let two = read(&encode_v2(&samples, &shown(true, true)));
        let one = encode_v1(&samples, &shown(true, true));
        let packed = snap::raw::Decoder::new().decompress_vec(&pack_v1(&one)).unwrap();
        let one = v1::WriteRequest::decode(&*packed).unwrap().timeseries;
        assert_eq!(one.len(), two.timeseries.len());
        for (one, series) in one.iter().zip(&two.timeseries) {
            let labels = one.labels.iter().skip(1).map(|label| format!("{}={}", label.name, label.value)).collect::<Vec<_>>().join(",");
            assert_eq!(format!("{}{{{labels}}}", one.labels[0].value), name(&two, series));
            let plain = |value: f64, at: i64| (value.to_bits(), at);
            assert!(one.samples.iter().map(|s| plain(s.value, s.timestamp)).eq(series.samples.iter().map(|s| plain(s.value, s.timestamp))));
            assert_eq!(one.histograms.len(), series.histograms.len());
        }
    }
}

#[test]
fn a_new_beginning_puts_its_zeros_behind_the_samples_of_the_one_before() {
    let mut samples = chunks(&log()).remove(0);
    samples.incarnation = 2;
    let request = read(&encode_v2(&samples, &shown(false, false)));
    let wanted = format!("golden_signals_requests_total{{{CART}}}");
    assert_eq!(self::samples(&request, &wanted), [(0.0, 600_001, 600_000), (3.0, 660_000, 600_000)]);
}

#[test]
fn names_of_other_tools_go_with_a_series_from_its_zero_to_its_end() {
    let mut log = Log::default();
    log.result_of("shop", Some("GET /carts/{id}"), 10, 0, 3, &["503"]);
    log.result("shop", 10, 0, 3, &["503"]);
    log.progress(10);
    log.result_of("shop", Some("GET /carts/{id}"), 11, 0, 1, &[]);
    log.progress(11);
    for minute in 12..24 {
        log.result("shop", minute, 0, 1, &[]);
        log.progress(minute);
    }
    let compatibility = Compatibility { http_server: true, rpc_server: true, spanmetrics: true, span_metrics: true };
    let all = chunks(&log);
    let of = |n: usize| read(&encode_v2(&all[n], &Shown { compatibility, ..shown(true, false) }));
    let (first, second) = (of(0), of(1));
    let http = "http_server_request_duration_seconds_count{cluster=eu,http_request_method=GET,http_route=/carts/{id},service_name=shop}";
    assert_eq!(samples(&first, http), [(0.0, 600_000, 600_000), (3.0, 660_000, 600_000)]);
    assert_eq!(samples(&second, http), [(4.0, 720_000, 600_000)]);
    let span = "service_name=shop,span_kind=SPAN_KIND_SERVER,span_name=GET /carts/{id},status_code=STATUS_CODE";
    assert_eq!(samples(&second, &format!("traces_span_metrics_calls_total{{cluster=eu,{span}_UNSET}}")), [(4.0, 720_000, 600_000)]);
    assert_eq!(samples(&second, &format!("traces_span_metrics_calls_total{{cluster=eu,{span}_ERROR}}")), [(1.0, 720_000, 600_000)]);
    let tempo = "service=shop,span_kind=SPAN_KIND_SERVER,span_name=GET /carts/{id},status_code=STATUS_CODE";
    assert_eq!(samples(&first, &format!("traces_spanmetrics_calls_total{{cluster=eu,{tempo}_UNSET}}")).last().unwrap().0, 3.0);
    assert_eq!(samples(&first, &format!("traces_spanmetrics_latency_sum{{cluster=eu,{tempo}_ERROR}}")).last().unwrap().0, 0.02);
    let last = all.iter().enumerate().find(|(_, samples)| samples.entries.iter().any(|entry| entry.kind() == Kind::Ended)).unwrap();
    let ended = samples(&of(last.0), http);
    assert_eq!(ended.iter().map(|(value, ..)| value.to_bits()).collect::<Vec<_>>(), [STALE]);
    // They are off unless somebody wants them, and of operations only.
    assert!(!first.timeseries.iter().any(|series| name(&first, series).starts_with("rpc_")));
    let plain = read(&encode_v2(&all[0], &shown(true, false)));
    let others = |request: &v2::Request| request.timeseries.iter().filter(|series| !name(request, series).starts_with("golden_")).count();
    assert_eq!((others(&plain), others(&first) > 20), (0, true));
}
