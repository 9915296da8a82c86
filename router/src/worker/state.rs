//! What a worker knows: a fold over its own output partitions.
//!
//! The published map (identity → revision, totals) lies in the store; the rest is small and stands there as one entry. The store may be any
//! earlier state: reading the own output once more from where it stands changes nothing that is known already. Without a store the output is
//! read from the first record of the oldest window that is remembered, which stands beside the committed positions.

use super::Unusable;
use crate::authority::CutAt;
use crate::deployment::{Colour, Deployment};
use crate::marks::Cut;
use crate::rule::Published;
use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::growth::Sums;
use platform_core::log::{Log, Positions};
use platform_core::map::OrderedMap;
use platform_core::record::{Offset, Partition};
use platform_core::stage::StageError;
use platform_core::store::{Change, Changes, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Prefix of keys of the published map: `1 | identity` → `Published`. Identities sort by window, so old ones leave as a range.
const PUBLISHED: u8 = 1;
/// Key of everything else.
const SMALL: [u8; 1] = [2];
/// Memory of one entry of the published map that is not in the store.
const ENTRY: usize = 256;
/// Most bytes of a worker's name that are kept.
const MAX_NAME: usize = 96;

pub(super) struct State {
    outputs: Vec<Partition>,
    remember: i64,
    /// The published map, as far as it is not in the store, by the keys that it has there. They come in the order of identities, mostly, and
    /// the store takes what is sorted at half the cost.
    changed: OrderedMap<Vec<u8>, Published>,
    /// The key that is looked for.
    key: Vec<u8>,
    /// The store holds nothing behind this key. Identities of a window rise as they come, mostly: so few are looked for in vain.
    kept: Vec<u8>,
    small: Small,
    unsaved: bool,
}

/// All but the published map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Small {
    /// Number of the last flip that was cut.
    flip: u64,
    cuts: Vec<CutAt>,
    /// Newest window whose progress record is published.
    progress: u64,
    /// Whose that is, and when the log took it from them, in ns.
    #[serde(default)]
    progress_of: Option<(Deployment, i64)>,
    /// Newest window of which anything is.
    newest: u64,
    /// First revisions, of each window behind `progress`: what a deployment left half published may lie behind windows that only the next
    /// one has.
    tallies: BTreeMap<u64, Tally>,
    /// No result of a window before this one can come.
    forgotten: u64,
    /// Nothing of a window before this one is remembered.
    purged: u64,
    /// Of each output: everything before this was read, or written by this worker.
    ends: Vec<u64>,
    /// By window, for each output: no record of it lies before this.
    reach: BTreeMap<u64, Vec<u64>>,
}

/// What stands first beside the position of an input: whoever looks at it sees how far a partition is published, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The input says other sums than it has, or cannot be read.
    pub(crate) torn: bool,
    /// Number of the last flip that was cut.
    pub(crate) flip: u64,
    /// Newest window whose progress record is published; 0: none.
    pub(crate) progress: u64,
    /// Nothing of a window before this one is remembered.
    pub(crate) purged: u64,
    /// Whose the progress record is, and when the log took it from them, in ns. Workers before this one did not say.
    pub(crate) of: Option<(Deployment, i64)>,
    /// The worker says its name, last of all (`put_name`).
    pub(crate) named: bool,
}

impl Beside {
    /// Bits of the first byte: torn, and whether it says whose the progress record is, and the worker's name.
    const TORN: u8 = 1;
    const OF: u8 = 2;
    const NAMED: u8 = 4;

    /// `bits u8 | flip | progress | purged` and perhaps `colour u8 | epoch | at`, varints.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let bit = |bit, set| if set { bit } else { 0 };
        out.push(bit(Self::TORN, self.torn) | bit(Self::OF, self.of.is_some()) | bit(Self::NAMED, self.named));
        for number in [self.flip, self.progress, self.purged] {
            put_u64(out, number);
        }
        if let Some((of, at)) = self.of {
            out.push(u8::from(of.colour == Colour::Green));
            put_u64(out, u64::from(of.epoch));
            put_i64(out, at);
        }
    }

    /// Reads what `put` wrote.
    pub(crate) fn read(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let bits = from.u8()?;
        let (flip, progress, purged) = (from.u64()?, from.u64()?, from.u64()?);
        let of = if bits & Self::OF == 0 {
            None
        } else {
            let colour = if from.u8()? == 0 { Colour::Blue } else { Colour::Green };
            let epoch = from.u64()?;
            let epoch = u32::try_from(epoch).map_err(|_| CodecError::Unknown { what: "epoch", value: epoch })?;
            Some((Deployment { colour, epoch }, from.i64()?))
        };
        Ok(Self { torn: bits & Self::TORN != 0, flip, progress, purged, of, named: bits & Self::NAMED != 0 })
    }

    /// The name of the worker in everything that it keeps beside a position.
    pub(crate) fn name(kept: &[u8]) -> Option<&str> {
        let (bits, rest) = kept.split_first()?;
        let (length, rest) = rest.split_last().filter(|_| bits & Self::NAMED != 0)?;
        let at = rest.len().checked_sub(usize::from(*length))?;
        std::str::from_utf8(rest.get(at..)?).ok()
    }
}

