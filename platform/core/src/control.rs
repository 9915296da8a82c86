//! A control log as it is read: one partition of decisions that stages take as their second input.
//!
//! Two inputs have no order between them, so a stage that must give the same result after a restart reads the control log exactly up to a
//! position that stands in its first input. Whoever writes such positions reads it *to its end*: up to the end that open transactions are
//! part of, since a decision may be committed before its marker is written (GUARANTEES R1).
//! What this does not do: it knows no decision, and writes none.

use crate::log::{Log, LogError, Polled, Positions, Reader, Subscription};
use crate::record::{Offset, Partition, Record, Topic};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of one poll.
const WAIT: Duration = Duration::from_millis(100);

/// Reads the one partition of a control log, from its start, each record once.
pub struct ControlReader {
    log: Arc<dyn Log>,
    partition: Partition,
    /// `None` after a failure: the next call takes a new one.
    reader: Option<Box<dyn Reader>>,
    position: Option<Offset>,
    began: Option<Offset>,
}

impl ControlReader {
    /// A reader that has read nothing; the log is first asked when something is read.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topic: &Topic) -> Self {
        Self { log, partition: Partition::new(topic, 0), reader: None, position: None, began: None }
    }

    /// Next offset to read; 0 before anything was read.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position.unwrap_or_default()
    }

    /// Where the log began when it was first read; none before that. Behind 0, its beginning is gone.
    #[must_use]
    pub fn began(&self) -> Option<Offset> {
        self.began
    }

    /// Reads to the end as it is now. `false`: the end is not known, or it did not come within this many polls that brought nothing.
    ///
    /// # Errors
    /// When the log cannot be read; what was read before stays read, and the next call goes on behind it.
    pub fn read_to_end(&mut self, patience: u32, each: &mut dyn FnMut(&Record<'_>)) -> Result<bool, LogError> {
        let partition = self.partition.clone();
        match self.open().and_then(|reader| reader.end(&partition)) {
            Ok(Some(end)) => self.read_to(end, patience, each),
            Ok(None) => Ok(false),
            Err(error) => self.failed(error),
        }
    }

    /// Reads what has come by now, and waits for nothing: what is on its way comes with a later call.
    ///
    /// # Errors
    /// As `read_to_end`.
    pub fn read_on(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LogError> {
        let partition = self.partition.clone();
        loop {
            let at = match self.open().map(|reader| reader.poll(Duration::ZERO)) {
                Ok(Ok(Polled::Batch(batch))) if *batch.partition == partition => {
                    batch.iter().for_each(|record| each(&record));
                    batch.next_offset()
                }
                Ok(Ok(Polled::Batch(_) | Polled::Assigned(_))) => None,
                Ok(Ok(Polled::Nothing)) => return Ok(()),
                Ok(Err(error)) | Err(error) => return self.failed(error).map(drop),
            };
            self.position = at.or(self.position);
        }
    }

    /// Reads up to a position, and never beyond it. `false`: it did not come within this many polls that brought nothing.
    ///
    /// # Errors
    /// As `read_to_end`.
    pub fn read_to(&mut self, to: Offset, patience: u32, each: &mut dyn FnMut(&Record<'_>)) -> Result<bool, LogError> {
        self.read(to, patience, each).or_else(|error| self.failed(error))
    }

    fn read(&mut self, to: Offset, patience: u32, each: &mut dyn FnMut(&Record<'_>)) -> Result<bool, LogError> {
        let mut quiet = 0;
        while self.position() < to {
            let (partition, position) = (self.partition.clone(), self.position());
            let reader = self.open()?;
            let read = match reader.poll(WAIT)? {
                Polled::Batch(batch) if *batch.partition == partition => {
                    quiet = 0;
                    let wanted = batch.iter().filter(|record| (position..to).contains(&record.offset));
                    wanted.for_each(|record| each(&record));
                    batch.next_offset()
                }
                Polled::Batch(_) | Polled::Assigned(_) | Polled::Nothing => None,
            };
            // Behind the last record there may be offsets that the log uses for itself.
            let at = read.unwrap_or_default().max(reader.position(&partition));
            if at > to {
                reader.seek(&Positions::from([(partition, to)]))?;
            }
            if at > position {
                self.position = Some(at.min(to));
            } else {
                quiet += 1;
                if quiet > patience {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn open(&mut self) -> Result<&mut Box<dyn Reader>, LogError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let from = match self.position {
                    Some(position) => position,
                    None => self.log.bounds(&self.partition)?.0,
                };
                let mut reader = self.log.reader(&Subscription { group: None, topics: vec![self.partition.topic.clone()] })?;
                reader.seek(&Positions::from([(self.partition.clone(), from)]))?;
                self.position = Some(from);
                self.began.get_or_insert(from);
                reader
            }
        };
        Ok(self.reader.insert(reader))
    }

    fn failed(&mut self, error: LogError) -> Result<bool, LogError> {
        self.reader = None;
        Err(error)
    }
}
