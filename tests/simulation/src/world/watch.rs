//! What stands in the control log and how far windows are published, each record of it read once: asked for every second of a run.

use super::operators::window_of;
use crate::parts::topics;
use crate::plan::PARTITIONS;
use golden_pipeline::names::{IDENTITY, SCHEMA, SCHEMA_PROGRESS};
use golden_router::deployment::Colour;
use golden_router::orders::{Entry, Orders};
use platform_core::record::{Offset, Partition};
use platform_testkit::sim::SimLog;
use std::rc::Rc;

/// As far as it was read.
pub(super) struct Watch {
    control: Partition,
    read: Offset,
    orders: Rc<Orders>,
    public: Vec<Public>,
}

struct Public {
    partition: Partition,
    read: Offset,
    newest: Option<u64>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let topics = topics(Colour::Blue);
        let public = |index| Public { partition: Partition::new(&topics.public, index), read: Offset(0), newest: None };
        Self {
            control: Partition::new(&topics.control, 0),
            read: Offset(0),
            orders: Rc::default(),
            public: (0..PARTITIONS).map(public).collect(),
        }
    }

    /// What stands in the control log.
    pub(super) fn orders(&mut self, log: &SimLog) -> Rc<Orders> {
        let orders = &mut self.orders;
        self.read = log.visible(&self.control, self.read, |record| {
            let at = record.append_time.map_or(0, |time| time.0);
            if let Ok(entry) = Entry::decode(record.value.unwrap_or_default()) {
                // What does not follow is passed over by everybody.
                drop(Rc::make_mut(orders).apply(entry, at));
            }
        });
        Rc::clone(orders)
    }

    /// The newest whole window of each public partition, as a number that rises with time.
    pub(super) fn newest(&mut self, log: &SimLog) -> Vec<Option<u64>> {
        for Public { partition, read, newest } in &mut self.public {
            *read = log.visible(partition, *read, |record| {
                if record.headers.get(SCHEMA) == Some(SCHEMA_PROGRESS.as_bytes()) {
                    *newest = record.headers.get(IDENTITY).map(window_of).max(*newest);
                }
            });
        }
        self.public.iter().map(|public| public.newest).collect()
    }
}
