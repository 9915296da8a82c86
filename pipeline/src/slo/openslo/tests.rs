use super::*;

const FILE: &str = r#"
apiVersion: openslo/v1
kind: Service
metadata: {name: cart}
spec: {description: a cart}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: cart-good}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{code!~"5.."}[5m]))'}}}
    total: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total[5m]))'}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: cart-availability}
spec:
  service: cart
  indicatorRef: cart-good
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: good, target: 0.999}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: cart-latency}
spec:
  service: cart
  indicator:
    metadata: {name: fast}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_request_duration_seconds_bucket{le="0.25"}[5m]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_request_duration_seconds_count[5m]))'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{targetPercent: 99.5}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: search-latency}
spec:
  service: search
  indicator: {metadata: {name: p}, spec: {thresholdMetric: {metricSource: {spec: {query: latency}}}}}
  timeWindow: [{duration: 1M, isRolling: false, calendar: {startTime: 2024-01-01 00:00:00, timeZone: UTC}}]
  objectives: [{op: lte, value: 1, target: 0.95}]
"#;

fn refused(change: impl FnOnce(String) -> String) -> String {
    let import = read(&change(FILE.to_owned())).unwrap();
    assert_eq!(import.refused.len(), 1, "{import:?}");
    import.refused[0].reason.clone()
}

#[test]
fn ratios_and_thresholds_become_objectives() {
    let import = read(FILE).unwrap();
    assert_eq!(import.refused, []);
    let cart = Imported { availability: Some(99.9), latency: Some((250.0, 99.5)), period: Some(Period::Days(28)) };
    let search = Imported { availability: None, latency: Some((1000.0, 95.0)), period: Some(Period::Month) };
    assert_eq!(import.services, BTreeMap::from([("cart".to_owned(), cart.clone()), ("search".to_owned(), search)]));
    let file = format!("owner: shop\n{}", section(&cart));
    let read = golden_overrides::file::check("shop/cart.yaml", file.as_bytes());
    let objectives = read.result.unwrap_or_else(|| panic!("{file}\n{:?}", read.diagnostics)).objectives;
    assert_eq!((objectives.availability, objectives.period), (Some(99.9), Period::Days(28)));
    assert_eq!(objectives.latency.map(|latency| (latency.threshold_ms, latency.share)), Some((250.0, 99.5)));
}

#[test]
fn what_cannot_be_expressed_is_refused_with_its_reason() {
    for (from, to, reason) in [
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "time slices"),
        ("target: 0.999", "target: 1", "above 0 and below 100"),
        ("le=\"0.25\"", "le=\"0.3\"", "no bound of the latency buckets"),
        ("duration: 4w", "duration: 1y", "1 to 90 whole days"),
        ("timeZone: UTC", "timeZone: Europe/Berlin", "not of Europe/Berlin"),
        ("duration: 1M", "duration: 1Y", "1w, 1M or 1Q"),
        ("op: lte", "op: gt", "`lte`"),
        ("indicatorRef: cart-good", "indicatorRef: gone", "no such SLI"),
        ("service: search", "service: cart", "latency already"),
        ("kind: Service", "kind: Servise", "unknown kind"),
        ("duration: 28d", "duration: 30d", "another period"),
        ("[{targetPercent: 99.5}]", "[{targetPercent: 99.5}, {targetPercent: 99}]", "2 objectives"),
    ] {
        let said = refused(|file| file.replacen(from, to, 1));
        assert!(said.contains(reason), "{to}: {said}");
    }
    assert!(refused(|file| file.replacen("openslo/v1", "openslo/v1alpha", 1)).contains("only openslo/v1"));
    assert!(read("a: [").is_err());
}

#[test]
fn a_section_takes_the_place_of_the_one_before_and_nothing_else_changes() {
    let file = "# cart\nowner: shop\nobjectives:\n  availability: 99%\n\n  # old\n  period: week\n\nhealth: '0'\n";
    assert_eq!(with_section(file, "objectives:\n  x: 1\n"), "# cart\nowner: shop\nobjectives:\n  x: 1\n\n\nhealth: '0'\n");
    assert_eq!(with_section("owner: shop", "objectives:\n"), "owner: shop\nobjectives:\n");
    assert_eq!(with_section("objectives: {availability: 99}\nowner: a\n", "objectives:\n"), "objectives:\nowner: a\n");
}
