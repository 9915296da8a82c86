//! Selectors of queries, spelled in one place.
//!
//! Groupings repeat the same requests, so every selector of a signal names one. A query is written with the grouping alone in its braces,
//! `golden_signals_requests_total{service}`, `…{service_operation,operation="GET /"}`, and gets the dashboard's filters here.

/// What stands in for the name of a grouping, and the selector it means.
const SELECTORS: [(&str, &str); 9] = [
    ("fleet", r#"grouping="service",tenant=~"$tenant",deployment_environment_name=~"$env""#),
    ("service", r#"grouping="service",tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    ("service_operation", r#"grouping="service_operation",tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    ("service_region", r#"grouping="service_region",tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    ("service_place", r#"grouping="service_place",tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    ("service_host", r#"grouping="service_host",tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    // Counters and facts of a service that no grouping divides.
    ("of_service", r#"tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service""#),
    ("fleet_of", r#"tenant=~"$tenant",deployment_environment_name=~"$env""#),
    // What the program says of itself.
    ("own", r#"deployment_environment_name=~"$env""#),
];

/// The query with its selectors spelled out.
#[must_use]
pub fn spelled(query: &str) -> String {
    let mut text = query.to_owned();
    for (name, selector) in SELECTORS {
        for end in ["}", ","] {
            text = text.replace(&format!("{{{name}{end}"), &format!("{{{selector}{end}"));
        }
    }
    text
}

/// The quantile of durations in seconds, from native histograms, and from classic buckets where a store has none.
///
/// Native ones are exact to about 1 %, classic ones to the next of 14 bounds; which of them a scrape brings is the scraper's to choose, so a
/// panel must answer with either. `by` are the labels that stay, `selector` as for [`spelled`].
#[must_use]
pub fn quantile(q: &str, by: &str, selector: &str) -> String {
    let name = "golden_signals_request_duration_seconds";
    let (native, classic) =
        if by.is_empty() { ("sum".to_owned(), "sum by (le)".to_owned()) } else { (format!("sum by ({by})"), format!("sum by ({by}, le)")) };
    format!(
        "histogram_quantile({q}, {native} (rate({name}{{{selector}}}[$__rate_interval])))\n\
         or histogram_quantile({q}, {classic} (rate({name}_bucket{{{selector}}}[$__rate_interval])))"
    )
}

/// The health of services by name: 0–3, and 4 for unknown, which has no level.
#[must_use]
pub fn health(by: &str, selector: &str) -> String {
    format!(
        "max by ({by}) (golden_signals_health_level{{{selector}}})\n\
         or max by ({by}) (golden_signals_health_state{{{selector},state=\"unknown\"}} == 1) + 3"
    )
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn a_grouping_in_braces_becomes_its_selector() {
        assert_eq!(spelled("x{own}"), r#"x{deployment_environment_name=~"$env"}"#);
        assert_eq!(spelled(r#"x{own,a="1"}"#), r#"x{deployment_environment_name=~"$env",a="1"}"#);
        assert!(spelled("x{service_operation}").contains(r#"grouping="service_operation""#));
    }
}
