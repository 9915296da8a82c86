//! Mapping files, and the schemas that they name: read in one place for every command.

use crate::failure::Failure;
use golden_pipeline::source::{SchemaSource, SchemaTexts, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The source that a mapping file describes.
pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
    let file = path.display().to_string();
    let yaml = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read mapping file {file}: {e}")))?;
    let mut source = Source::from_yaml(&file, &yaml).map_err(Failure::usage)?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let files = match &source.schemas {
        SchemaSource::None | SchemaSource::Given(_) => return Ok(source),
        SchemaSource::Files(files) => files.iter().map(|(id, name)| (*id, beside.join(name))).collect(),
        SchemaSource::Folder(folder) => of_folder(&beside.join(folder))?,
    };
    let text = |(id, path): (u32, PathBuf)| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((id, text)),
        Err(e) => Err(Failure::usage(format!("{file}: cannot read schema {}: {e}", path.display()))),
    };
    let texts = files.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let schemas = SchemaTexts::new(texts).map_err(|e| Failure::usage(format!("{file}: {e}")))?;
    source.schemas = SchemaSource::Given(Arc::new(schemas));
    Ok(source)
}

/// The files `ID.avsc` of a folder.
fn of_folder(folder: &Path) -> Result<Vec<(u32, PathBuf)>, Failure> {
    let bad = |e: std::io::Error| Failure::usage(format!("cannot read the folder of schemas {}: {e}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(bad)? {
        let path = entry.map_err(bad)?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(id) = id.filter(|_| path.extension().is_some_and(|extension| extension == "avsc")) {
            files.push((id, path));
        }
    }
    files.sort();
    Ok(files)
}
