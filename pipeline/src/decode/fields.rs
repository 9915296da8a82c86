//! Named texts of one item, and the last step that all presets share: from what was found to an event.
//!
//! A preset says which names its format has; a source adds those of its tags, rules and id. Only these are kept while an item is read, by
//! number; the rest is passed over. Texts are borrowed from the record; those that need unescaping lie in a text that is reused.

use crate::decode::ids::DedupId;
use crate::decode::timestamp::Placing;
use crate::decode::{Input, Items, Reason, Skip, Wanted};
use crate::event::{Event, MAX_WANTED, MAX_WEIGHT, Trace};
use crate::outcome::{Status, classify};
use crate::source::{Dedup, Path, Source};
use platform_core::map::Map;
use platform_core::time::EventTime;

/// Most names that are looked for; a mask of one `u128` says which are there.
const MAX_NAMES: usize = 128;

/// Number of a name in `Names`. The preset's own come first, in its order.
pub(crate) type Name = u8;

/// Names of a preset as constants by which they are asked for, and `OWN`, the list of their texts; numbered from 0, in order.
macro_rules! own_names {
    ($($constant:ident = $number:literal $name:literal,)+) => {
        const OWN: &[&str] = &[$($name,)+];
        $(pub(crate) const $constant: crate::decode::fields::Name = $number;)+
    };
}
pub(crate) use own_names;

/// Which names are looked for.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: Map<Box<str>, Name>,
    /// For each wanted tag, the names that hold it.
    tags: Vec<Vec<Name>>,
    /// For each place in the body that a rule or an id reads, the names that hold it.
    places: Vec<(Vec<String>, Vec<Name>)>,
}

impl Names {
    /// `own`: the preset's names. `alias`: names that stand for a canonical tag or field; none: its own name.
    fn new(own: &[&str], alias: fn(&str) -> &'static [&'static str], source: &Source, wanted: &Wanted) -> Self {
        let mut names = Self { numbers: Map::default(), tags: Vec::new(), places: Vec::new() };
        for name in own {
            names.number(name);
        }
        names.tags = wanted.tags.iter().map(|tag| names.all(tag, alias)).collect();
        let id = if let Dedup::By(paths) = &source.dedup { paths.as_slice() } else { &[] };
        let read = source.outcome.iter().map(|r| &r.when.path).chain(source.filter.iter().map(|c| &c.path)).chain(id);
        for path in read {
            if let Path::Body(keys) = path {
                let tag = keys.strip_prefix(["tags".to_owned()].as_slice()).filter(|rest| !rest.is_empty());
                let numbers = names.all(&tag.unwrap_or(keys).join("."), alias);
                names.places.push((keys.clone(), numbers));
            }
        }
        names
    }

    fn all(&mut self, name: &str, alias: fn(&str) -> &'static [&'static str]) -> Vec<Name> {
        let mut aliases = alias(name).iter().filter_map(|n| self.number(n)).collect::<Vec<_>>();
        if aliases.is_empty() {
            aliases.extend(self.number(name));
        }
        aliases
    }

    fn number(&mut self, name: &str) -> Option<Name> {
        if let Some(number) = self.get(name) {
            return Some(number);
        }
        let next = Name::try_from(self.numbers.len()).ok().filter(|n| usize::from(*n) < MAX_NAMES)?;
        self.numbers.insert(name.into(), next);
        Some(next)
    }

    /// The number of a name that is looked for.
    pub(crate) fn get(&self, name: &str) -> Option<Name> {
        self.numbers.get(name).copied()
    }
}

/// A text of an item: in the record, or in the reused text that holds what was unescaped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot<'a> {
    /// In the record.
    Borrowed(&'a str),
    /// From and to, in the reused text.
    Kept(usize, usize),
}

impl Default for Slot<'_> {
    fn default() -> Self {
        Self::Borrowed("")
    }
}

impl<'a> Slot<'a> {
    /// The text.
    pub(crate) fn text<'t>(self, kept: &'t str) -> &'t str
    where
        'a: 't,
    {
        match self {
            Self::Borrowed(text) => text,
            Self::Kept(from, to) => kept.get(from..to).unwrap_or_default(),
        }
    }
}

/// Texts by name, of an item or of what it lies in.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    present: u128,
    slots: [Slot<'a>; MAX_NAMES],
}

impl Default for Layer<'_> {
    fn default() -> Self {
        Self { present: 0, slots: [Slot::default(); MAX_NAMES] }
    }
}

impl<'a> Layer<'a> {
    /// Forgets all texts.
    pub(crate) fn clear(&mut self) {
        self.present = 0;
    }

    /// Keeps a text, unless there is one of this name.
    pub(crate) fn set(&mut self, name: Name, slot: Slot<'a>) {
        let bit = 1_u128.checked_shl(name.into()).unwrap_or(0);
        if let Some(place) = self.slots.get_mut(usize::from(name)).filter(|_| self.present & bit == 0) {
            *place = slot;
            self.present |= bit;
        }
    }

