//! A folder of overrides: every `.yaml` and `.yml` file below it, by its path there. Other files, and what begins with a dot, are not looked at.

use crate::failure::Failure;
use golden_overrides::archive::{Files, MAX_BYTES};
use golden_overrides::set::Set;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What lies in a folder.
pub(super) struct Tree {
    root: PathBuf,
    pub(super) files: Files,
}

impl Tree {
    /// Reads it all.
    pub(super) fn read(root: &Path) -> Result<Self, Failure> {
        let mut tree = Self { root: root.to_owned(), files: Files::new() };
        tree.enter(root, "")?;
        if tree.files.is_empty() {
            return Err(Failure::usage(format!("{}: no overrides; a file lies at <team>/<service>.yaml below it", root.display())));
        }
        Ok(tree)
    }

    /// All of it, compiled.
    pub(super) fn compile(&self) -> Result<Set, Failure> {
        Set::compile(&self.files).map_err(|error| Failure::failed(format!("{}: {error}", self.root.display())))
    }

    /// A path as people know it, from where they are.
    pub(super) fn shown(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    fn enter(&mut self, folder: &Path, below: &str) -> Result<(), Failure> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
            let entry = entry.map_err(|error| failed(folder, &error))?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else { return Err(failed(&path, &"its name is not UTF-8")) };
            let kind = entry.file_type().map_err(|error| failed(&path, &error))?;
            let key = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                self.enter(&path, &key)?;
            } else if name.ends_with(".yaml") || name.ends_with(".yml") {
                if !kind.is_file() {
                    return Err(failed(&path, &"not a file; links are not followed"));
                }
                let mut content = Vec::new();
                let read = File::open(&path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content));
                read.map_err(|error| failed(&path, &error))?;
                self.files.insert(key, content);
            }
        }
        Ok(())
    }
}
