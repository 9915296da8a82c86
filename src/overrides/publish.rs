//! `golden overrides publish`: checks a folder and makes it the next version, or makes an older version the next one.
//!
//! In a clone of Git it also looks whose work it follows: a version from a commit that this clone does not build on is not replaced, since
//! that would take back somebody's change without a word.

use super::folder::Tree;
use super::{Format, S3Args, count, print, refused};
use crate::failure::{Failure, Outcome};
use clap::Args;
use golden_bundle::place::Place;
use golden_bundle::publication::Publication;
use golden_bundle::publish::{Order, PublishError, Published, What, publish as publish_to};
use golden_bundle::signature::SecretKey;
use golden_pipeline::emit::json::put_time;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Folder with a folder per team: DIR/TEAM/SERVICE.yaml
    #[arg(value_name = "DIR", required_unless_present = "rollback")]
    folder: Option<PathBuf>,
    /// Where to: s3://BUCKET/PREFIX or a folder
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Publishes the content of this older version again, as the next version, marked as a rollback
    #[arg(long, value_name = "VERSION", conflicts_with = "folder")]
    rollback: Option<u64>,
    /// Signs with this secret key
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// Who publishes [default: the user]
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown", hide_env_values = true)]
    by: String,
    /// Commit of the files [default: what is checked out in DIR]
    #[arg(long, value_name = "COMMIT", conflicts_with = "rollback")]
    commit: Option<String>,
    /// Replaces a version from a commit that this one does not build on
    #[arg(long)]
    over_others: bool,
    #[command(flatten)]
    s3: S3Args,
}

pub(super) fn publish(args: &PublishArgs) -> Outcome {
    let key = args.sign.as_deref().map(secret_key).transpose()?;
    let tree = args.folder.as_deref().map(Tree::read).transpose()?;
    if let Some(tree) = &tree {
        let set = tree.compile()?;
        print(tree, &set, Format::Text, |_| true);
        if set.has_errors() {
            let files = count(set.files().count(), "file");
            return Err(Failure::failed(format!("nothing was published: {} of {files} refused", refused(&set))));
        }
    }
    let checked_out = args.folder.as_deref().and_then(|folder| git(folder, &["rev-parse", "HEAD"]));
    let commit = args.commit.clone().or(checked_out);
    let follows = |current: &Publication| match (&args.folder, &commit, &current.commit) {
        (Some(folder), Some(own), Some(theirs)) if !args.over_others => builds_on(folder, own, theirs, current),
        _ => Ok(()),
    };
    let mut at = Vec::new();
    put_time(&mut at, SystemClock::new().wall() / 1_000_000_000 * 1_000_000_000);
    let order = Order {
        what: match (&tree, args.rollback) {
            (Some(tree), _) => What::Files(&tree.files),
            (None, version) => What::Rollback(version.unwrap_or_default()),
        },
        by: &args.by,
        commit: commit.as_deref(),
        at: &String::from_utf8_lossy(&at),
        nonce: &nonce()?,
        key: key.as_ref(),
    };
    let store = args.s3.open(&args.to)?;
    match publish_to(store.as_ref(), &order, &follows).map_err(failure)? {
        Published::New(made) => {
            let rollback = made.rollback_of.map(|of| format!(", a rollback to version {of}")).unwrap_or_default();
            let files = tree.map(|tree| format!(", {}", count(tree.files.len(), "file"))).unwrap_or_default();
            println!("version {} is published at {}{files}{rollback}, sha256 {}", made.version, args.to, made.sha256);
        }
        Published::Same(there) => println!("version {} at {} is the same; nothing to publish", there.version, args.to),
    }
    Ok(())
}

fn failure(error: PublishError) -> Failure {
    match error {
        PublishError::Archive(_) | PublishError::Unwanted(_) => Failure::failed(error),
        PublishError::Order { .. } | PublishError::Rollback { .. } => Failure::usage(error),
        _ => Failure::missing(error),
    }
}

fn secret_key(path: &Path) -> Result<SecretKey, Failure> {
    let unusable = |why: &dyn std::fmt::Display| Failure::usage(format!("--sign {}: {why}", path.display()));
    let pem = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
    SecretKey::from_pem(&pem).map_err(|error| unusable(&error))
}

/// Whether what is to be published has the current version's commit behind it.
fn builds_on(folder: &Path, own: &str, theirs: &str, current: &Publication) -> Result<(), String> {
    // A commit that begins with a dash would be read as a flag.
    let known = [own, theirs].iter().all(|commit| commit.bytes().all(|b| b.is_ascii_alphanumeric()));
    if known && git(folder, &["merge-base", "--is-ancestor", theirs, own]).is_some() {
        return Ok(());
    }
    let Publication { version, published_by, .. } = current;
    Err(format!(
        "nothing was published: version {version}, by {published_by}, comes from commit {theirs}, which {own} does not build on or this clone does not \
         have. Fetch it and merge it, or replace it with --over-others"
    ))
}

/// What Git says, if the folder is in a clone and Git agrees.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn nonce() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    random.map_err(|error| Failure::missing(format!("/dev/urandom: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