    /// Keeps a text, also when there is one of this name.
    pub(crate) fn replace(&mut self, name: Name, slot: Slot<'a>) {
        self.present &= !1_u128.checked_shl(name.into()).unwrap_or(0);
        self.set(name, slot);
    }

    /// The texts, in order of their names' numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, Slot<'a>)> {
        (0..).zip(&self.slots).filter(|(name, _)| self.get(*name).is_some()).map(|(name, slot)| (name, *slot))
    }

    fn get(&self, name: Name) -> Option<Slot<'a>> {
        let there = self.present.checked_shr(name.into()).unwrap_or(0) & 1 == 1;
        self.slots.get(usize::from(name)).copied().filter(|_| there)
    }
}

/// An item's texts: its own first, then those of what it lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'t, 'a> {
    /// Innermost first.
    pub(crate) layers: &'t [&'t Layer<'a>],
    /// What was unescaped.
    pub(crate) kept: &'t str,
}

impl<'t, 'a: 't> View<'t, 'a> {
    /// The text of a name, even when it is empty.
    pub(crate) fn raw(&self, name: Name) -> Option<&'t str> {
        self.layers.iter().find_map(|layer| layer.get(name)).map(|slot| slot.text(self.kept))
    }

    /// The first of these names that has a text, and it.
    pub(crate) fn first_of(&self, names: &[Name]) -> Option<(Name, &'t str)> {
        names.iter().find_map(|name| {
            let texts = self.layers.iter().filter_map(|layer| layer.get(*name)).map(|slot| slot.text(self.kept));
            texts.into_iter().find(|t| !t.is_empty()).map(|text| (*name, text))
        })
    }

    /// The first text among these names; empty when there is none.
    pub(crate) fn text(&self, names: &[Name]) -> &'t str {
        self.first_of(names).map_or("", |(_, text)| text)
    }
}

/// Why an item is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a request here.
    Skip(Skip),
    /// Bad, with what is wrong.
    Dead(Reason, &'static str),
}

impl From<Skip> for Refusal {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        let detail = match reason {
            Reason::TimeMissing => "the item has no time",
            Reason::TimeInvalid => "the time is no time, not above zero, or not representable",
            Reason::ServiceMissing => "the item names no service, and the source has no default",
            Reason::LatencyInvalid => "the duration is no number of nanoseconds from 0 to 2^64 - 1",
            Reason::StatusInvalid => "the status is none",
            Reason::WeightInvalid => "the weight is not within 1 to 1000000",
            Reason::DecodeUtf8 => "a text is not UTF-8",
            Reason::DecodeProtobuf => "the bytes are no Protobuf message",
            Reason::DepthExceeded => "nested deeper than 32",
            Reason::SizeExceeded => "the item is larger than 1 MiB",
            Reason::EmptyValue => "the value has no bytes",
            _ => "the item is not of this format",
        };
        Self::Dead(reason, detail)
    }
}

impl Refusal {
    /// Hands the refusal on.
    pub(crate) fn tell(self, at: u32, bytes: &[u8], items: &mut dyn Items) {
        match self {
            Self::Skip(skip) => items.skipped(at, skip),
            Self::Dead(reason, detail) => items.dead(at, reason, detail, bytes),
        }
    }
}

/// What a preset found in an item, before the source's rules, defaults and tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'t> {
    /// The item as it came; empty when that is not at hand.
    pub(crate) raw: &'t [u8],
    /// As given, in ns.
    pub(crate) time: i64,
    pub(crate) duration: Option<u64>,
    /// Never empty.
    pub(crate) service: &'t str,
    pub(crate) namespace: &'t str,
    /// Empty when unknown.
    pub(crate) operation: &'t str,
    pub(crate) status: Status<'t>,
    pub(crate) host: &'t str,
    /// Sampling threshold T in 2^-56: the event stands for 2^56 / (2^56 - T) requests.
    pub(crate) threshold: u64,
    pub(crate) trace: Option<Trace>,
    /// Parts of the format's own id; none: it has none.
    pub(crate) id: &'t [Option<&'t [u8]>],
}

/// What a preset knows of its source.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) source: Source,
    pub(crate) names: Names,
    wanted: Wanted,
    placing: Placing,
}

