//! For tests: what a decoder made of a record, owned.

use crate::decode::{Decoder, Input, Items, Reason, Skip, Wanted};
use crate::event::{Event, StatusClass, Trace};
use crate::outcome::Outcome;
use crate::resource::{Gauge, Instance, Measure};
use crate::source::{Format, Source};

/// An event without borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedEvent {
    pub(crate) time: i64,
    pub(crate) duration: Option<u64>,
    pub(crate) service: String,
    pub(crate) namespace: String,
    pub(crate) operation: String,
    pub(crate) outcome: Outcome,
    pub(crate) error_type: String,
    pub(crate) class: StatusClass,
    pub(crate) host: String,
    pub(crate) tags: Vec<String>,
    pub(crate) weight: u32,
    pub(crate) trace: Option<Trace>,
    pub(crate) dedup: Option<u128>,
}

/// Everything that was made of some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) events: Vec<(u32, OwnedEvent)>,
    pub(crate) skipped: Vec<(u32, Skip)>,
    pub(crate) dead: Vec<(u32, Reason, Vec<u8>)>,
    pub(crate) gauges: Vec<OwnedGauge>,
}

/// A sample without borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedGauge {
    /// ns.
    pub(crate) time: i64,
    /// Namespace and name.
    pub(crate) service: String,
    pub(crate) instance: Instance,
    pub(crate) measure: Measure,
    /// Millionths.
    pub(crate) value: u64,
}

impl Items for Collected {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        let owned = OwnedEvent {
            time: event.event_time.0,
            duration: event.duration,
            service: event.service.to_owned(),
            namespace: event.namespace.to_owned(),
            operation: event.operation.to_owned(),
            outcome: event.outcome,
            error_type: event.error_type.to_owned(),
            class: event.status_class,
            host: event.host.to_owned(),
            tags: event.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            weight: event.weight,
            trace: event.trace,
            dedup: event.dedup,
        };
        assert!(!owned.service.is_empty() && !owned.operation.is_empty() && owned.time > 0 && owned.weight > 0);
        self.events.push((at, owned));
    }

    fn skipped(&mut self, at: u32, reason: Skip) {
        self.skipped.push((at, reason));
    }

    fn gauge(&mut self, gauge: &Gauge<'_>) {
        let Gauge { time, service, namespace, instance, measure, value } = *gauge;
        self.gauges.push(OwnedGauge { time: time.0, service: format!("{namespace}/{service}"), instance, measure, value });
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        assert!(!detail.is_empty());
        self.dead.push((at, reason, bytes.to_vec()));
    }
}

impl Collected {
    /// Items seen.
    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.skipped.len() + self.dead.len()
    }

    /// The reasons of the dead, in order.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        self.dead.iter().map(|(_, reason, _)| *reason).collect()
    }

    /// The only event.
    pub(crate) fn only(&self) -> &OwnedEvent {
        match self.events.as_slice() {
            [(_, event)] if self.len() == 1 => event,
            _ => panic!("not one event: {self:?}"),
        }
    }
}

/// What `decoder` makes of a value.
pub(crate) fn decode(decoder: &mut dyn Decoder, value: &[u8]) -> Collected {
    let mut collected = Collected::default();
    decoder.decode(&Input::new(value), &mut collected);
    collected
}

/// The built-in source of a format, with the time as given, so that tests see what stands in the input.
pub(crate) fn source(format: Format) -> Source {
    let mut source = Source::for_format(format);
    source.placing.wanted = None;
    source
}

/// Wants these tags, and traces.
pub(crate) fn wanted(tags: &[&str]) -> Wanted {
    Wanted { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), traces: true }
}

/// Decodes with a decoder that has seen other records and with a new one: what was before must not show.
pub(crate) fn decode_twice(warm: &mut dyn Decoder, new: &mut dyn Decoder, value: &[u8]) -> Collected {
    let collected = decode(warm, value);
    assert_eq!(collected, decode(new, value), "a decoder remembers");
    collected
}

/// One change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(proptest::sample::Index, u8),
    Cut(proptest::sample::Index),
    Drop(proptest::sample::Index),
    Double(proptest::sample::Index, proptest::sample::Index),
}

/// Some changes.
pub(crate) fn changes() -> impl proptest::strategy::Strategy<Value = Vec<Change>> {
    use proptest::prelude::*;
    let index = any::<proptest::sample::Index>;
    let change = prop_oneof![
        8 => (index(), any::<u8>()).prop_map(|(i, b)| Change::Set(i, b)),
        8 => (index(), prop::sample::select(br#"{}[]":,-0 "\null1"#.to_vec())).prop_map(|(i, b)| Change::Set(i, b)),
        1 => index().prop_map(Change::Cut),
        3 => index().prop_map(Change::Drop),
        2 => (index(), index()).prop_map(|(i, j)| Change::Double(i, j)),
    ];
    prop::collection::vec(change, 0..4)
}

/// Bytes with changes applied.
pub(crate) fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Change::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Cut(at) => {
                let at = at.index(bytes.len());
                bytes.truncate(at);
            }
            Change::Drop(at) => {
                let at = at.index(bytes.len());
                bytes.remove(at);
            }
            Change::Double(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from.max(to)..from.max(to), part);
            }
        }
    }
    bytes
}
