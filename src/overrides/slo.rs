//! `golden slo import`: the objectives of OpenSLO documents, for the overrides of their services.

use super::folder::Tree;
use crate::failure::{Failure, Outcome};
use clap::{Args, Subcommand};
use golden_overrides::file::{Override, check};
use golden_overrides::path::encode;
use golden_pipeline::slo::openslo::{self, Imported, section, with_section};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct SloArgs {
    #[command(subcommand)]
    command: SloCommand,
}

#[derive(Debug, Subcommand)]
enum SloCommand {
    /// Reads OpenSLO v1 documents and prints the `objectives` of each service, or writes them into its overrides file; exit code 1 when a
    /// document is refused, and then nothing is written
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// File of YAML documents
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder of overrides to write into: the section `objectives` of a service's file is replaced, everything else in it stays
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Team, which is the folder and the owner of files that are not there yet
    #[arg(long, value_name = "TEAM", requires = "into")]
    team: Option<String>,
}

pub(crate) fn slo(args: &SloArgs) -> Outcome {
    let SloCommand::Import(args) = &args.command;
    let shown = args.file.display();
    let text = std::fs::read_to_string(&args.file).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let import = openslo::read(&text).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    for refused in &import.refused {
        eprintln!("{shown}, {}: {}", refused.document, refused.reason);
    }
    if !import.refused.is_empty() {
        return Err(Failure::failed(format!("{} of the documents were refused; nothing was written", import.refused.len())));
    }
    if import.services.is_empty() {
        return Err(Failure::usage(format!("{shown}: no document of kind SLO")));
    }
    let Some(folder) = &args.into else {
        for (service, imported) in &import.services {
            print!("# {service}\n{}", section(imported));
        }
        return Ok(());
    };
    let tree = Tree::read(folder)?;
    let planned: Vec<(String, String)> = import
        .services
        .iter()
        .map(|(service, imported)| planned(&tree, service, imported, args.team.as_deref()))
        .collect::<Result<_, Failure>>()?;
    for (path, content) in &planned {
        let to = folder.join(path);
        let made = to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&to, content));
        made.map_err(|error| Failure::usage(format!("{}: {error}", to.display())))?;
        println!("{}", to.display());
    }
    Ok(())
}

/// The path and the new content of a service's file, which is checked before anything is written.
fn planned(tree: &Tree, service: &str, imported: &Imported, team: Option<&str>) -> Result<(String, String), Failure> {
    let set = tree.compile()?;
    let of_it = |file: &Override| file.service == service;
    let known: Vec<&str> = set.files().filter(|(_, checked)| checked.result.as_ref().is_some_and(of_it)).map(|(path, _)| path).collect();
    let (path, before) = match (known.as_slice(), team) {
        ([path], _) => {
            ((*path).to_owned(), tree.files.get(*path).map_or(String::new(), |bytes| String::from_utf8_lossy(bytes).into_owned()))
        }
        ([], Some(team)) => (format!("{team}/{}.yaml", encode(service)), format!("owner: {team}\n")),
        ([], None) => return Err(Failure::usage(format!("{service} has no file yet: say whose it is with --team"))),
        (several, _) => return Err(Failure::usage(format!("{service} has files in several namespaces: {}", several.join(", ")))),
    };
    let content = with_section(&before, &section(imported));
    let checked = check(&path, content.as_bytes());
    match checked.result {
        Some(_) => Ok((path, content)),
        None => {
            let why = checked.diagnostics.first().map_or("", |found| found.message.as_str()).to_owned();
            Err(Failure::failed(format!("{path}: with these objectives the file would be refused ({why}); nothing was written")))
        }
    }
}
