//! `golden overrides history`: versions, the newest first, with who made them, when and from what.

use super::{S3Args, count};
use crate::failure::{Failure, Outcome};
use clap::Args;
use golden_bundle::history::{Change, HistoryError, changes, versions};
use golden_bundle::place::Place;
use golden_bundle::publication::Publication;
use golden_bundle::signature::PublicKey;
use serde_json::json;
use std::collections::BTreeMap;

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
    /// Says of each version whether the owner of this public key has signed it; exit code 1 when one is not
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,
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
    let found: Vec<(Publication, Option<BTreeMap<String, String>>)> = match &args.service {
        None => versions(store.as_ref(), args.last).map_err(failed)?.into_iter().map(|publication| (publication, None)).collect(),
        Some(service) => {
            let changes = changes(store.as_ref(), service, args.last).map_err(failed)?;
            changes.into_iter().map(|Change { publication, files }| (publication, Some(files))).collect()
        }
    };
    for (publication, files) in &found {
        match (args.json, files) {
            (true, None) => println!("{}", json!({"publication": publication})),
            (true, Some(files)) => println!("{}", json!({"publication": publication, "files": files})),
            (false, _) => println!("{}", line(publication, files.as_ref(), args.key.as_ref())),
        }
    }
    match &args.service {
        _ if !found.is_empty() => {}
        Some(service) => eprintln!("{service} has had no file in the last {} versions at {}", args.last, args.from),
        None => eprintln!("nothing was published at {}", args.from),
    }
    let foreign = args.key.as_ref().map_or(0, |key| found.iter().filter(|(publication, _)| !publication.is_signed_by(key)).count());
    if foreign > 0 {
        Err(Failure::failed(format!("{foreign} of {} not signed with this key", count(found.len(), "version"))))
    } else {
        Ok(())
    }
}

fn line(publication: &Publication, files: Option<&BTreeMap<String, String>>, key: Option<&PublicKey>) -> String {
    let Publication { version, published_at, published_by, sha256, commit, rollback_of, signature, .. } = publication;
    let what = match files {
        None => format!("bundle {}", short(sha256)),
        Some(files) if files.is_empty() => "removed".to_owned(),
        Some(files) => files.iter().map(|(path, hash)| format!("{path} {}", short(hash))).collect::<Vec<_>>().join(", "),
    };
    let commit = commit.as_deref().map(|commit| format!("  commit {}", short(commit))).unwrap_or_default();
    let rollback = rollback_of.map(|of| format!("  rollback to {of}")).unwrap_or_default();
    let signed = match key {
        Some(key) if publication.is_signed_by(key) => "  signed with this key",
        Some(_) => "  NOT signed with this key",
        None if signature.is_some() => "  signed",
        None => "",
    };
    format!("{version:>5}  {published_at}  {published_by}  {what}{commit}{rollback}{signed}")
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
