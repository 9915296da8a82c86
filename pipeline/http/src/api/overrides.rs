//! `GET /api/v1/overrides` and below: which version is in force, since when, made by whom, and what was refused.
//!
//! Read from what this process has seen of the control log; nothing is asked of the place where bundles are published.

use super::params::{Params, nearest};
use super::service_name;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_overrides::file::Override;
use golden_pipeline::overrides::activation::Activation;
use golden_pipeline::overrides::rules::Timeline;
use platform_core::time::EventTime;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use utoipa::ToSchema;

/// All that is known of overrides.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overrides {
    /// Version in force now; null while the default rules are.
    pub in_force: Option<u64>,
    /// How polls for new versions go.
    pub polls: Polls,
    /// Versions that a window which is kept can ask for, oldest first.
    pub versions: Vec<Version>,
    /// Services that have an override in the newest version.
    pub services: Vec<Service>,
}

/// How polls for new versions go in this process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Polls {
    /// Where bundles are published; empty in a process that does not poll.
    pub place: String,
    /// When a poll last succeeded, RFC 3339.
    pub last_success: Option<String>,
    /// Since when polls fail, RFC 3339; null when the last one did not.
    pub failing_since: Option<String>,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// One version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Its number.
    pub version: u64,
    /// SHA-256 of the bundle as it was published.
    pub bundle: String,
    /// Start of the first window that it can be in force in, RFC 3339.
    pub from_window: String,
    /// Who published it, as they said.
    pub published_by: String,
    /// When, as they said.
    pub published_at: String,
    /// The commit that it was made from, as they said; may be empty.
    pub commit: String,
    /// An older version whose content this is.
    pub rollback_of: Option<u64>,
    /// Overrides in force.
    pub overrides: usize,
    /// Overrides that are tried beside those in force.
    pub shadows: usize,
    /// Files that were refused; their services keep what they had.
    pub rejected: Vec<Rejected>,
}

/// A file that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rejected {
    /// Path below the folder of overrides.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// An override of a service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Service {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// Team, from the path of the file.
    pub team: String,
    /// Who answers for it.
    pub owner: String,
    /// SHA-256 of the file, as records name it.
    pub sha256: String,
    /// Whether another file is tried beside it.
    pub has_shadow: bool,
}

/// The overrides of one service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfService {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// File by version, oldest first; a version that changed nothing for the service is left out.
    pub files: Vec<File>,
    /// The file that is tried in the newest version, if there is one.
    pub shadow: Option<File>,
    /// The service's file was refused in the newest version.
    pub rejected: Option<Rejected>,
}

/// A file and since when it counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct File {
    /// First version with it.
    pub version: u64,
    /// Start of the first window that it can be in force in, RFC 3339.
    pub from_window: String,
    /// Who published that version, as they said.
    pub published_by: String,
    /// When, as they said.
    pub published_at: String,
    /// Path below the folder of overrides; empty from where on the service has no file.
    pub path: String,
    /// SHA-256 of the file; empty when there is none.
    pub sha256: String,
    /// The file.
    pub content: String,
    /// What this file changed, line by line: against the one before in `files`; of a trial, against what is in force.
    pub diff: Vec<DiffLine>,
}

/// A line of a file or of the one before it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DiffLine {
    /// What became of it.
    pub change: LineChange,
    /// The line, without its end.
    pub text: String,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineChange {
    /// It stands in both.
    Kept,
    /// It came.
    Added,
    /// It went.
    Removed,
}

/// How a file came to be out of the one before it.
fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let change = |tag| match tag {
        ChangeTag::Equal => LineChange::Kept,
        ChangeTag::Insert => LineChange::Added,
        ChangeTag::Delete => LineChange::Removed,
    };
    let line = |text: &str| text.trim_end_matches(['\r', '\n']).to_owned();
    TextDiff::from_lines(before, after).iter_all_changes().map(|of| DiffLine { change: change(of.tag()), text: line(of.value()) }).collect()
}