/// A worker's name and its length in one byte: behind all else, where workers that know of no names do not look.
pub(crate) fn put_name(name: &str, out: &mut Vec<u8>) {
    let name = name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or_default();
    out.extend_from_slice(name.as_bytes());
    out.push(name.len().to_le_bytes()[0]);
}

/// First revisions of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    sums: Sums,
    by: Option<Deployment>,
    /// Another deployment had a part in it.
    mixed: bool,
}

impl State {
    pub(super) fn new(outputs: Vec<Partition>, remember: i64) -> Self {
        let small = Small { ends: vec![0; outputs.len()], ..Small::default() };
        Self { outputs, remember, changed: OrderedMap::default(), key: Vec::new(), kept: Vec::new(), small, unsaved: false }
    }

    pub(super) fn outputs(&self) -> &[Partition] {
        &self.outputs
    }

    pub(super) fn flip(&self) -> u64 {
        self.small.flip
    }

    pub(super) fn cuts(&self) -> &[CutAt] {
        &self.small.cuts
    }

    pub(super) fn progress(&self) -> u64 {
        self.small.progress
    }

    pub(super) fn newest(&self) -> u64 {
        self.small.newest
    }

    pub(super) fn purged(&self) -> u64 {
        self.small.purged
    }

    /// What stands published under an identity.
    pub(super) fn published(&mut self, identity: &[u8], store: &dyn Store) -> Result<Option<Published>, Unusable> {
        self.key.clear();
        self.key.push(PUBLISHED);
        self.key.extend_from_slice(identity);
        match self.changed.get(&self.key) {
            Some(published) => Ok(Some(published.clone())),
            None if self.remember == 0 || self.key > self.kept => Ok(None),
            None => {
                let stored = store.get(&self.key).map_err(StageError::from)?;
                Ok(stored.map(|bytes| Published::decode(&bytes)).transpose()?)
            }
        }
    }

    /// Something is published. `summed`: its hash, where progress records sum it up.
    pub(super) fn publish(&mut self, identity: &[u8], published: Published, by: Deployment, summed: Option<u64>) {
        let window = super::window_of(identity);
        self.small.newest = self.small.newest.max(window);
        self.unsaved = true;
        if let Some(hash) = summed.filter(|_| published.revision == 0 && window > self.small.progress) {
            let tally = self.small.tallies.entry(window).or_insert_with(|| Tally { by: Some(by), ..Tally::default() });
            tally.mixed |= tally.by != Some(by);
            tally.sums.add(published.totals.first().copied().unwrap_or(0), hash);
        }
        if self.remember > 0 {
            self.small.reach.entry(window).or_insert_with(|| self.small.ends.clone());
            self.changed.insert(published_key(identity), published);
        }
    }

    /// A deployment says of a window what stands there already.
    pub(super) fn seen_again(&mut self, window: u64, by: Deployment) {
        if let Some(tally) = self.small.tallies.get_mut(&window) {
            tally.mixed |= tally.by != Some(by);
        }
    }

    /// What the first revisions of a window sum up to that is not whole yet.
    pub(super) fn tally_of(&self, window: u64) -> Sums {
        self.small.tallies.get(&window).map_or_else(Sums::default, |tally| tally.sums)
    }

    /// Whether everything stands published that a progress record of `by` sums up. After a flip in the middle of a window its first revisions
    /// are of two deployments, which may have counted late events at different times: then only their number tells.
    pub(super) fn is_whole(&self, window: u64, by: Deployment, said: Sums) -> bool {
        let Some(tally) = self.small.tallies.get(&window) else { return said == Sums::default() };
        if tally.mixed || tally.by != Some(by) { tally.sums.finals >= said.finals } else { tally.sums == said }
    }

