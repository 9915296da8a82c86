//! `golden overrides`: what teams do with their overrides, from a folder of Git to the place where pipelines find them.

mod backtest;
mod folder;
mod history;
mod keygen;
mod publish;
mod recount;
mod shadow;
pub(crate) mod slo;

use crate::failure::{Failure, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use folder::Tree;
use golden_bundle::blob::Blob;
use golden_bundle::place::Place;
use golden_bundle::s3::S3Settings;
use golden_overrides::diagnostic::Code;
use golden_overrides::report::Report;
use golden_overrides::set::Set;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct OverridesArgs {
    #[command(subcommand)]
    command: OverridesCommand,
}

#[derive(Debug, Subcommand)]
enum OverridesCommand {
    /// Checks all files of a folder, examples too; exit code 1 when one is refused
    Check(FolderArgs),
    /// Runs the examples of all files and says how many hold; exit code 1 when not all do
    Test(FolderArgs),
    /// Publishes a folder as the next version, after the same check
    Publish(publish::PublishArgs),
    /// Lists what was published, the newest first; for a service, only the versions that changed its file
    History(history::HistoryArgs),
    /// Puts published windows through the rules of a folder and says what they would have shown
    Backtest(backtest::BacktestArgs),
    /// Counts the events of the source anew by the tags and outcomes of a folder; exit code 1 when an event is lost or counted twice
    Recount(recount::RecountArgs),
    /// Shows how a file with `shadow: true` agrees with the one in force
    Shadow(shadow::ShadowArgs),
    /// Takes the line `shadow: true` out of a service's file
    Promote(shadow::PromoteArgs),
    /// Makes a pair of keys: writes the secret one to a new file and prints the public one
    Keygen {
        /// File for the secret key, PEM
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct FolderArgs {
    /// Folder with a folder per team: DIR/TEAM/SERVICE.yaml
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Form of what is found
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One array of objects
    Json,
    /// Annotations of a GitHub workflow
    Github,
}

/// How S3 is reached; what is not given comes from the environment, as with other AWS tools.
#[derive(Debug, Args)]
struct S3Args {
    /// URL of an S3 server that is not AWS
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Whether the bucket stands in the path of URLs [default: with --endpoint]
    #[arg(long, value_name = "BOOL")]
    path_style: Option<bool>,
}

impl S3Args {
    fn open(&self, place: &Place) -> Result<Box<dyn Blob>, Failure> {
        let settings = S3Settings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            ..S3Settings::default()
        };
        place.open(&settings).map_err(Failure::missing)
    }
}

pub(crate) fn overrides(args: &OverridesArgs) -> Outcome {
    match &args.command {
        OverridesCommand::Check(args) => check(args),
        OverridesCommand::Test(args) => test(args),
        OverridesCommand::Publish(args) => publish::publish(args),
        OverridesCommand::History(args) => history::history(args),
        OverridesCommand::Backtest(args) => backtest::backtest(args),
        OverridesCommand::Recount(args) => recount::recount(args),
        OverridesCommand::Shadow(args) => shadow::shadow(args),
        OverridesCommand::Promote(args) => shadow::promote(args),
        OverridesCommand::Keygen { file } => keygen::keygen(file),
    }
}

fn check(args: &FolderArgs) -> Outcome {
    let tree = Tree::read(&args.folder)?;
    let set = tree.compile()?;
    print(&tree, &set, args.format, |_| true);
    let refused = refused(&set);
    let files = set.files().count();
    match refused {
        0 => {
            if args.format == Format::Text {
                println!("{}: nothing is wrong", count(files, "file"));
            }
            Ok(())
        }
        _ => Err(Failure::failed(format!("{refused} of {} refused", count(files, "file")))),
    }
}

fn test(args: &FolderArgs) -> Outcome {
    let tree = Tree::read(&args.folder)?;
    let set = tree.compile()?;
    print(&tree, &set, args.format, |code| code == Code::Example);
    let examples: usize = set.files().map(|(_, checked)| checked.examples).sum();
    let failed = |checked: &golden_overrides::file::Checked| checked.diagnostics.iter().filter(|d| d.code == Code::Example).count();
    // A file that has other errors ran none of its examples.
    let unrun = set.files().filter(|(_, checked)| checked.result.is_none() && failed(checked) == 0);
    let unrun = unrun.map(|(path, _)| tree.shown(path)).collect::<Vec<_>>();
    let failed: usize = set.files().map(|(_, checked)| failed(checked)).sum();
    if let [first, others @ ..] = unrun.as_slice() {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let check = format!("`golden overrides check {}` says why", args.folder.display());
        return Err(Failure::failed(format!("not run, because the file is refused: {first}{more}; {check}")));
    }
    if failed > 0 {
        return Err(Failure::failed(format!("{failed} of {} failed", count(examples, "example"))));
    }
    if args.format == Format::Text {
        println!("{} passed, in {}", count(examples, "example"), count(set.files().count(), "file"));
    }
    Ok(())
}

/// How many files are refused.
fn refused(set: &Set) -> usize {
    set.files().filter(|(_, checked)| checked.result.is_none()).count()
}

/// Prints what was found, of the codes that are wanted.
fn print(tree: &Tree, set: &Set, format: Format, wanted: impl Fn(Code) -> bool) {
    let mut all = Vec::new();
    for report in set.reports() {
        let diagnostics: Vec<_> = report.diagnostics.iter().filter(|d| wanted(d.code)).cloned().collect();
        let file = tree.shown(report.file);
        let report = Report { file: &file, diagnostics: &diagnostics, ..report };
        match format {
            Format::Text => print!("{}", report.to_text()),
            Format::Github => print!("{}", report.to_github()),
            Format::Json => all.extend(report.to_json().as_array().cloned().unwrap_or_default()),
        }
    }
    if format == Format::Json {
        println!("{}", serde_json::Value::from(all));
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
