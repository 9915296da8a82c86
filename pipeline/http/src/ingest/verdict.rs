//! What the decoder made of a body: how many items are good, and which are not and why.

use super::split::Piece;
use golden_pipeline::decode::{Decoder, Input, Items, Reason, Skip};
use golden_pipeline::emit::remote_write::Content;
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
    /// What a request of remote write 2.0 holds.
    pub content: Option<Content>,
}

/// An item that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Rejected {
    /// The item's number in the body, from 0.
    pub item: u64,
    /// The line on which it begins, from 1, for objects one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Reason code; the same as in a dead letter.
    pub reason: &'static str,
    /// What is wrong, without any of the item's text.
    pub detail: String,
}

impl Verdict {
    /// Decodes every piece of `body` as the pipeline will. With `lines`, places of items are byte offsets and told as lines.
    /// Nothing is written here.
    pub(super) fn of(body: &[u8], pieces: &[Piece<'_>], headers: Headers<'_>, decoder: &mut dyn Decoder, lines: bool) -> Self {
        let lines = lines.then_some(Lines { body, at: 0, before: 0 });
        let mut judge = Judge { verdict: Self::default(), offset: 0, lines };
        for piece in pieces {
            match piece {
                Piece::Record { bytes, offset } => {
                    judge.offset = *offset;
                    decoder.decode(&Input { headers, ..Input::new(bytes) }, &mut judge);
                }
                Piece::Oversized { offset } => {
                    judge.offset = *offset;
                    judge.dead(0, Reason::SizeExceeded, "an item may have 1 MiB", &[]);
                }
            }
        }
        judge.verdict
    }

    /// Whether nothing in it is worth keeping.
    pub(super) fn is_all_bad(&self) -> bool {
        self.accepted == 0 && self.skipped == 0 && self.rejected_total > 0
    }
}

/// Every item gives one call, in order: that numbers them, whatever places a format has.
struct Judge<'a> {
    verdict: Verdict,
    /// Where in the body the piece at hand begins.
    offset: usize,
    lines: Option<Lines<'a>>,
}

impl Items for Judge<'_> {
    fn event(&mut self, _at: u32, _event: &Event<'_>) {
        self.verdict.accepted += 1;
    }

    fn skipped(&mut self, _at: u32, _reason: Skip) {
        self.verdict.skipped += 1;
    }

    fn content(&mut self, content: Content) {
        self.verdict.content = Some(content);
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, _bytes: &[u8]) {
        let verdict = &mut self.verdict;
        if verdict.rejected.len() < NAMED {
            let item = verdict.accepted + verdict.skipped + verdict.rejected_total;
            let offset = self.offset.saturating_add(usize::try_from(at).unwrap_or(usize::MAX));
            let line = self.lines.as_mut().map(|lines| lines.line_of(offset));
            verdict.rejected.push(Rejected { item, line, reason: reason.code(), detail: detail.to_owned() });
        }
        verdict.rejected_total += 1;
    }
}

/// Counts lines as far as they were asked for.
struct Lines<'a> {
    body: &'a [u8],
    at: usize,
    before: usize,
}

impl Lines<'_> {
    fn line_of(&mut self, offset: usize) -> usize {
        self.before += memchr::memchr_iter(b'\n', self.body.get(self.at..offset).unwrap_or_default()).count();
        self.at = self.at.max(offset);
        self.before + 1
    }
}
