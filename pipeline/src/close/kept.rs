//! What the store keeps of CLOSE: written at each commit, and how a restart finds it again.
//!
//! It says nothing of which windows there are and when they end; that is [`super::closing`].

use super::keys::{self, KeyKind, behind, in_window, of_window, split};
use super::origins::{Origin, Origins};
use super::sources::Sources;
use super::window::WindowState;
use super::{Close, Failure, Keep};
use crate::aggregate::Aggregate;
use crate::identity::unsortable;
use crate::signal::completeness::Completeness;
use platform_core::codec::{Cursor, put_i64, put_u64};
use platform_core::record::Offset;
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;

impl Close {
    pub(super) fn save(&mut self, changes: &mut Changes) {
        changes.list.append(&mut self.pending.list);
        let keep = self.settings.keep;
        if keep == Keep::Nothing {
            changes.list.clear();
            return;
        }
        let (index, closed_through) = (&self.index, self.closed_through);
        for state in self.windows.values_mut().filter(|s| keep == Keep::All || s.window.closed_by(closed_through)) {
            let start = state.window.start;
            state.save(|series, aggregate| {
                let Some(series) = index.series(series) else { return };
                let mut value = Vec::new();
                aggregate.encode(&mut value);
                changes.put(&in_window(KeyKind::Aggregate, start, &series.key), value);
            });
            for id in state.unsaved_ids.drain(..) {
                changes.put(&in_window(KeyKind::Unique, start, &id.to_be_bytes()), vec![]);
            }
            for (key, aggregate) in &state.late {
                let mut value = Vec::new();
                aggregate.encode(&mut value);
                changes.put(&in_window(KeyKind::LateLine, start, key), value);
            }
        }
        let length = self.settings.window;
        let closed = |start| length.window_of(EventTime(start)).closed_by(closed_through);
        self.gauges.save(|start| keep == Keep::All || closed(start), closed, changes);
        // What is closed lives in the store from now on; late events bring it back.
        self.windows.retain(|_, state| !state.window.closed_by(closed_through));
        let mut meta = Vec::new();
        self.sources.encode(&mut meta);
        put_i64(&mut meta, self.closed_through.0);
        put_i64(&mut meta, self.purged_through.0);
        put_u64(&mut meta, u64::from(self.next_chunk));
        meta.push(u8::from(self.passing_over) | u8::from(self.torn) << 1 | u8::from(self.before.is_some()) << 2);
        put_u64(&mut meta, self.next.0);
        meta.push(u8::from(self.message.is_some()));
        if let Some(message) = &self.message {
            message.encode(&mut meta);
        }
        self.origins.encode(&mut meta);
        put_u64(&mut meta, self.control.0);
        if let Some(before) = &self.before {
            before.encode(&mut meta);
        }
        changes.put(&keys::meta(), meta);
    }

    /// `false`: the store is empty.
    pub(super) fn restore_from(&mut self, store: &dyn Store) -> Result<bool, Failure> {
        let Some(meta) = store.get(&keys::meta())? else { return Ok(false) };
        let mut from = Cursor::new(&meta);
        self.sources = Sources::decode(&mut from, &self.settings.declared, self.settings.hold)?;
        self.closed_through = EventTime(from.i64()?);
        self.purged_through = EventTime(from.i64()?);
        self.next_chunk = u32::try_from(from.u64()?).unwrap_or(0);
        let flags = from.u8()?;
        (self.passing_over, self.torn) = (flags & 1 != 0, flags & 2 != 0);
        self.next = Offset(from.u64()?);
        self.message = if from.u8()? == 1 { Some(Origin::decode(&mut from)?) } else { None };
        self.origins = Origins::decode(&mut from)?;
        self.control = Offset(from.u64()?);
        // Restored from nothing once, and the message from which on everything is applied has not come yet.
        self.before = if flags & 4 != 0 { Some(Origin::decode(&mut from)?) } else { None };
        self.restore_windows(store)?;
        self.gauges.restore(self.closed_through, store)?;
        self.restore_levels(store)?;
        let prefix = [KeyKind::Incomplete as u8];
        let incomplete = &mut self.incomplete;
        store.scan(&prefix, &behind(&prefix), &mut |key, value| {
            let millionths = Cursor::new(value).u64().unwrap_or(0);
            incomplete
                .extend(split(key).map(|(start, _)| (start.0, Completeness::from_millionths(u32::try_from(millionths).unwrap_or(0)))));
        })?;
        Ok(true)
    }

    /// Open windows come into memory; of closed ones only who is known.
    fn restore_windows(&mut self, store: &dyn Store) -> Result<(), Failure> {
        let (length, closed_through) = (self.settings.window, self.closed_through);
        let idle_before = self.idle_now();
        let (index, windows) = (&mut self.index, &mut self.windows);
        index.expire(idle_before, true, |_| {});
        let mut damaged = None;
        store.scan(&of_window(KeyKind::Aggregate, EventTime(idle_before)), &behind(&[KeyKind::Aggregate as u8]), &mut |key, value| {
            let Some((start, key)) = split(key) else { return };
            let window = length.window_of(start);
            let closed = window.closed_by(closed_through);
            let service = index.named_service(key);
            let series = index.intern(key, service);
            index.touch(series, start.0, closed);
            if closed {
                return;
            }
            let state = windows.entry(start.0).or_insert_with(|| WindowState::new(window));
            match Aggregate::decode(&mut Cursor::new(value)) {
                Ok(aggregate) => state.load(series, service, aggregate),
                Err(error) => damaged = Some(error),
            }
        })?;
        let prefix = [KeyKind::Admitted as u8];
        store.scan(&prefix, &behind(&prefix), &mut |key, _| {
            if let Some(series) = key.get(1..).and_then(|key| index.find(key)) {
                index.admit(series);
            }
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        for kind in [KeyKind::Unique, KeyKind::LateLine] {
            let first = of_window(kind, closed_through);
            store.scan(&first, &behind(&[kind as u8]), &mut |key, value| {
                let Some((start, rest)) = split(key) else { return };
                let state = windows.entry(start.0).or_insert_with(|| WindowState::new(length.window_of(start)));
                match kind {
                    KeyKind::Unique => state.ids.extend(rest.try_into().ok().map(u128::from_be_bytes)),
                    _ => state.late.extend(Aggregate::decode(&mut Cursor::new(value)).ok().map(|a| (rest.to_vec(), a))),
                }
            })?;
        }
        Ok(())
    }

    /// The last levels of those who are known. What became idle and was woken by a late event has none, as before the restart.
    fn restore_levels(&mut self, store: &dyn Store) -> Result<(), Failure> {
        let index = &mut self.index;
        let prefix = [KeyKind::Level as u8];
        store.scan(&prefix, &behind(&prefix), &mut |key, value| {
            let (Some(key), Some((level, at))) = (key.get(1..), value.split_first()) else { return };
            let Some(at) = at.first_chunk().map(|at| unsortable(*at)) else { return };
            let noted = Some((*level, at.0));
            if let Some(tried) = key.strip_suffix(b"\xff").and_then(|head| index.find_service(head)) {
                index.service_mut(tried).into_iter().for_each(|service| service.shadow_level = noted);
                return;
            }
            let service = index.find_service(key).filter(|s| index.service(*s).is_some_and(|s| *s.key == *key));
            if let Some(known) = service.and_then(|s| index.service_mut(s)) {
                known.level = noted;
            } else if let Some(known) = index.find(key).and_then(|s| index.series_mut(s)) {
                known.level = noted;
            }
        })?;
        Ok(())
    }
}
