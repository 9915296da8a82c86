//! `golden overrides backtest`: what a folder would have made of the windows that were published, for people, tools and pull requests.
//!
//! Asks a running service file by file, so that no request grows with the folder; or reads the data folder of one that does not run.

mod render;

use super::folder::Tree;
use super::{Format, count, print, refused};
use crate::commands::SettingsArgs;
use crate::engine::{self, Engine};
use crate::failure::{Failure, Outcome};
use crate::server::Server;
use crate::settings;
use clap::{Args, ValueEnum};
use golden_overrides::file::Override;
use golden_overrides::set::Set;
use golden_pipeline::history::History;
use golden_pipeline::overrides::backtest::replay::{self, Against, Order, Range};
use golden_pipeline::overrides::backtest::{Judging, Report};
use golden_pipeline::overrides::rules::{Rules, Timeline};
use golden_pipeline::settings::Span;
use golden_router::deployment::Colour;
use platform_core::clock::Clock;
use platform_core::time::nanos;
use platform_runtime::clock::SystemClock;
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Folder with a folder per team: DIR/TEAM/SERVICE.yaml
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What it is compared with: `current` (the newest version), `default` (the default rule), or another folder
    #[arg(long, value_name = "WHAT", default_value = "current")]
    against: Other,
    /// How far back from each service's newest window
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    window: Span,
    /// One service alone
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Form of the result
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    /// URL of a running `golden run`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", conflicts_with_all = ["data", "config"])]
    server: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Reads the data folder of a service that does not run, instead of asking one that does
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum Other {
    Current,
    Default,
    Folder(PathBuf),
}

impl std::str::FromStr for Other {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "current" => Self::Current,
            "default" => Self::Default,
            folder => Self::Folder(folder.into()),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// One array of objects
    Json,
    /// A comment for a pull request
    Markdown,
}

pub(super) fn backtest(args: &BacktestArgs) -> Outcome {
    let (tree, set) = read(&args.folder)?;
    let wanted: Vec<(&str, &Override)> = set
        .files()
        .filter_map(|(path, checked)| Some((path, checked.result.as_ref()?)))
        .filter(|(_, file)| args.service.as_ref().is_none_or(|only| file.service == *only))
        .collect();
    if let Some(service) = args.service.as_ref().filter(|_| wanted.is_empty()) {
        return Err(Failure::usage(format!("{} has no file of service `{service}`", args.folder.display())));
    }
    let other = match &args.against {
        Other::Folder(folder) => Some(read(folder)?),
        Other::Current | Other::Default => None,
    };
    let other = other.as_ref().map(|(tree, set)| (tree, set));
    let reports = if args.data.is_some() || args.settings.config.is_some() {
        offline(args, &set, other.map(|(_, set)| set))?
    } else {
        asked(args, &tree, &wanted, other)?
    };
    let against = match &args.against {
        Other::Current => "what is in force".to_owned(),
        Other::Default => "the default rule".to_owned(),
        Other::Folder(folder) => folder.display().to_string(),
    };
    match args.format {
        Form::Table => print!("{}", render::table(&reports, &against)),
        Form::Markdown => print!("{}", render::markdown(&reports, &against, &args.window.to_string())),
        Form::Json => println!("{}", serde_json::to_string_pretty(&reports).map_err(Failure::failed)?),
    }
    Ok(())
}

/// A folder that passes the check; what is doubtful in it goes to standard error.
fn read(folder: &std::path::Path) -> Result<(Tree, Set), Failure> {
    let tree = Tree::read(folder)?;
    let set = tree.compile()?;
    if set.has_errors() {
        print(&tree, &set, Format::Text, |_| true);
        return Err(Failure::failed(format!("{} of {} refused", refused(&set), count(set.files().count(), "file"))));
    }
    Ok((tree, set))
}

#[derive(Deserialize)]
struct Answer {
    reports: Vec<Report>,
}

fn asked(args: &BacktestArgs, tree: &Tree, wanted: &[(&str, &Override)], other: Option<(&Tree, &Set)>) -> Result<Vec<Report>, Failure> {
    let server = Server::at(&args.server);
    let content = |tree: &Tree, path: &str| String::from_utf8_lossy(tree.files.get(path).map_or(&[], Vec::as_slice)).into_owned();
    let mut reports = Vec::new();
    for (path, file) in wanted {
        let same = |found: &Override| found.service == file.service && found.namespace == file.namespace;
        let against = match (&args.against, other) {
            (Other::Current, _) => json!("current"),
            (Other::Folder(_), Some((tree, set))) => {
                let found = set.files().find(|(_, checked)| checked.result.as_ref().is_some_and(same));
                found.map_or(json!("default"), |(path, _)| json!({"files": {path: content(tree, path)}}))
            }
            _ => json!("default"),
        };
        let order = json!({"files": {*path: content(tree, path)}, "against": against, "window": args.window.to_string()});
        reports.extend(server.post::<Answer>("/api/v1/overrides/backtest", &order)?.reports);
    }
    Ok(reports)
}

fn offline(args: &BacktestArgs, new: &Set, other: Option<&Set>) -> Result<Vec<Report>, Failure> {
    let mut settings = settings::load(args.settings.config.as_deref())?.settings;
    if let Some(data) = &args.data {
        settings.data.clone_from(data);
    }
    if settings.log.kafka.is_some() {
        return Err(Failure::usage("with Kafka the history is in the running service: ask it with --server"));
    }
    let checked = settings.pipeline.check().map_err(Failure::usage)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Of what is read here both have the same.
    let topics = engine::topics(&settings, Colour::Blue);
    let engine = Engine::open(&settings, None, false, &clock)?;
    let mut timeline = Timeline::default();
    let rules = Rules::of_log(engine.log(), &topics.control, checked.window, i64::MAX);
    rules.refresh(&mut timeline).map_err(|error| Failure::missing(format!("the log cannot be read: {error}")))?;
    let against = match (&args.against, timeline.versions().last(), other) {
        (Other::Current, Some(newest), _) => Against::Version(newest),
        (_, _, Some(set)) => Against::Files(set),
        _ => Against::Default,
    };
    let history = History::open(&*engine.stores(), settings.log.partitions, settings.log.partitions).map_err(Failure::failed)?;
    let range = Range { from: None, to: None, length: nanos(args.window.0) };
    let mut reports = Vec::new();
    for file in new.overrides().filter(|file| args.service.as_ref().is_none_or(|only| file.service == *only)) {
        let order = Order { tenant: "default", new, against, service: Some(&file.service), range, levels: false };
        let found = replay::backtest(&history, Judging::of(&checked), &order).map_err(Failure::failed)?;
        reports.extend(found.into_iter().filter(|report| report.namespace == file.namespace));
    }
    Ok(reports)
}
