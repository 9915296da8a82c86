//! The JSON API, version 1: what was published, read from the history; dead letters, read from their topic.
//!
//! Nothing here changes anything but which deployment the router forwards. Unknown query parameters are refused, so that a misspelt one is not silently passed over.

mod asked;
pub(crate) mod backtest;
pub(crate) mod dead_letters;
pub(crate) mod exemplars;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod heatmap;
pub(crate) mod history;
pub(crate) mod late;
pub(crate) mod overrides;
pub(crate) mod page;
mod params;
pub(crate) mod range;
mod record;
pub(crate) mod router;
pub(crate) mod services;
pub(crate) mod shadow;
pub(crate) mod signals;
pub(crate) mod slo;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod timeline;
pub(crate) mod value;

use crate::problem::Problem;
use crate::state::AppState;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use golden_pipeline::history::{History, ServiceNow};
use params::nearest;

/// Runs what blocks on a thread that may. It keeps the request's place until it is done, even when the client goes away before that.
async fn blocking<T: Send + 'static>(
    state: AppState,
    work: impl FnOnce(&AppState) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let place = crate::crowd::place_of_this_request();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&state)
    })
    .await?
}

fn service_name(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(name)| name).map_err(|_| Problem::bad_request("the service's name is not percent-encoded UTF-8"))
}

/// The service of a name, in the namespace asked for; without one, the only one there is.
fn find_service(history: &History, name: &str, namespace: Option<&str>) -> Result<ServiceNow, Problem> {
    let mut named = history.named(crate::TENANT, name)?;
    if named.is_empty() {
        let services = history.services()?;
        let names = nearest(name, services.iter().map(|s| &*s.key.service));
        let detail = if services.is_empty() {
            format!("there is no service {name:?}, and no other yet: a service appears when its first window closes")
        } else {
            format!("there is no service {name:?}: GET /api/v1/services lists all")
        };
        return Err(Problem::not_found(detail).with_suggestions(names));
    }
    let namespaces: Vec<String> = named.iter().map(|s| s.key.namespace.clone()).collect();
    let at = match namespace {
        Some(wanted) => namespaces.iter().position(|n| n == wanted),
        None if named.len() == 1 => Some(0),
        None => {
            let detail = format!("{name:?} is in several namespaces: add ?namespace=…, one of {namespaces:?}");
            return Err(Problem::bad_request(detail).with_suggestions(namespaces));
        }
    };
    match at {
        Some(at) => Ok(named.swap_remove(at)),
        None => Err(Problem::not_found(format!("{name:?} is not in that namespace")).with_suggestions(namespaces)),
    }
}
