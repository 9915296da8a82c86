//! Mapping files: read in one place for every command.

use crate::failure::Failure;
use golden_pipeline::source::Source;
use std::path::Path;

/// The source that a mapping file describes.
pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
    let file = path.display().to_string();
    let yaml = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read mapping file {file}: {e}")))?;
    Source::from_yaml(&file, &yaml).map_err(Failure::usage)
}
