//! The states of a flip, and in one table what may follow what; anything else does not compile.
//!
//! A flip's state is a fold over the control log (ordered, done, sealed) and over marks in the public topic (cut), never memory: a controller
//! that begins anew stands where the last one stood.
//!
//! ```compile_fail
//! use golden_router::controller::flip::{At, Done, Ordered};
//! fn skips_the_cuts(flip: At<Ordered>) -> At<Done> {
//!     flip.then(Done)
//! }
//! ```

mod cut;
mod cutting;
mod done;
mod ordered;
mod sealed;

use crate::controller::observe::Probe;
use crate::orders::Flipped;
pub use cut::Cut;
pub use cutting::Cutting;
pub use done::Done;
pub use ordered::Ordered;
pub use sealed::Sealed;

/// What may follow a state.
pub trait Then<Next> {}

// The table.
impl Then<Cutting> for Ordered {}
impl Then<Cut> for Cutting {}
impl Then<Done> for Cut {}
impl Then<Sealed> for Done {}

/// A flip in a state.
#[derive(Clone, Copy, Debug)]
pub struct At<'a, State> {
    /// What was ordered, and what became of it.
    pub flip: &'a Flipped,
    /// How far it is.
    pub state: State,
}

impl<'a, State> At<'a, State> {
    /// The next state.
    pub fn then<Next>(self, next: Next) -> At<'a, Next>
    where
        State: Then<Next>,
    {
        At { flip: self.flip, state: next }
    }
}

/// How far a flip is.
#[derive(Clone, Copy, Debug)]
pub enum Stand<'a> {
    /// No worker has cut.
    Ordered(At<'a, Ordered>),
    /// Some have.
    Cutting(At<'a, Cutting>),
    /// All have; the receipt is owed.
    Cut(At<'a, Cut>),
    /// It has its receipt; the old deployment still corrects its windows.
    Done(At<'a, Done>),
    /// It is over.
    Sealed(At<'a, Sealed>),
}

impl<'a> Stand<'a> {
    /// Where a flip stands.
    #[must_use]
    pub fn of(flip: &'a Flipped, probe: &Probe) -> Self {
        let ordered = match (At { flip, state: Ordered }).look(probe) {
            Ok(cutting) => cutting,
            Err(ordered) => return Self::Ordered(ordered),
        };
        let cut = match ordered.look() {
            Ok(cut) => cut,
            Err(cutting) => return Self::Cutting(cutting),
        };
        match cut.look() {
            Ok(done) => match done.look() {
                Ok(sealed) => Self::Sealed(sealed),
                Err(done) => Self::Done(done),
            },
            Err(cut) => Self::Cut(cut),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ordered(_) => "ordered",
            Self::Cutting(_) => "cutting",
            Self::Cut(_) => "cut",
            Self::Done(_) => "done",
            Self::Sealed(_) => "sealed",
        }
    }
}
