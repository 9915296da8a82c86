//! Inputs of `golden replay`: opens the files, tells their format, and how they are cut into records.

use crate::commands::ReplayArgs;
use crate::failure::{Failure, suggestion};
use golden_pipeline::decode::sniff::{Shape, sniff};
use golden_pipeline::source::Format;
use platform_runtime::files::{Files, Framing, Input};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Largest file that is one document; each item in it is bounded as everywhere.
const DOCUMENT: u64 = 512 << 20;

/// Opened inputs.
pub(super) struct Inputs {
    pub(super) files: Files,
    pub(super) format: Format,
    /// Bytes on disk read so far, and in all, where that is known.
    pub(super) read: Arc<AtomicU64>,
    pub(super) size: Option<u64>,
}

/// Opens the files. `mapped` is the format that a mapping file declares; the flag wins.
pub(super) fn open(args: &ReplayArgs, mapped: Option<Format>) -> Result<Inputs, Failure> {
    let given = args.format.as_deref().map(parse).transpose()?.or(mapped).filter(|f| *f != Format::Auto);
    let read = Arc::new(AtomicU64::new(0));
    let inputs: Vec<Input> = args.files.iter().map(|p| Input::open(p, &read)).collect::<Result<_, _>>().map_err(Failure::usage)?;
    let mut told: Option<(Format, Shape)> = None;
    for (input, path) in inputs.iter().zip(&args.files).filter(|(input, _)| !input.sample().is_empty()) {
        let found = sniff(input.sample(), given).ok_or_else(|| unknown(&path.display().to_string()))?;
        match told {
            Some(before) if before != found => {
                let (a, b) = (before.0.name(), found.0.name());
                return Err(Failure::usage(format!("{}: this file is {b} and the one before is {a}: replay them apart", path.display())));
            }
            _ => told = Some(found),
        }
    }
    let (format, shape) = told.unwrap_or((given.unwrap_or(Format::Json), Shape::Lines));
    let framing = match shape {
        Shape::Lines => Framing::Blocks,
        Shape::Documents => Framing::Lines,
        Shape::Document => Framing::Document(DOCUMENT),
    };
    let size = inputs.iter().map(Input::size).sum();
    let files = Files::new(inputs, framing, args.streaming, Arc::clone(&read));
    Ok(Inputs { files, format, read, size })
}

fn parse(name: &str) -> Result<Format, Failure> {
    Format::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
        Failure::usage(format!(
            "--format: there is no format `{name}`{} Formats: {}",
            suggestion(name, names.iter().copied()),
            names.join(", ")
        ))
    })
}

fn unknown(path: &str) -> Failure {
    let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
    Failure::usage(format!("{path}: the first bytes do not tell the format: name it with --format, one of {}", names.join(", ")))
}
