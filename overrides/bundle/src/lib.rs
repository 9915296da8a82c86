//! Bundles: all overrides of one version as one object, published to S3 or a folder and found again by polling.
//!
//! A store of objects (`blob`: `folder` or `s3`, told apart by `place`) holds archives under their content hash, and one pointer that says
//! which of them counts (`publication`, perhaps with a `signature`). `publish` moves the pointer, and moving it is the one moment at which
//! anything changes; `history` reads what was published; `poll` gives a pipeline what is new, or says why it is refused. What files mean is
//! the business of `golden_overrides`; nothing here compiles one. Time and randomness come in by argument.
//!
//! ```
//! use golden_bundle::folder::Folder;
//! use golden_bundle::poll::{Found, Poller};
//! use golden_bundle::publish::{Order, What, publish};
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//!
//! let store = Folder::new(folder);
//! let files = [("shop/cart.yaml".to_owned(), b"owner: shop\n".to_vec())].into();
//! let order = Order { what: What::Files(&files), by: "ann", commit: None, at: "2026-01-01T00:00:00Z", nonce: "5eed", key: None };
//! publish(&store, &order, &|_| Ok(())).unwrap();
//!
//! let mut poller = Poller::new(Box::new(store), None, std::time::Duration::from_secs(300));
//! let Ok(Found::New(bundle)) = poller.poll(0, None) else { panic!("it was published") };
//! assert_eq!((bundle.publication.version, &bundle.files), (1, &files));
//! ```

/// Objects that are written whole and on condition.
pub mod blob;
/// Objects in a folder.
pub mod folder;
/// What was published.
pub mod history;
mod paths;
/// Where bundles are, as people write it.
pub mod place;
/// What is new, for a pipeline.
pub mod poll;
/// What a version is: the pointer.
pub mod publication;
/// Making a version.
pub mod publish;
/// Objects in S3.
pub mod s3;
/// Who may publish.
pub mod signature;
