//! Where bundles are, as people write it: `s3://bucket/prefix`, or a folder.

use crate::blob::Blob;
use crate::folder::Folder;
use crate::s3::{S3, S3Error, S3Settings};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place for bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// In front of all keys, without `/` at its ends; may be empty.
        prefix: String,
    },
    /// In a folder of this machine.
    Folder(PathBuf),
}

/// Why a text is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither s3://BUCKET/PREFIX nor a folder")]
pub struct BadPlace {
    /// What was given.
    pub text: String,
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let bad = || BadPlace { text: text.to_owned() };
        let Some(rest) = text.strip_prefix("s3://") else {
            let fits = !text.is_empty() && !text.contains("://");
            return if fits { Ok(Self::Folder(text.into())) } else { Err(bad()) };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(letter);
        if (3..=63).contains(&bucket.len()) && fits(bucket) && (prefix.is_empty() || prefix.split('/').all(fits)) {
            Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl Place {
    /// The store there. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the system gives no means to reach S3.
    pub fn open(&self, s3: &S3Settings) -> Result<Box<dyn Blob>, S3Error> {
        Ok(match self {
            Self::S3 { bucket, prefix } => Box::new(S3::new(bucket, prefix, s3.clone())?),
            Self::Folder(path) => Box::new(Folder::new(path)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let s3 = |bucket: &str, prefix: &str| Ok(Place::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!("s3://golden".parse(), s3("golden", ""));
        assert_eq!("s3://golden/team/overrides/".parse(), s3("golden", "team/overrides"));
        assert_eq!("bundles/here".parse(), Ok(Place::Folder("bundles/here".into())));
        for bad in
            ["", "s3://", "s3://a", "s3:///x", "s3://golden/a//b", "s3://golden/../b", "s3://golden/é", "https://golden/x", "s3://gol den"]
        {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        for text in ["s3://golden", "s3://golden/team/overrides", "a/folder"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
    }
}