impl Preset {
    pub(crate) fn new(own: &[&str], alias: fn(&str) -> &'static [&'static str], source: &Source, wanted: &Wanted) -> Self {
        let names = Names::new(own, alias, source, wanted);
        Self { source: source.clone(), names, wanted: wanted.clone(), placing: source.placing }
    }

    /// The default service; empty when there is none.
    pub(crate) fn default_service(&self) -> &str {
        self.source.defaults.service.as_deref().unwrap_or_default()
    }

    /// The text at a place of the item or of its record.
    fn place<'t, 'a: 't>(&self, path: &Path, view: &View<'t, 'a>, input: &Input<'t>) -> Option<&'t str> {
        match path {
            Path::Body(keys) => {
                let (_, names) = self.names.places.iter().find(|(place, _)| place == keys)?;
                names.iter().find_map(|name| view.raw(*name))
            }
            Path::Header(name) => input.headers.get(name).and_then(|value| std::str::from_utf8(value).ok()),
            Path::Key => input.key.and_then(|key| std::str::from_utf8(key).ok()),
        }
    }

    /// Refuses what the source's filter holds back.
    pub(crate) fn pass(&self, view: &View<'_, '_>, input: &Input<'_>) -> Result<(), Refusal> {
        if self.source.passes(|_, path| self.place(path, view, input)) { Ok(()) } else { Err(Skip::Filtered.into()) }
    }

    /// Makes the event: rules, defaults, tags, event time, id.
    pub(crate) fn finish(
        &self,
        at: u32,
        found: &Found<'_>,
        view: &View<'_, '_>,
        input: &Input<'_>,
        id: &mut DedupId,
        items: &mut dyn Items,
    ) -> Result<(), Refusal> {
        let defaults = &self.source.defaults;
        let mut status = found.status;
        if !self.source.outcome.is_empty() {
            status.stated = self.source.stated_outcome(found.service, |_, path| self.place(path, view, input));
        }
        let verdict = classify(&status)?;
        let event_time = self.placing.event_time(found.time, found.duration)?;

        match &self.source.dedup {
            Dedup::Off => id.clear(),
            Dedup::OfFormat => id.set(found.id.iter().copied())?,
            Dedup::By(paths) => id.set(paths.iter().map(|path| self.place(path, view, input).map(str::as_bytes)))?,
        }
        let weight = weight_of(found.threshold, || id.draw(input.coordinate, at))?;
        let mut tags = [""; MAX_WANTED];
        for ((slot, name), numbers) in tags.iter_mut().zip(&self.wanted.tags).zip(&self.names.tags) {
            *slot = match view.text(numbers) {
                "" => defaults.tag(name),
                text => text,
            };
        }
        let operation = filled(found.operation, defaults.operation.as_ref());
        items.event(
            at,
            &Event {
                event_time: EventTime(event_time),
                duration: found.duration,
                service: found.service,
                namespace: filled(found.namespace, defaults.namespace.as_ref()),
                operation: if operation.is_empty() { "unknown" } else { operation },
                outcome: verdict.outcome,
                error_type: verdict.error_type,
                status: &status,
                status_class: verdict.status_class,
                host: filled(found.host, defaults.host.as_ref()),
                tags: tags.get(..self.wanted.tags.len()).unwrap_or(&tags),
                weight,
                trace: found.trace.filter(|_| self.wanted.traces),
                dedup: id.hash(),
                raw: found.raw,
            },
        );
        Ok(())
    }
}

fn filled<'t>(text: &'t str, default: Option<&'t String>) -> &'t str {
    if text.is_empty() { default.map_or("", String::as_str) } else { text }
}

/// Requests that a sampled event stands for. A fraction rounds up if `draw` / 2⁶⁴ lies below it.
fn weight_of(threshold: u64, draw: impl FnOnce() -> u64) -> Result<u32, Reason> {
    const ALL: u64 = 1 << 56;
    if threshold == 0 {
        return Ok(1);
    }
    let kept = ALL.checked_sub(threshold).filter(|kept| *kept > 0).ok_or(Reason::WeightInvalid)?;
    let (whole, rest) = (ALL / kept, ALL % kept);
    // draw / 2^64 < rest / kept, in whole numbers.
    let up = rest != 0 && u128::from(draw()) * u128::from(kept) < u128::from(rest) << 64;
    u32::try_from(whole + u64::from(up)).ok().filter(|weight| *weight <= MAX_WEIGHT).ok_or(Reason::WeightInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_weight_that_is_right_on_average() {
        let of = |hex: u64, draw: u64| weight_of(hex, || draw);
        assert_eq!(of(0, 0), Ok(1));
        assert_eq!(of(0x80_0000_0000_0000, 0), Ok(2));
        assert_eq!(of(0xc0_0000_0000_0000, u64::MAX), Ok(4));
        // 10 %: T = 0xe6666666666668, a shade below 10.
        assert_eq!([of(0xe6_6666_6666_6668, 0), of(0xe6_6666_6666_6668, u64::MAX)], [Ok(11), Ok(10)]);
        // A third is kept: T = 0xaaaaaaaaaaaaab gives 3 and a shade.
        assert_eq!(of(0xaa_aaaa_aaaa_aaab, u64::MAX), Ok(3));
        assert_eq!(of((1 << 56) - 1, 0), Err(Reason::WeightInvalid));
        assert_eq!(of(1 << 56, 0), Err(Reason::WeightInvalid));
    }
}
