//! `golden overrides history`: versions, the newest first, with who made them, when and from what.

use super::S3Args;
use crate::failure::{Failure, Outcome};
use clap::Args;
use golden_bundle::history::{Change, HistoryError, changes, versions};
use golden_bundle::place::Place;
use golden_bundle::publication::Publication;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// One service: the versions in which its file became another
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Where the bundles are: s3://BUCKET/PREFIX or a folder
    #[arg(long, value_name = "PLACE")]
    from: Place,
    /// How many versions to look at, from the newest back
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    s3: S3Args,
}

pub(super) fn history(args: &HistoryArgs) -> Outcome {
    let store = args.s3.open(&args.from)?;
    let failed = |error: HistoryError| match error {
        HistoryError::Store(_) => Failure::missing(error),
        _ => Failure::failed(error),
    };
    if let Some(service) = &args.service {
        let changes = changes(store.as_ref(), service, args.last).map_err(failed)?;
        for Change { publication, files } in &changes {
            if args.json {
                println!("{}", json!({"publication": publication, "files": files}));
                continue;
            }
            let files: Vec<String> = files.iter().map(|(path, hash)| format!("{path} {}", short(hash))).collect();
            line(publication, &if files.is_empty() { "removed".to_owned() } else { files.join(", ") });
        }
        if changes.is_empty() {
            eprintln!("{service} has had no file in the last {} versions at {}", args.last, args.from);
        }
        return Ok(());
    }
    let versions = versions(store.as_ref(), args.last).map_err(failed)?;
    for publication in &versions {
        if args.json {
            println!("{}", json!({"publication": publication}));
        } else {
            line(publication, &format!("bundle {}", short(&publication.sha256)));
        }
    }
    if versions.is_empty() {
        eprintln!("nothing was published at {}", args.from);
    }
    Ok(())
}

fn line(publication: &Publication, what: &str) {
    let Publication { version, published_at, published_by, commit, rollback_of, signature, .. } = publication;
    let commit = commit.as_deref().map(|commit| format!("  commit {}", short(commit))).unwrap_or_default();
    let rollback = rollback_of.map(|of| format!("  rollback to {of}")).unwrap_or_default();
    let signed = if signature.is_some() { "  signed" } else { "" };
    println!("{version:>5}  {published_at}  {published_by}  {what}{commit}{rollback}{signed}");
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
