//! `golden overrides shadow`: how a rule that is tried agrees with the one in force; and `promote`, which makes it the one.

use super::folder::Tree;
use crate::commands::AnswerForm;
use crate::failure::{Failure, Outcome};
use crate::server::{Server, ServerArgs, of_service};
use clap::Args;
use golden_overrides::file::{Override, check};
use golden_pipeline::overrides::shadow::Trial;
use std::path::PathBuf;

/// Most windows that are listed for people.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ShadowArgs {
    /// Name of the service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Its namespace, needed when several have a service of this name
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// First instant, RFC 3339 [default: 24 hours before the newest window's end]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// First instant behind, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: AnswerForm,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn shadow(args: &ShadowArgs) -> Outcome {
    let params = [("namespace", args.namespace.as_deref()), ("from", args.from.as_deref()), ("to", args.to.as_deref())];
    let trial: Trial = Server::at(&args.server.server).get(&of_service("overrides", &args.service, "shadow", &params))?;
    if args.format == AnswerForm::Json {
        println!("{}", serde_json::to_string(&trial).map_err(Failure::failed)?);
        return Ok(());
    }
    let Trial { sha256, version, since, last, windows, agreeing, differing } = &trial;
    println!("{}: file {} of version {version} is tried since {since}", args.service, sha256.get(..12).unwrap_or(sha256));
    println!("  {agreeing} of {windows} windows agree, the last one starts at {last}");
    for one in differing.iter().take(SHOWN) {
        println!("    {}: {} counts, {} is tried", one.start, level(one.old), level(one.new));
    }
    if differing.len() > SHOWN {
        println!("    and {} more: --format json has them", differing.len() - SHOWN);
    }
    println!("  to make it live: golden overrides promote DIR {}", args.service);
    Ok(())
}

fn level(level: Option<u8>) -> String {
    level.map_or_else(|| "unknown".to_owned(), |level| level.to_string())
}

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// Folder with a folder per team: DIR/TEAM/SERVICE.yaml
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Name of the service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Its namespace, needed when several have a service of this name
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

pub(super) fn promote(args: &PromoteArgs) -> Outcome {
    let tree = Tree::read(&args.folder)?;
    let set = tree.compile()?;
    let of_it = |file: &Override| file.service == args.service && args.namespace.as_ref().is_none_or(|wanted| file.namespace == *wanted);
    let all: Vec<&str> = set.files().filter(|(_, checked)| checked.result.as_ref().is_some_and(of_it)).map(|(path, _)| path).collect();
    let path = match all.as_slice() {
        [] => {
            let check = format!("`golden overrides check {}` says whether one is refused", args.folder.display());
            return Err(Failure::usage(format!("{}: no file of service `{}`; {check}", args.folder.display(), args.service)));
        }
        [path] => *path,
        several => {
            return Err(Failure::usage(format!(
                "several namespaces have `{}`: say which with --namespace ({})",
                args.service,
                several.join(", ")
            )));
        }
    };
    let shown = tree.shown(path);
    let before = tree.files.get(path).map_or(&[][..], Vec::as_slice);
    let after = live(before).ok_or_else(|| Failure::usage(format!("{shown}: there is no line `shadow: true` in it; nothing is tried")))?;
    let checked = check(path, &after);
    if checked.result.is_none_or(|file| file.shadow) {
        return Err(Failure::failed(format!("{shown}: without its line `shadow: true` the file would be refused; nothing was changed")));
    }
    std::fs::write(args.folder.join(path), &after).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    println!("{shown}: `shadow: true` is gone. Commit it, have it reviewed, and publish the folder: it is in force from the first window");
    println!(
        "that begins after the pipeline's lead time. What it changes: golden overrides backtest {} --service {}",
        args.folder.display(),
        args.service
    );
    Ok(())
}

/// The same file without its line `shadow: true`; all other bytes stay. `None`: there is no such line, or more than one.
fn live(content: &[u8]) -> Option<Vec<u8>> {
    let is_it = |line: &&[u8]| {
        let rest = line.strip_prefix(b"shadow:").and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default();
        let (value, behind) = rest.trim().split_at_checked(4).unwrap_or_default();
        let comment = behind.trim_start().starts_with('#') && behind.starts_with([' ', '\t']);
        rest.starts_with([' ', '\t']) && value == "true" && (behind.is_empty() || comment)
    };
    let lines = || content.split_inclusive(|byte| *byte == b'\n');
    (lines().filter(is_it).count() == 1).then(|| lines().filter(|line| !is_it(line)).flatten().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_and_every_other_byte_stays() {
        let gone = |text: &str| live(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(
            gone("owner: a\r\nshadow: true\r\n# shadow: true\nhealth: |\n  shadow: true").as_deref(),
            Some("owner: a\r\n# shadow: true\nhealth: |\n  shadow: true")
        );
        assert_eq!(gone("shadow:  true # until June\nowner: a\n").as_deref(), Some("owner: a\n"));
        assert_eq!(gone("owner: a\nshadow: true").as_deref(), Some("owner: a\n"));
        for none in ["owner: a\n", "shadow: false\n", "shadow: truer\n", "shadow:true\n", " shadow: true\n", "shadow: true\nshadow: true\n"]
        {
            assert_eq!(gone(none), None, "{none}");
        }
    }
}
