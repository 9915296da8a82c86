//! What becomes active: the good files of a new version, and of each bad one what its service had before.
//!
//! - A file that is gone from the new version takes its override away. A bad file does not: it is not yet what its team meant.
//! - **Who had a service keeps it.** While a bad file holds a place, its last good content stands there, and a new file for the same service is
//!   refused, whoever brings it.
//! - A bad file that was just moved (to another team, or another spelling) leaves what the service had before, where nobody else has it by now.
//!
//! The result always compiles without errors, so it can be the last good version of the next one.

use super::{Files, Set, duplicate};
use crate::archive::{self, ArchiveError};
use crate::diagnostic::Diagnostic;
use crate::path;
use std::collections::{BTreeMap, VecDeque};

/// What becomes active of a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Files, each without errors.
    pub files: Files,
    /// What of the new version is not among them.
    pub rejected: Vec<Rejected>,
}

/// A file of the new version that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its path.
    pub path: String,
    /// What is wrong with it; places are bytes of the new file.
    pub diagnostics: Vec<Diagnostic>,
    /// Paths of last good files that stay instead; none when its service had none.
    pub kept: Vec<String>,
}

/// Namespace and service.
type Service = (String, String);

impl Set {
    /// Puts a new version together with the one that was active before.
    ///
    /// # Errors
    /// When the new files, or what would be active, are over the limits of the whole: then all of the new version is refused.
    pub fn merged(last_good: &Files, new: &Files) -> Result<Merged, ArchiveError> {
        let set = Self::compile(new)?;
        let before = Self::compile(last_good)?;
        // Of the last good version: who has a place, and who has a name, in all namespaces.
        let holders: BTreeMap<&String, &Service> = before.services.iter().map(|(service, place)| (place, service)).collect();
        let mut names: BTreeMap<&String, Vec<(&Service, &String)>> = BTreeMap::new();
        for (service, place) in &before.services {
            names.entry(&service.1).or_default().push((service, place));
        }
        let mut merge = Merge { fresh: set.services.clone(), kept: BTreeMap::new(), rejected: BTreeMap::new() };
        // First what stands in the same place, and who must give way to it, until nobody must.
        let bad = set.files().filter(|(_, checked)| checked.result.is_none());
        let mut bad: VecDeque<_> = bad.map(|(path, checked)| (path.to_owned(), checked.diagnostics.clone())).collect();
        while let Some((path, diagnostics)) = bad.pop_front() {
            let held = holders.get(&path).map(|service| (*service).clone());
            let kept = held.iter().map(|_| path.clone()).collect();
            merge.rejected.insert(path.clone(), Rejected { path: path.clone(), diagnostics, kept });
            let Some(service) = held else { continue };
            if let Some(newcomer) = merge.fresh.remove(&service) {
                let found = duplicate(&service.1, &path)
                    .help("that file is refused, and its last good version stays until it is mended or removed");
                bad.push_back((newcomer, vec![found]));
            }
            merge.kept.insert(service, path);
        }
        // Then what was moved while it went bad.
        for rejected in merge.rejected.values_mut().filter(|rejected| rejected.kept.is_empty()) {
            let Ok(location) = path::parse(&rejected.path) else { continue };
            for (service, place) in names.get(&location.service).into_iter().flatten() {
                let free = !merge.fresh.contains_key(*service) && !merge.kept.contains_key(*service);
                if free && !new.contains_key(*place) {
                    merge.kept.insert((*service).clone(), (*place).clone());
                    rejected.kept.push((*place).clone());
                }
            }
        }
        let take = |places: &BTreeMap<Service, String>, from: &Files| -> Files {
            places.values().filter_map(|path| Some((path.clone(), from.get(path)?.clone()))).collect()
        };
        let mut files = take(&merge.fresh, new);
        files.extend(take(&merge.kept, last_good));
        archive::pack(&files)?;
        Ok(Merged { files, rejected: merge.rejected.into_values().collect() })
    }
}

/// Who has which service.
struct Merge {
    /// By files of the new version.
    fresh: BTreeMap<Service, String>,
    /// By files of the last good one.
    kept: BTreeMap<Service, String>,
    rejected: BTreeMap<String, Rejected>,
}
