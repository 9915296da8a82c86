//! The demo as teams see it: in a real Prometheus, by every query of the dashboards and rules, and by the pages of a real Alertmanager.

use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;

#[test]
fn prometheus_has_the_requests_of_every_service_of_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut service = Service::start(&["--demo", "--data", &data], None);
    let target = format!("golden-signals={}/metrics", service.url.trim_start_matches("http://"));
    let prometheus = Prometheus::start(&["--interval", "1s", "--scrape", &target]);
    eventually("all services have requests", 60, || {
        prometheus.value(r#"count(golden_signals_requests_total{grouping="service"} > 0)"#).is_some_and(|count| count >= 8.0)
    });
    assert!(service.stop(), "it stops in order");
}
