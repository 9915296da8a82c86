//! The last guard around every decoder: a panic becomes a dead letter, and the next record is read by a new decoder.
//!
//! Only the decoder's own panics are caught. What `items` panics at is a broken invariant of the caller, and goes on to it.

use super::{Decoder, Input, Items, Reason, Skip};
use crate::emit::remote_write::Content;
use crate::event::Event;
use crate::resource::Gauge;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Makes a decoder anew.
pub type Make = Box<dyn Fn() -> Box<dyn Decoder> + Send>;

/// A decoder whose panics are dead letters.
pub struct Guarded {
    make: Make,
    decoder: Box<dyn Decoder>,
}

impl Guarded {
    /// Guards the decoder that `make` makes.
    #[must_use]
    pub fn new(make: Make) -> Self {
        Self { decoder: make(), make }
    }
}

impl Decoder for Guarded {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let mut outward = Outward { items, inside: false };
        // Unwinding is safe: after a panic the decoder is thrown away, and `items` has only had whole calls.
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decoder.decode(input, &mut outward)));
        if let Err(panic) = decoded {
            if outward.inside {
                resume_unwind(panic);
            }
            self.decoder = (self.make)();
            outward.items.dead(0, Reason::Crash, "decoding panicked; what it gave before stands", input.value);
        }
    }
}

/// Knows whether a panic came from the caller.
struct Outward<'i> {
    items: &'i mut dyn Items,
    inside: bool,
}

impl Items for Outward<'_> {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        self.inside = true;
        self.items.event(at, event);
        self.inside = false;
    }

    fn skipped(&mut self, at: u32, reason: Skip) {
        self.inside = true;
        self.items.skipped(at, reason);
        self.inside = false;
    }

    fn gauge(&mut self, gauge: &Gauge<'_>) {
        self.inside = true;
        self.items.gauge(gauge);
        self.inside = false;
    }

    fn content(&mut self, content: Content) {
        self.inside = true;
        self.items.content(content);
        self.inside = false;
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        self.inside = true;
        self.items.dead(at, reason, detail, bytes);
        self.inside = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::collected::Collected;

    /// Panics at the second record that it reads.
    struct Fragile {
        read: u32,
    }

    impl Decoder for Fragile {
        fn decode(&mut self, _: &Input<'_>, items: &mut dyn Items) {
            items.skipped(self.read, Skip::Filtered);
            self.read += 1;
            assert!(self.read < 2, "as it must");
        }
    }

    #[test]
    fn a_panic_is_one_dead_letter_and_the_next_record_is_read_anew() {
        let mut decoder = Guarded::new(Box::new(|| Box::new(Fragile { read: 0 })));
        let mut collected = Collected::default();
        for value in [b"a", b"b", b"c"] {
            decoder.decode(&Input::new(value), &mut collected);
        }
        assert_eq!(collected.skipped, [(0, Skip::Filtered), (1, Skip::Filtered), (0, Skip::Filtered)]);
        assert_eq!(collected.dead, [(0, Reason::Crash, b"b".to_vec())]);
    }

    #[test]
    fn a_panic_of_the_caller_is_not_hidden() {
        struct Broken;
        impl Items for Broken {
            fn event(&mut self, _: u32, _: &Event<'_>) {}
            fn skipped(&mut self, _: u32, _: Skip) {
                panic!("an invariant");
            }
            fn dead(&mut self, _: u32, _: Reason, _: &str, _: &[u8]) {}
        }
        let mut decoder = Guarded::new(Box::new(|| Box::new(Fragile { read: 0 })));
        assert!(catch_unwind(AssertUnwindSafe(|| decoder.decode(&Input::new(b"a"), &mut Broken))).is_err());
    }
}
