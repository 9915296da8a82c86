//! One version of all overrides, compiled: which file is in force for a service, and what decoders must look for.
//!
//! Services are found by the texts of an event, once per event of FOLD and once per service and window of CLOSE.

use crate::event::MAX_WANTED;
use crate::overrides::record::Activate;
use crate::series::parts;
use golden_overrides::archive::{ArchiveError, Files};
use golden_overrides::file::Override;
use golden_overrides::language::{Reads, Rule, Text};
use golden_overrides::set::Set;
use platform_core::map::{Table, hash_texts};
use platform_core::record::Offset;
use platform_core::time::EventTime;
use std::collections::BTreeSet;

/// One version.
#[derive(Debug)]
pub struct Activation {
    /// Position behind its record: whoever has read the control log to here or further knows it.
    pub position: Offset,
    /// First window in which it can be in force; newer ones may take over.
    pub from: EventTime,
    /// What the log says of it.
    pub said: Activate,
    live: Side,
    shadow: Side,
    tags: Vec<String>,
}

/// Files that are evaluated together.
#[derive(Debug, Default)]
struct Side {
    files: Files,
    list: Vec<Override>,
    table: Table<usize>,
}

impl Side {
    fn compile(files: Files) -> Result<Self, ArchiveError> {
        let set = Set::compile(&files)?;
        let list: Vec<Override> = set.overrides().cloned().collect();
        let mut table = Table::new();
        let hash = |o: &Override| hash_texts([o.namespace.as_str(), o.service.as_str()].into_iter());
        for (number, one) in list.iter().enumerate() {
            table.insert_unique(hash(one), number, |n| list.get(*n).map_or(0, hash));
        }
        Ok(Self { files, list, table })
    }

    fn find(&self, namespace: &str, service: &str) -> Option<(usize, &Override)> {
        if self.list.is_empty() {
            return None;
        }
        let these = |n: &usize| self.list.get(*n).is_some_and(|o| o.service == service && o.namespace == namespace);
        let number = *self.table.find(hash_texts([namespace, service].into_iter()), these)?;
        Some((number, self.list.get(number)?))
    }
}

impl Activation {
    /// Compiles files that are in force from `from` on, and those that are evaluated beside them. Files with errors are left out: what is
    /// activated was checked before, and by the rules of the same language.
    ///
    /// # Errors
    /// When there are too many or they are too large.
    pub fn compile(position: Offset, from: EventTime, said: Activate, live: Files, shadow: Files) -> Result<Self, ArchiveError> {
        let (live, shadow) = (Side::compile(live)?, Side::compile(shadow)?);
        let tags = tags_read(live.list.iter().chain(&shadow.list));
        Ok(Self { position, from, said, live, shadow, tags })
    }

    /// The override of a service and its number in this version.
    #[must_use]
    pub fn find(&self, namespace: &str, service: &str) -> Option<(usize, &Override)> {
        self.live.find(namespace, service)
    }

    /// The override of a service, by the head of its series' keys.
    #[must_use]
    pub fn find_by_key(&self, key: &[u8]) -> Option<&Override> {
        let (namespace, service) = names_of(key);
        self.find(namespace, service).map(|(_, found)| found)
    }

    /// What is evaluated for a service beside its live rules, by the head of its series' keys.
    #[must_use]
    pub fn shadow_by_key(&self, key: &[u8]) -> Option<&Override> {
        let (namespace, service) = names_of(key);
        self.shadow(namespace, service)
    }

    /// What is evaluated for a service beside its live rules.
    #[must_use]
    pub fn shadow(&self, namespace: &str, service: &str) -> Option<&Override> {
        self.shadow.find(namespace, service).map(|(_, found)| found)
    }

    /// All live overrides, in the order of their numbers.
    #[must_use]
    pub fn live(&self) -> &[Override] {
        &self.live.list
    }

    /// All overrides that are evaluated beside live ones.
    #[must_use]
    pub fn shadows(&self) -> &[Override] {
        &self.shadow.list
    }

    /// Content of the live files by path.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.live.files
    }

    /// Content of the files that are evaluated beside live ones.
    #[must_use]
    pub fn shadow_files(&self) -> &Files {
        &self.shadow.files
    }

    /// Tags that its rules for events read, in the order of their names.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Namespace and service of a canonical key.
fn names_of(key: &[u8]) -> (&str, &str) {
    let mut texts = parts(key).skip(1);
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

/// Tags that rules for events read. A pipeline can look for `MAX_WANTED` of them; see `Rules`.
fn tags_read<'o>(overrides: impl Iterator<Item = &'o Override>) -> Vec<String> {
    let mut tags = BTreeSet::new();
    let mut add = |reads: &Reads| {
        tags.extend(reads.tags.iter().map(|tag| tag.to_string()));
        tags.extend(reads.texts.iter().filter_map(|text| tag_of(*text)).map(str::to_owned));
    };
    for one in overrides {
        one.tags.values().for_each(|written| add(written.rule.reads()));
        one.errors.iter().for_each(|written| add(written.rule.reads()));
    }
    tags.into_iter().take(MAX_WANTED).collect()
}

/// The tag that stands behind a text of the language, if one does.
#[must_use]
pub fn tag_of(text: Text) -> Option<&'static str> {
    match text {
        Text::Env => Some("env"),
        Text::Region => Some("region"),
        Text::Swimlane => Some("swimlane"),
        _ => None,
    }
}
