//! Reads and inflates bodies, under one budget for all requests together.
//!
//! What is reserved grows with what has arrived, so that a slow or lying client holds no more than it sent. Limits count after inflating.

use super::door::Door;
use super::refusal::Refusal;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest ratio of inflating, once more than `FREE` bytes came out.
const RATIO: usize = 200;
const FREE: usize = 1 << 20;
/// What every request costs beside its bytes: bounds their number.
const BASE: usize = 256 << 10;
const STEP: usize = 64 << 10;

/// Bytes of bodies held at once.
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Of this many bytes.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        Self { used: AtomicUsize::new(0), most }
    }

    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }
}

/// What one request holds of the budget; given back when dropped.
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let most = self.budget.most;
        let grown =
            self.budget.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| used.checked_add(bytes).filter(|sum| *sum <= most));
        grown.map_err(|_| Refusal::Overloaded)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Everything has arrived: from now on the request counts as such.
    pub(super) fn arrived(&mut self) -> Result<(), Refusal> {
        self.grow(BASE)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    pub(super) fn of(headers: &HeaderMap, door: Door) -> Result<Self, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Self::Identity);
        };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            // The form of remote write itself: undone where it is decoded.
            "snappy" if door == Door::RemoteWrite => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Refusal::Coding),
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(mut body: Body, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    if usize::try_from(body.size_hint().lower()).is_ok_and(|size| size > limit) {
        return Err(Refusal::TooLarge { limit });
    }
    let mut whole: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Broken("the body ended before its end: send it again"))?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        held.grow(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Undoes the compression.
pub(super) fn inflate(body: Bytes, coding: Coding, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let limit = limit.min(body.len().saturating_mul(RATIO).max(FREE));
    match coding {
        Coding::Identity => Ok(body),
        Coding::Gzip => drain(flate2::read::MultiGzDecoder::new(&*body), limit, held),
        Coding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&*body).and_then(|mut decoder| {
                // 8 MiB of window, as browsers have: a header must not order memory.
                decoder.window_log_max(23)?;
                Ok(decoder)
            });
            drain(decoder.map_err(|_| NOT_COMPRESSED)?, limit, held)
        }
    }
}

const NOT_COMPRESSED: Refusal =
    Refusal::Broken("the body is not what its content-encoding says: send it compressed so, or leave the header out");

fn drain(mut from: impl Read, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let mut out: Vec<u8> = Vec::new();
    loop {
        held.grow(STEP)?;
        let read = from.by_ref().take(STEP as u64).read_to_end(&mut out).map_err(|_| NOT_COMPRESSED)?;
        if out.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        if read == 0 {
            return Ok(out.into());
        }
    }
}
