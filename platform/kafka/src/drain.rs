//! Drain: reads a topic from start to end as fast as the client gives records, and keeps nothing of them. What this costs, no program that
//! reads the topic by this client can go below; benchmarks compare with it.
//!
//! The settings are those of all readers. Nothing is committed, and what is appended meanwhile is not waited for.

use crate::client::{Use, config, words};
use crate::log::{Kafka, Shared, positions};
use platform_core::log::LogError;
use platform_core::record::{Offset, Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::time::Duration;

/// How long one look for records may take.
const WAIT: Duration = Duration::from_millis(100);

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl Kafka {
    /// Reads all partitions of a topic of plain records (no transactions) up to where they end at the start of the call.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn drain(&self, topic: &Topic) -> Result<Drained, LogError> {
        let shared = self.shared();
        let failed = |error| Shared::failed(words("draining", "READ", &error).text);
        let (mut starts, mut left) = (Vec::new(), 0);
        for index in 0..shared.partitions(topic, self.patience())? {
            let partition = Partition::new(topic, index);
            let (start, Offset(end)) = shared.bounds(&partition, self.patience())?;
            left += end - start.0;
            starts.push((partition, start));
        }
        let config = config(&shared.settings, &shared.client_id, Use::Alone).map_err(Shared::failed)?;
        let consumer: BaseConsumer<_> = config.create_with_context(shared.context("drain")).map_err(failed)?;
        let list = positions(starts.iter().map(|(partition, at)| (partition, *at, None))).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        let mut drained = Drained::default();
        while drained.records < left {
            let Some(message) = consumer.poll(WAIT) else { continue };
            drained.records += 1;
            drained.bytes += message.map_err(failed)?.payload_len() as u64;
        }
        Ok(drained)
    }
}
