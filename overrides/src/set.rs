//! All files of one version: each compiled by itself, together named by a content hash.
//!
//! A bad file refuses itself and nothing else. Two files for one service refuse each other: neither team can take a service from another,
//! and whoever had it keeps its last good version. Only limits of the whole (`archive`) refuse all of it.

mod merged;

use crate::archive::{self, ArchiveError, Files};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::{self, Checked, Override};
use crate::report::Report;
pub use merged::{Merged, Rejected};
use std::collections::BTreeMap;

/// Compiled files of one version.
#[derive(Clone, Debug)]
pub struct Set {
    /// SHA-256 of the archive of all files, in hexadecimal digits.
    pub hash: String,
    files: BTreeMap<String, Entry>,
    /// Path by namespace and service.
    services: BTreeMap<(String, String), String>,
}

#[derive(Clone, Debug)]
struct Entry {
    source: String,
    checked: Checked,
}

impl Set {
    /// Compiles files, given by path below the folder of overrides.
    ///
    /// # Errors
    /// When there are too many or they are too large; single files never fail a set.
    pub fn compile(files: &Files) -> Result<Self, ArchiveError> {
        let hash = archive::sha256(&archive::pack(files)?);
        let entry = |(path, content): (&String, &Vec<u8>)| {
            let entry = Entry { source: String::from_utf8_lossy(content).into_owned(), checked: file::check(path, content) };
            (path.clone(), entry)
        };
        let mut set = Self { hash, files: files.iter().map(entry).collect(), services: BTreeMap::new() };
        set.settle();
        Ok(set)
    }

    /// Refuses files that name the same service, and notes the others.
    fn settle(&mut self) {
        let mut claims: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (path, entry) in &self.files {
            if let Some(found) = &entry.checked.result {
                claims.entry((found.namespace.clone(), found.service.clone())).or_default().push(path.clone());
            }
        }
        for (service, paths) in claims {
            if let [only] = paths.as_slice() {
                self.services.insert(service, only.clone());
                continue;
            }
            for path in &paths {
                let others: Vec<&str> = paths.iter().filter(|other| *other != path).map(String::as_str).collect();
                let found = duplicate(&service.1, &others.join(", ")).help("one service has one file, of one team");
                if let Some(entry) = self.files.get_mut(path) {
                    entry.checked.result = None;
                    entry.checked.diagnostics.insert(0, found);
                }
            }
        }
    }

    /// The override of a service, if it has one without errors.
    #[must_use]
    pub fn find(&self, namespace: &str, service: &str) -> Option<&Override> {
        // The key is owned; this is looked up once per service and version, not per event.
        let path = self.services.get(&(namespace.to_owned(), service.to_owned()))?;
        self.files.get(path)?.checked.result.as_ref()
    }

    /// All overrides without errors, in the order of namespace and service.
    pub fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.services.values().filter_map(|path| self.files.get(path)?.checked.result.as_ref())
    }

    /// Files by path, with what became of each.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Checked)> {
        self.files.iter().map(|(path, entry)| (path.as_str(), &entry.checked))
    }

    /// What was found, one report per file that has something.
    pub fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        self.files.iter().filter(|(_, entry)| !entry.checked.diagnostics.is_empty()).map(|(path, entry)| Report {
            file: path,
            source: &entry.source,
            diagnostics: &entry.checked.diagnostics,
        })
    }

    /// Whether any file is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.files.values().any(|entry| entry.checked.result.is_none())
    }
}

fn duplicate(service: &str, others: &str) -> Diagnostic {
    Diagnostic::error(Code::Duplicate, Span::default(), format!("service `{service}` has another file: {others}"))
}

#[cfg(test)]
mod tests;