/// Gives which version of overrides is in force, which come, and what was refused.
#[utoipa::path(
    get, path = "/api/v1/overrides", tag = "overrides",
    responses(
        (status = 200, body = Overrides),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn overrides(State(state): State<AppState>, uri: Uri) -> Result<Json<Overrides>, Problem> {
    Params::of(&uri, &[])?;
    let parts = &state.inner().parts;
    let (timeline, polls) = (parts.board.timeline(), parts.board.polls());
    let now = EventTime(parts.clock.wall());
    let time = |nanos: i64| rfc3339(EventTime(nanos));
    let newest = timeline.versions().last();
    let service = |newest: &Activation, found: &Override| Service {
        service: found.service.clone(),
        namespace: found.namespace.clone(),
        team: found.team.clone(),
        owner: found.owner.clone(),
        sha256: found.sha256.clone(),
        has_shadow: newest.shadow(&found.namespace, &found.service).is_some(),
    };
    Ok(Json(Overrides {
        in_force: timeline.in_force(now).map(|version| version.said.version),
        polls: Polls {
            place: polls.place,
            last_success: polls.last_success.map(time),
            failing_since: polls.failing.as_ref().map(|(since, _)| time(*since)),
            error: polls.failing.map(|(_, why)| why),
        },
        versions: timeline.versions().iter().map(|version| version_of(version)).collect(),
        services: newest.iter().flat_map(|newest| newest.live().iter().map(move |found| service(newest, found))).collect(),
    }))
}

/// Gives the override of a service: its file in each version that changed it.
#[utoipa::path(
    get, path = "/api/v1/overrides/{service}", tag = "overrides",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("namespace" = Option<String>, Query, description = "Namespace of the service; empty unless told"),
    ),
    responses(
        (status = 200, body = OfService),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn of_service(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<OfService>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["namespace"])?;
    let namespace = params.text("namespace").unwrap_or_default();
    let timeline = state.inner().parts.board.timeline();
    let files = files_of(&timeline, namespace, &service);
    let newest = timeline.versions().last();
    let before = files.last().map_or("", |file| &file.content);
    let shadow = newest.and_then(|newest| Some(file(newest, newest.shadow(namespace, &service)?, newest.shadow_files(), before)));
    let path_of = |found: &str| found.rsplit('/').next().and_then(|name| name.strip_suffix(".yaml")) == Some(&*service);
    let rejected = newest.and_then(|newest| newest.said.rejected.iter().find(|r| path_of(&r.path)));
    if files.is_empty() && shadow.is_none() && rejected.is_none() {
        let known = timeline.versions().iter().flat_map(|version| version.live()).map(|found| found.service.as_str());
        let detail = format!("{service:?} has no override in this namespace: the default rules are in force");
        return Err(Problem::not_found(detail).with_suggestions(nearest(&service, known)));
    }
    let rejected = rejected.map(rejected_of);
    Ok(Json(OfService { service, namespace: namespace.to_owned(), files, shadow, rejected }))
}

fn version_of(version: &Activation) -> Version {
    let said = &version.said;
    Version {
        version: said.version,
        bundle: said.bundle.clone(),
        from_window: rfc3339(version.from),
        published_by: said.published_by.clone(),
        published_at: said.published_at.clone(),
        commit: said.commit.clone(),
        rollback_of: said.rollback_of,
        overrides: version.live().len(),
        shadows: version.shadows().len(),
        rejected: said.rejected.iter().map(rejected_of).collect(),
    }
}

fn rejected_of(rejected: &golden_pipeline::overrides::record::Rejected) -> Rejected {
    Rejected { path: rejected.path.clone(), line: rejected.line, reason: rejected.reason.clone() }
}

/// The service's file in each version that changed it.
fn files_of(timeline: &Timeline, namespace: &str, service: &str) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for version in timeline.versions() {
        let found = version.find(namespace, service).map(|(_, found)| found);
        let sha256 = found.map_or("", |found| &found.sha256);
        if files.last().map_or("", |last| &last.sha256) == sha256 {
            continue;
        }
        let before = files.last().map_or("", |file| &file.content);
        let next = match found {
            Some(found) => file(version, found, version.files(), before),
            None => File {
                version: version.said.version,
                from_window: rfc3339(version.from),
                published_by: version.said.published_by.clone(),
                published_at: version.said.published_at.clone(),
                path: String::new(),
                sha256: String::new(),
                content: String::new(),
                diff: diff(before, ""),
            },
        };
        files.push(next);
    }
    files
}

fn file(version: &Activation, found: &Override, files: &golden_overrides::archive::Files, before: &str) -> File {
    let of = |(path, content): (&String, &Vec<u8>)| (path.clone(), String::from_utf8_lossy(content).into_owned());
    let content = files.iter().find(|(_, content)| golden_overrides::archive::sha256(content) == found.sha256).map(of);
    let (path, content) = content.unwrap_or_default();
    File {
        version: version.said.version,
        from_window: rfc3339(version.from),
        published_by: version.said.published_by.clone(),
        published_at: version.said.published_at.clone(),
        path,
        sha256: found.sha256.clone(),
        diff: diff(before, &content),
        content,
    }
}
