//! The description of the API, made from the handlers themselves. A copy lies beside this file; a test holds the two together.

use crate::crowd::Kind;
use crate::{api, ingest, ops};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    modifiers(&Refusals),
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

/// Adds what every route of the API may answer: 400, for one, to a parameter that it does not know; 429, since it is counted for its client
/// (`crowd.rs`); and 503 where questions wait for their turn.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut description.paths.paths {
            let all = [&mut item.get, &mut item.post].into_iter().flatten();
            for operation in all.filter(|of| of.tags.iter().flatten().all(|tag| tag != "ingest") && path.starts_with("/api/")) {
                let mut add = |status: &str, why| {
                    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refusal(why)));
                };
                add("400", "The request cannot be understood: `detail` says why");
                add("429", "The client has as much under way as it may have: `detail` says what, `Retry-After` when to come again");
                if matches!(Kind::of(path), Kind::Query(_)) {
                    add(
                        "503",
                        "Other questions are being answered, or nothing can be read just now: `Retry-After` says when to come again",
                    );
                }
            }
        }
    }
}

fn refusal(why: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(why).content("application/problem+json", content).build()
}

/// The document, as text.
pub(crate) fn json() -> String {
    Description::openapi().to_pretty_json().expect("a description made of plain values is JSON")
}