    /// The progress record of a window is published; `at`: when the log took it, in ns.
    pub(super) fn progressed(&mut self, window: u64, by: Option<Deployment>, at: i64) {
        if window > self.small.progress {
            self.small.progress_of = by.map(|by| (by, at));
        }
        self.small.progress = self.small.progress.max(window);
        self.small.newest = self.small.newest.max(window);
        self.small.tallies = self.small.tallies.split_off(&self.small.progress.saturating_add(1));
        self.unsaved = true;
    }

    /// No result of a window before this one can come any more.
    pub(super) fn forgets(&mut self, before: u64) {
        self.small.forgotten = before;
    }

    /// What stands in the own outputs by now lies behind everything that is published from now on.
    pub(super) fn look_at_ends(&mut self, log: &dyn Log) {
        for (output, known) in self.outputs.iter().zip(&mut self.small.ends) {
            match log.bounds(output) {
                Ok((_, end)) => *known = end.0.max(*known),
                Err(error) => tracing::debug!(%output, %error, "its end is not known: a restart reads more of it"),
            }
        }
    }

    /// A cut is made.
    pub(super) fn cut(&mut self, cut: CutAt) {
        self.small.flip = self.small.flip.max(cut.flip);
        if self.remember > 0 && cut.at > 0 {
            self.small.reach.entry(cut.at).or_insert_with(|| self.small.ends.clone());
        }
        let behind = self.small.cuts.partition_point(|other| other.flip < cut.flip);
        self.small.cuts.insert(behind, cut);
        self.unsaved = true;
    }

    /// The new deployment of a flip has answered for the windows before the cut.
    pub(super) fn seal(&mut self, flip: u64) {
        for cut in self.small.cuts.iter_mut().filter(|cut| cut.flip == flip) {
            cut.sealed = true;
            self.unsaved = true;
        }
    }

    /// From where each output must be read, for what is not in the store.
    pub(super) fn restore(&mut self, store: &dyn Store, beside: &[&[u8]]) -> Result<Positions, StageError> {
        let unreadable = |source| StageError::Unreadable { offset: Offset(0), source };
        if let Some(bytes) = store.get(&SMALL)? {
            self.small = serde_json::from_slice(&bytes).map_err(|_| unreadable(CodecError::Text))?;
            self.small.ends.resize(self.outputs.len(), 0);
            self.kept = published_key(&self.small.newest.saturating_add(1).to_be_bytes());
            return Ok(self.outputs.iter().cloned().zip(self.small.ends.iter().map(|end| Offset(*end))).collect());
        }
        let mut from = Positions::new();
        let mut best = (0, 0);
        for bytes in beside {
            let mut fields = Cursor::new(bytes);
            let Beside { flip, progress, purged, of, .. } = Beside::read(&mut fields).map_err(unreadable)?;
            if (flip, progress) < best && !from.is_empty() {
                continue;
            }
            best = (flip, progress);
            (self.small.flip, self.small.progress, self.small.purged, self.small.forgotten) = (flip, progress, purged, purged);
            (self.small.newest, self.small.progress_of) = (progress, of);
            for output in &self.outputs {
                from.insert(output.clone(), Offset(fields.u64().map_err(unreadable)?));
            }
        }
        self.small.ends = self.outputs.iter().map(|output| from.get(output).map_or(0, |at| at.0)).collect();
        Ok(from)
    }

    /// What a restart without a store must know: `Beside`, then for each output from where it must be read, varints; and the worker's name, if
    /// it has one.
    pub(super) fn put_beside(&self, torn: bool, name: &str, out: &mut Vec<u8>) {
        let Small { flip, progress, purged, progress_of: of, .. } = self.small;
        let named = !name.is_empty();
        Beside { torn, flip, progress, purged, of, named }.put(out);
        for (place, end) in self.small.ends.iter().enumerate() {
            // A window may get its first result late, behind those of later windows.
            put_u64(out, self.small.reach.values().filter_map(|ends| ends.get(place)).fold(*end, |least, at| least.min(*at)));
        }
        if named {
            put_name(name, out);
        }
    }

    /// A result that stands in an own output.
    #[expect(clippy::too_many_arguments, reason = "a record and where it stands")]
    pub(super) fn recall(
        &mut self,
        of: &Partition,
        at: Offset,
        identity: &[u8],
        published: Published,
        by: Deployment,
        summed: Option<u64>,
        store: &dyn Store,
    ) -> Result<(), Unusable> {
        self.read(of, at);
        if super::window_of(identity) < self.small.purged {
            return Ok(());
        }
        let before = self.published(identity, store)?;
        if before.as_ref().is_none_or(|before| before.revision < published.revision) {
            self.publish(identity, published, by, summed.filter(|_| before.is_none()));
        }
        Ok(())
    }

