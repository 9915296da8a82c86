//! `golden overrides keygen`: the secret key goes to a file that only its owner can read, and nowhere else.

use crate::failure::{Failure, Outcome};
use golden_bundle::signature::SecretKey;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(super) fn keygen(file: &Path) -> Outcome {
    let (key, pem) = SecretKey::generate();
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    // An older key is never overwritten: what it has signed could not be signed again.
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    out.write_all(pem.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    eprintln!("the secret key is in {}: `golden overrides publish --sign` reads it there. The public key, for pipelines:", file.display());
    println!("{}", key.public());
    Ok(())
}
