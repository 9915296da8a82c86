//! The states of a flip, and in one table what may follow what; anything else does not compile.
//!
//! A flip's state is a fold over the control log (ordered, done, sealed) and over marks in the public topic (cut), never memory: a controller
//! that begins anew stands where the last one stood.
//!
//! A state is made here only, and a flip in a state by `then` only; what the table does not have does not compile, as this does:
//!
//! ```
//! use golden_router::controller::flip::{At, Done, Ordered, Sealed, Then};
//! fn follows<State: Then<Next>, Next>() {}
//! follows::<Done, Sealed>();
//! fn stays(flip: At<Ordered>) -> At<Ordered> {
//!     flip
//! }
//! ```
//!
//! A step too many, a step back, and a state out of nothing:
//!
//! ```compile_fail,E0277
//! use golden_router::controller::flip::{At, Done, Ordered, Sealed, Then};
//! fn follows<State: Then<Next>, Next>() {}
//! follows::<Ordered, Sealed>();
//! ```
//!
//! ```compile_fail,E0277
//! use golden_router::controller::flip::{At, Done, Ordered, Sealed, Then};
//! fn follows<State: Then<Next>, Next>() {}
//! follows::<Sealed, Done>();
//! ```
//!
//! ```compile_fail,E0423
//! use golden_router::controller::flip::{At, Done, Ordered};
//! fn stays(flip: At<Ordered>) -> Done {
//!     Done
//! }
//! ```
//!
//! ```compile_fail,E0451
//! use golden_router::controller::flip::{At, Ordered};
//! fn stays(flip: At<Ordered>, other: At<Ordered>) -> At<Ordered> {
//!     At { flip: flip, ..other }
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
    flip: &'a Flipped,
    /// How far it is.
    state: State,
}

impl<'a, State> At<'a, State> {
    /// The next state.
    fn then<Next>(self, next: Next) -> At<'a, Next>
    where
        State: Then<Next>,
    {
        At { flip: self.flip, state: next }
    }
}

/// Whether every partition says that the new deployment was read once more.
fn is_sealed_everywhere(flip: &Flipped, probe: &Probe) -> bool {
    !probe.public.is_empty() && probe.public.iter().all(|public| public.sealed.contains_key(&flip.order.flip))
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
        let ordered = match (At { flip, state: Ordered(()) }).look(probe) {
            Ok(cutting) => cutting,
            Err(ordered) => return Self::Ordered(ordered),
        };
        let cut = match ordered.look() {
            Ok(cut) => cut,
            Err(cutting) => return Self::Cutting(cutting),
        };
        match cut.look() {
            Ok(done) => match done.look(probe) {
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