    /// A cut that stands in an own output.
    pub(super) fn recall_cut(&mut self, of: &Partition, at: Offset, cut: &Cut) {
        self.read(of, at);
        if self.small.cuts.iter().all(|known| known.flip != cut.flip) {
            self.cut(CutAt { flip: cut.flip, from: cut.from, to: cut.to, at: cut.cut, sealed: false });
        }
    }

    fn read(&mut self, of: &Partition, at: Offset) {
        if let Some(place) = self.outputs.iter().position(|output| output == of)
            && let Some(end) = self.small.ends.get_mut(place)
        {
            *end = at.0.max(*end);
        }
    }

    /// The own outputs were read up to these ends.
    pub(super) fn recalled(&mut self, ends: &Positions) {
        for (output, known) in self.outputs.iter().zip(&mut self.small.ends) {
            *known = ends.get(output).map_or(*known, |end| end.0.max(*known));
        }
        self.unsaved = true;
    }

    /// Entries for the store. `keep`: nothing is forgotten for now.
    pub(super) fn changes(&mut self, changes: &mut Changes, keep: bool) {
        if self.remember == 0 {
            return;
        }
        for (key, published) in self.changed.drain(..) {
            if key > self.kept {
                self.kept.clone_from(&key);
            }
            changes.list.push(Change::Put(key, published.encode()));
        }
        if !std::mem::take(&mut self.unsaved) {
            return;
        }
        let oldest = self.small.progress.saturating_sub(self.remember.unsigned_abs());
        // A source partition that is far behind makes corrections of windows as old as itself.
        let oldest = oldest.min(self.small.forgotten);
        if oldest > self.small.purged && !keep {
            self.small.purged = oldest;
            changes.delete_range(&[PUBLISHED], &published_key(&oldest.to_be_bytes()));
            self.small.reach = self.small.reach.split_off(&oldest);
            // A cut before everything that is remembered says no more than who is behind it.
            let newest = self.small.flip;
            self.small.cuts.retain(|cut| cut.at >= oldest || cut.flip == newest || !cut.sealed);
        }
        // Numbers and names only: there is nothing in it that JSON has no form for.
        changes.put(&SMALL, serde_json::to_vec(&self.small).unwrap_or_default());
    }

    pub(super) fn held(&self) -> usize {
        self.changed.len() * ENTRY
    }
}

fn published_key(identity: &[u8]) -> Vec<u8> {
    [&[PUBLISHED], identity].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_position_comes_back_and_older_workers_said_less() {
        let of = Some((Deployment { colour: Colour::Green, epoch: 300 }, -5));
        for beside in [Beside::default(), Beside { torn: true, flip: 7, progress: 1 << 63, purged: 3, of, named: true }] {
            let mut bytes = Vec::new();
            beside.put(&mut bytes);
            bytes.extend_from_slice(&[9, 9]);
            assert_eq!(Beside::read(&mut Cursor::new(&bytes)), Ok(beside));
        }
        let before = Beside::read(&mut Cursor::new(&[1, 7, 5, 3, 9, 9])).unwrap();
        assert_eq!(before, Beside { torn: true, flip: 7, progress: 5, purged: 3, of: None, named: false });
    }

    #[test]
    fn a_worker_says_its_name_behind_all_that_a_restart_needs() {
        let outputs = vec![Partition::new(&platform_core::record::Topic::new("out"), 0)];
        let (mut state, store) = (State::new(outputs.clone(), 1), platform_runtime::memory::MemoryStore::default());
        state.recalled(&[(outputs[0].clone(), Offset(300))].into());
        let kept = |name: &str| {
            let mut kept = Vec::new();
            state.put_beside(false, name, &mut kept);
            kept
        };
        assert_eq!(Beside::name(&kept("a, process 7 on b")), Some("a, process 7 on b"));
        let long = "ä".repeat(200);
        assert_eq!(Beside::name(&kept(&long)).map(str::len), Some(MAX_NAME));
        assert!(kept(&long).len() < 192);
        // One that has none, and those before this one, say none; and whoever restores looks for none.
        assert_eq!(Beside::name(&kept("")), None);
        assert_eq!([Beside::name(&[1, 7, 5, 3, 9, 9]), Beside::name(&[4, 200]), Beside::name(&[])], [None; 3]);
        for name in ["", "a, process 7 on b"] {
            let from = State::new(outputs.clone(), 1).restore(&store, &[&kept(name)]).unwrap();
            assert_eq!(from, [(outputs[0].clone(), Offset(300))].into(), "{name}");
        }
    }
}
