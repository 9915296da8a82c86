//! Metrics as plain values: what a process has to show, before any format and whoever asks.
//!
//! A family is a name with its samples; each output writes it in its own way. Nothing is recorded here.

use std::sync::Arc;

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and starts again at 0 with its process unless its help says otherwise.
    Counter,
    /// Any number.
    Gauge,
    /// A distribution in buckets that only grow.
    Histogram,
}

/// A name and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// As Prometheus knows it: counters end in `_total`, and units stand at the end.
    pub name: String,
    /// What the samples are.
    pub kind: Kind,
    /// One sentence.
    pub help: String,
    /// No two with the same labels.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A family without samples yet.
    #[must_use]
    pub fn new(name: &str, kind: Kind, help: &str) -> Self {
        Self { name: name.to_owned(), kind, help: help.to_owned(), samples: vec![] }
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &[(&str, &str)], value: Value) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.push(Sample { labels, value });
    }
}

/// One value under its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Names and values; each name once.
    pub labels: Vec<(String, String)>,
    /// The value, of the family's kind.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge, or of a counter of something that is not counted one by one.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bounds, ascending.
        bounds: Arc<[f64]>,
        /// Not cumulative; one more than there are bounds.
        counts: Vec<u64>,
        /// Of all that was recorded.
        sum: f64,
    },
}
