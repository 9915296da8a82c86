//! What the decoder made of a body: how many items are good, and which are not and why.

use super::split::Split;
use golden_pipeline::decode::{Decoder, Input, Items, Reason, Skip};
use golden_pipeline::event::Event;
use platform_core::record::Headers;
use serde::Serialize;
use utoipa::ToSchema;

/// Rejected items that are named; further ones are counted.
pub(super) const NAMED: usize = 100;

/// Counts over a body.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub accepted: u64,
    pub skipped: u64,
    pub rejected: Vec<Rejected>,
    pub rejected_total: u64,
}

/// An item that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Rejected {
    /// The item's number in the body, from 0; with objects one after the other, the number of its line.
    pub item: u32,
    /// The line on which it begins, from 1, for objects one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Reason code; the same as in a dead letter.
    pub reason: &'static str,
    /// What is wrong, without any of the item's text.
    pub detail: String,
}

impl Verdict {
    /// Decodes every piece as the pipeline will. Nothing is written here.
    pub(super) fn of(split: &Split<'_>, headers: Headers<'_>, decoder: &mut dyn Decoder) -> Self {
        let mut verdict = Self::default();
        for &item in &split.oversized {
            verdict.reject(item, Reason::SizeExceeded, "an item may have 1 MiB");
        }
        for piece in &split.pieces {
            let mut items = Judge { verdict: &mut verdict, base: piece.base };
            decoder.decode(&Input { headers, ..Input::new(&piece.bytes) }, &mut items);
        }
        verdict.rejected.sort_by_key(|r| r.item);
        verdict.rejected.truncate(NAMED);
        verdict
    }

    /// Whether nothing in it is worth keeping.
    pub(super) fn is_all_bad(&self) -> bool {
        self.accepted == 0 && self.skipped == 0 && self.rejected_total > 0
    }

    /// Items were given by byte offset: turns that into lines.
    pub(super) fn count_lines(&mut self, body: &[u8]) {
        let (mut at, mut lines) = (0_usize, 0_usize);
        for rejected in &mut self.rejected {
            let offset = usize::try_from(rejected.item).unwrap_or(usize::MAX).min(body.len());
            lines += memchr::memchr_iter(b'\n', body.get(at..offset).unwrap_or_default()).count();
            at = at.max(offset);
            rejected.item = u32::try_from(lines).unwrap_or(u32::MAX);
            rejected.line = Some(rejected.item.saturating_add(1));
        }
    }

    fn reject(&mut self, item: u32, reason: Reason, detail: &str) {
        self.rejected_total += 1;
        // Twice, since oversized items come first and all are sorted before the rest is cut off.
        if self.rejected.len() < 2 * NAMED {
            self.rejected.push(Rejected { item, line: None, reason: reason.code(), detail: detail.to_owned() });
        }
    }
}

struct Judge<'a> {
    verdict: &'a mut Verdict,
    base: u32,
}

impl Items for Judge<'_> {
    fn event(&mut self, _at: u32, _event: &Event<'_>) {
        self.verdict.accepted += 1;
    }

    fn skipped(&mut self, _at: u32, _reason: Skip) {
        self.verdict.skipped += 1;
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, _bytes: &[u8]) {
        self.verdict.reject(self.base.saturating_add(at), reason, detail);
    }
}
