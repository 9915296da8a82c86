//! Many files as one object with one name: the canonical form of a set, whose SHA-256 is the set's content hash.
//!
//! `golden-overrides/1\n`, then for each file, in the order of paths: length of the path (4 bytes, big-endian), path, length of the content
//! (4 bytes, big-endian), content. The same files give the same bytes, and what is read is refused unless packing it again gives the same.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Most bytes of an archive.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most files, so most services.
pub const MAX_FILES: usize = 10_000;
const MAGIC: &[u8] = b"golden-overrides/1\n";

/// Content of files by path, `<team>/<service>.yaml`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why files are not packed, or an archive is not read. Nothing of it is used then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Over the limit.
    #[error("{bytes} bytes; at most {MAX_BYTES} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Over the limit.
    #[error("{files} files; at most {MAX_FILES} are allowed")]
    TooMany {
        /// How many.
        files: usize,
    },
    /// Cut, damaged, or of another form.
    #[error("not an archive of overrides, at byte {at}")]
    Damaged {
        /// Where it is not as it should be.
        at: usize,
    },
}

/// The archive of these files.
///
/// # Errors
/// When there are too many or they are too large.
pub fn pack(files: &Files) -> Result<Vec<u8>, ArchiveError> {
    if files.len() > MAX_FILES {
        return Err(ArchiveError::TooMany { files: files.len() });
    }
    let bytes = files.iter().fold(MAGIC.len(), |sum, (path, content)| sum.saturating_add(8 + path.len()).saturating_add(content.len()));
    if bytes > MAX_BYTES {
        return Err(ArchiveError::TooLarge { bytes });
    }
    let mut out = Vec::with_capacity(bytes);
    out.extend_from_slice(MAGIC);
    for part in files.iter().flat_map(|(path, content)| [path.as_bytes(), content]) {
        let length = u32::try_from(part.len()).map_err(|_| ArchiveError::TooLarge { bytes })?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(part);
    }
    Ok(out)
}

/// The files of an archive.
///
/// # Errors
/// When it is too large, damaged, or not in canonical form.
pub fn unpack(archive: &[u8]) -> Result<Files, ArchiveError> {
    if archive.len() > MAX_BYTES {
        return Err(ArchiveError::TooLarge { bytes: archive.len() });
    }
    let damaged = |rest: &[u8]| ArchiveError::Damaged { at: archive.len() - rest.len() };
    let mut rest = archive.strip_prefix(MAGIC).ok_or(ArchiveError::Damaged { at: 0 })?;
    let mut files = Files::new();
    while !rest.is_empty() {
        let start = rest;
        let path = take(&mut rest).and_then(|path| std::str::from_utf8(path).ok()).ok_or_else(|| damaged(start))?;
        let content = take(&mut rest).ok_or_else(|| damaged(start))?;
        if files.last_key_value().is_some_and(|(last, _)| last.as_str() >= path) {
            return Err(damaged(start));
        }
        files.insert(path.to_owned(), content.to_vec());
        if files.len() > MAX_FILES {
            return Err(ArchiveError::TooMany { files: files.len() });
        }
    }
    Ok(files)
}

/// One part with its length in front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (part, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = behind;
    Some(part)
}

/// SHA-256, in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn files(entries: &[(&str, &str)]) -> Files {
        entries.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_form_is_what_the_header_says() {
        let packed = pack(&files(&[("b/s.yaml", "2"), ("a/s.yaml", "one")])).unwrap();
        assert_eq!(packed, b"golden-overrides/1\n\0\0\0\x08a/s.yaml\0\0\0\x03one\0\0\0\x08b/s.yaml\0\0\0\x012");
        assert_eq!(sha256(&packed), "bbefd5401ebed9a8ca98133ef3266f30cd93339c7101776373f237ff4a3b7e2c");
        assert_eq!(pack(&Files::new()).unwrap(), MAGIC);
    }

    #[test]
    fn too_much_is_refused() {
        let large = Files::from([("a/s.yaml".to_owned(), vec![0; MAX_BYTES])]);
        assert!(matches!(pack(&large), Err(ArchiveError::TooLarge { .. })));
        assert!(matches!(unpack(&vec![0; MAX_BYTES + 1]), Err(ArchiveError::TooLarge { .. })));
        let many: Files = (0..=MAX_FILES).map(|n| (format!("a/{n}.yaml"), Vec::new())).collect();
        assert_eq!(pack(&many), Err(ArchiveError::TooMany { files: MAX_FILES + 1 }));
    }

    #[test]
    fn paths_that_repeat_or_are_not_in_order_are_damage() {
        let entry = |path: &str| [&[0, 0, 0, path.len() as u8], path.as_bytes(), &[0, 0, 0, 0]].concat();
        let archive = |paths: &[&str]| [MAGIC.to_vec(), paths.iter().flat_map(|p| entry(p)).collect()].concat();
        assert_eq!(unpack(&archive(&["a", "b"])).unwrap().len(), 2);
        for paths in [["a", "a"], ["b", "a"]] {
            assert_eq!(unpack(&archive(&paths)), Err(ArchiveError::Damaged { at: MAGIC.len() + 9 }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn files_come_out_as_they_went_in(entries in proptest::collection::btree_map("[a-zé/]{0,9}", proptest::collection::vec(any::<u8>(), 0..40), 0..9)) {
            prop_assert_eq!(unpack(&pack(&entries).unwrap()).unwrap(), entries);
        }

        #[test]
        fn what_is_read_packs_to_the_same_bytes(
            entries in proptest::collection::btree_map("[a-z]{1,3}", proptest::collection::vec(any::<u8>(), 0..9), 1..5),
            at: prop::sample::Index, change: u8, cut: prop::sample::Index,
        ) {
            let mut archive = pack(&entries).unwrap();
            let at = at.index(archive.len());
            archive[at] = change;
            archive.truncate(cut.index(archive.len()) + 1);
            if let Ok(files) = unpack(&archive) {
                prop_assert_eq!(pack(&files).unwrap(), archive);
            }
        }
    }
}
