//! Sealed: the new deployment answers for every window. The old one may be stopped.

/// It is over.
#[derive(Clone, Copy, Debug)]
pub struct Sealed(pub(super) ());
