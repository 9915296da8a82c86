//! Keys and signatures: the stored form stays readable, and a secret key shows nothing.

use golden_bundle::publication::{Previous, Publication};
use golden_bundle::signature::{BadKey, PublicKey, SecretKey};

/// Made by `openssl genpkey -algorithm ed25519`; guards nothing.
const PEM: &str = include_str!("samples/secret.pem");
const PUBLIC: &str = "ukLptNDl5ASu+E2uSp1X+7+lOuLeVCAdLX7k8nPrzvk=";

#[test]
fn the_first_stored_form_is_read_and_its_signature_holds() {
    let stored = include_bytes!("samples/publication-1.json");
    let read = Publication::parse(stored).unwrap();
    let expected = Publication {
        version: 7,
        sha256: "b87f403675035cf2a7f9e3224b74b428e1981c1ba32599133497d1c5ae7c2d2b".to_owned(),
        published_at: "2026-11-21T10:33:48Z".to_owned(),
        published_by: "ann".to_owned(),
        commit: Some("90f4e388d3ee30bc0820f33e853cab90cf68f873".to_owned()),
        rollback_of: Some(5),
        previous: Some(Previous { version: 6, sha256: "0".repeat(64) }),
        nonce: "305bb34d12ab19fedfbfa71733978e9d".to_owned(),
        signature: None,
    };
    let expected = expected.sign(&SecretKey::from_pem(PEM).unwrap());
    assert_eq!(read, expected, "{}", String::from_utf8(expected.to_bytes()).unwrap());
    assert_eq!(expected.to_bytes(), stored);
    assert!(read.is_signed_by(&PUBLIC.parse().unwrap()));
}

#[test]
fn every_change_of_what_is_signed_breaks_the_signature() {
    let read = Publication::parse(include_bytes!("samples/publication-1.json")).unwrap();
    let key: PublicKey = PUBLIC.parse().unwrap();
    let changes: [fn(&mut Publication); 9] = [
        |p| p.version += 1,
        |p| p.sha256 = "1".repeat(64),
        |p| p.published_at.push('0'),
        |p| p.published_by = "bob".to_owned(),
        |p| p.commit = None,
        |p| p.rollback_of = None,
        |p| p.previous = None,
        |p| p.nonce.push('0'),
        |p| p.signature = Some("AAAA".to_owned()),
    ];
    for change in changes {
        let mut other = read.clone();
        change(&mut other);
        assert!(!other.is_signed_by(&key), "{other:?}");
    }
}

#[test]
fn keys_are_read_as_they_are_written_and_nothing_else_is() {
    let (key, pem) = SecretKey::generate();
    assert_eq!(SecretKey::from_pem(&pem).unwrap().public(), key.public());
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!(SecretKey::from_pem(PEM).unwrap().public().to_string(), PUBLIC);
    assert_ne!(SecretKey::generate().0.public(), key.public());
    for bad in ["", "key", &pem[..40], &pem.replace("MC", "MD"), PUBLIC] {
        assert_eq!(SecretKey::from_pem(bad).err(), Some(BadKey::Secret));
    }
    for bad in ["", "AAAA", &pem, "ukLptNDl5ASu"] {
        assert_eq!(bad.parse::<PublicKey>(), Err(BadKey::Public));
    }
}

#[test]
fn a_secret_key_shows_nothing_of_itself() {
    let key = SecretKey::from_pem(PEM).unwrap();
    assert_eq!(format!("{key:?}"), format!("SecretKey(of {PUBLIC})"));
}
