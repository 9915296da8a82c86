//! A model of the router, small enough that every order of its steps can be tried (stateright).
//!
//! Two colours append, workers forward and cut, controllers order, and each may stop, wake late or take another's place between any two
//! steps. The growth rule and the fold of the control log are the product's own; the rest says in few lines what GUARANTEES 3.5 to 3.8 say.
//! What this does not do: it knows no time, no bytes, no Kafka; whether a transaction is atomic and a zombie is fenced is shown elsewhere.

/// Whose window it is, where a flip cuts, what is held: pure.
pub mod authority;
/// The situations that are tried.
pub mod cases;
/// What a deployment writes.
pub mod colour;
/// What stands in the control log, and what a reader of a part of it sees.
pub mod control;
/// All of it together: state, steps, properties.
pub mod model;
/// Mistakes that can be put in, to see whether they are found.
pub mod planted;
/// One partition, and one transaction of its worker.
pub mod worker;
