//! Which form of the metrics a scrape asks for, by `Accept`, and whether it may be packed, by `Accept-Encoding`.
//!
//! The greatest `q` wins, the first of several with the same. What cannot be had is passed over: a version that is not ours, or protobuf
//! that is not delimited. Whoever accepts nothing of ours gets text 0.0.4, as Prometheus' own libraries do.

use golden_pipeline::emit::prometheus::Format;

/// The form to answer in.
pub(crate) fn format(accept: &str) -> Format {
    let mut best = (0.0, Format::Text);
    for (offered, q) in choices(accept) {
        if let Some(format) = of(offered).filter(|_| q > best.0) {
            best = (q, format);
        }
    }
    best.1
}

/// Whether gzip is welcome.
pub(crate) fn gzip(accept_encoding: &str) -> bool {
    let named = |name| {
        choices(accept_encoding).find(|(offered, _)| offered.split(';').next().is_some_and(|of| of.trim().eq_ignore_ascii_case(name)))
    };
    named("gzip").or_else(|| named("*")).is_some_and(|(_, q)| q > 0.0)
}

/// Each choice with its parameters, and its `q`.
fn choices(header: &str) -> impl Iterator<Item = (&str, f64)> {
    header.split(',').map(str::trim).filter(|choice| !choice.is_empty()).map(|choice| {
        let q = parameters(choice).find(|(name, _)| name.eq_ignore_ascii_case("q")).map_or(1.0, |(_, q)| q.parse().unwrap_or(0.0));
        (choice, q)
    })
}

fn parameters(choice: &str) -> impl Iterator<Item = (&str, &str)> {
    choice
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
}

fn of(choice: &str) -> Option<Format> {
    let says = |name: &str, wanted: &str, unless_said: bool| {
        parameters(choice).find(|(said, _)| said.eq_ignore_ascii_case(name)).map_or(unless_said, |(_, value)| value == wanted)
    };
    match choice.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/vnd.google.protobuf" => {
            let ours = says("proto", "io.prometheus.client.MetricFamily", false) && says("encoding", "delimited", false);
            ours.then_some(Format::Protobuf)
        }
        "application/openmetrics-text" => says("version", "1.0.0", true).then_some(Format::OpenMetrics),
        "text/plain" => says("version", "0.0.4", true).then_some(Format::Text),
        "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    #[test]
    fn prometheus_gets_what_it_likes_best() {
        let native = format!(
            "{PROTOBUF};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
        assert_eq!(format(&native), Format::Protobuf);
        let usual = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format(usual), Format::OpenMetrics);
        assert_eq!(format("text/plain;version=0.0.4;q=0.3,application/openmetrics-text;q=0.2"), Format::Text);
    }

    #[test]
    fn whoever_asks_for_nothing_of_ours_gets_text() {
        let odd = [
            "",
            "*/*",
            "text/html",
            "application/openmetrics-text;version=0.0.1",
            "application/vnd.google.protobuf",
            "text/plain;q=x",
            ",;=",
        ];
        odd.iter().for_each(|accept| assert_eq!(format(accept), Format::Text, "{accept}"));
        assert_eq!(format(&format!("{PROTOBUF};q=0, text/*;q=0.1")), Format::Text, "q=0 is a refusal");
        assert_eq!(format(&format!("text/plain;q=0.5, {}", PROTOBUF.replace(';', " ; "))), Format::Protobuf);
        assert_eq!(format("Application/OpenMetrics-Text; Version=\"1.0.0\""), Format::OpenMetrics);
    }

    #[test]
    fn gzip_is_used_when_it_is_welcome() {
        assert!(gzip("gzip") && gzip("deflate, GZIP;q=0.5") && gzip("*"));
        assert!(!gzip("") && !gzip("identity") && !gzip("gzip;q=0, *") && !gzip("br;q=1"));
    }
}
