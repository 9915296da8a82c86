//! The description of the API, made from the handlers themselves. A copy lies beside this file; a test holds the two together.

use crate::{api, ingest, ops};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "golden-signals",
        version = "1",
        description = "Availability, requests, errors, latency and health of every service, exactly once, in event time.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        ingest::events,
        ingest::traces,
        ingest::metrics,
        ingest::remote_write,
        ingest::zipkin,
        api::page::page,
        api::services::services,
        api::signals::signals,
        api::health::health,
        api::range::range,
        api::heatmap::heatmap,
        api::timeline::timeline,
        api::exemplars::exemplars,
        api::stream::stream,
        api::value::value,
        api::explain::explain,
        api::slo::of_service,
        api::slo::fleet,
        api::late::late,
        api::dead_letters::dead_letters,
        api::overrides::overrides,
        api::overrides::of_service,
        api::backtest::backtest,
        api::shadow::shadow,
        api::router::status,
        api::router::flip,
        api::router::rollback,
        api::router::hold,
        api::router::receipt,
        api::router::diff,
        api::router::log,
        api::status::status,
        api::history::history,
        ops::metrics,
        ops::healthy,
        ops::ready
    ),
    tags(
        (name = "signals", description = "What was computed"),
        (name = "slo", description = "What services promise"),
        (name = "overrides", description = "What teams decide for their services"),
        (name = "router", description = "Which deployment is forwarded"),
        (name = "ingest", description = "Events in"),
        (name = "operation", description = "The program itself")
    )
)]
struct Description;

/// The document, as text.
pub(crate) fn json() -> String {
    Description::openapi().to_pretty_json().expect("a description made of plain values is JSON")
}
