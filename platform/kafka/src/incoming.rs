//! Incoming records of a consumer, by the run instead of one by one.
//!
//! rdkafka's `poll` costs each record four looks at the clock, a lock, and an event with an allocation of its own, which together is more than
//! half of what reading costs. librdkafka can also call back for all that waits in a queue at once, on the thread that asks
//! (`rd_kafka_consume_callback_queue`). The consumer's own queue cannot be asked like that: rebalances wait there too, and would be answered by
//! giving everything up. So the queues of all assigned partitions are led into one queue of ours, and `poll` is left with what is no record.
//!
//! What holds as before: records of an assignment or a position that is over are never given (librdkafka compares the version of each with
//! that of its partition on the way out), control records are not given and move the position, errors do not move it (they would in
//! `rd_kafka_consume_batch_queue`, and a reader that believed it might claim to have read what it has not).
//! Not done here: making sense of records and errors.

#![expect(unsafe_code, reason = "rdkafka has no safe way to a queue of several partitions, nor to more than one record at a time")]

use platform_core::record::{Partition, put_headers};
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafka, RDKafkaRespErr as Code};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

/// A handle of a queue of librdkafka.
struct Queue(NonNull<c::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues have locks of their own; any thread may use a handle and give it back.
unsafe impl Send for Queue {}
// SAFETY: as above, and all that is done with a handle is a call of librdkafka.
unsafe impl Sync for Queue {}

impl Queue {
    /// `None`: librdkafka gave none.
    fn new(given: *mut c::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(given).map(Self)
    }

    /// Whoever waits for this queue waits no longer.
    fn wake(&self) {
        // SAFETY: the handle is ours until it is dropped.
        unsafe { c::rd_kafka_queue_yield(self.0.as_ptr()) }
    }

    fn is_empty(&self) -> bool {
        // SAFETY: as above.
        unsafe { c::rd_kafka_queue_length(self.0.as_ptr()) == 0 }
    }

    /// What comes or waits here goes there. Where it leads there already, nothing changes.
    fn lead_to(&self, there: &Self) {
        // SAFETY: both handles are ours; librdkafka keeps the queue itself for as long as something leads there.
        unsafe { c::rd_kafka_queue_forward(self.0.as_ptr(), there.0.as_ptr()) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle was ours alone, and nobody has it after this.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A handle of a topic.
struct Handle(NonNull<c::rd_kafka_topic_t>);

// SAFETY: as of queues.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was ours alone, and nobody has it after this.
        unsafe { c::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// A consumer whose records come by the run. Fields are dropped in this order: librdkafka wants queues back before their client.
pub(crate) struct Incoming<C: ConsumerContext + 'static> {
    /// Those of partitions, which lead to `records`.
    partitions: Vec<Queue>,
    /// Any of these partitions: librdkafka limits runs only where it is asked for a partition's queue, wherever that leads.
    any: Option<(Handle, i32)>,
    records: Arc<Queue>,
    /// The consumer's own: rebalances, errors, statistics.
    events: Queue,
    consumer: BaseConsumer<C>,
}

impl<C: ConsumerContext> Incoming<C> {
    /// Of a consumer of a group to which nothing is assigned yet. `None`: librdkafka has no queue for it.
    pub(crate) fn new(mut consumer: BaseConsumer<C>) -> Option<Self> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives as long as the consumer, and the handles go before it.
        let (events, records) = unsafe { (c::rd_kafka_queue_get_consumer(client), c::rd_kafka_queue_new(client)) };
        let (events, records) = (Queue::new(events), Queue::new(records).map(Arc::new));
        let (Some(events), Some(records)) = (events, records) else { return None };
        let woken = Arc::clone(&records);
        consumer.set_nonempty_callback(move || woken.wake());
        Some(Self { partitions: Vec::new(), any: None, records, events, consumer })
    }

    /// The consumer, for all but reading.
    pub(crate) fn consumer(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Before partitions are assigned: records of these (all that will be assigned) come here from now on.
    ///
    /// # Errors
    /// When librdkafka does not know a partition.
    pub(crate) fn lead<'a>(&mut self, partitions: impl Iterator<Item = &'a Partition>) -> KafkaResult<()> {
        (self.partitions, self.any) = (Vec::new(), None);
        for partition in partitions {
            let name = CString::new(partition.topic.as_str()).map_err(KafkaError::Nul)?;
            let index = i32::try_from(partition.index).unwrap_or(i32::MAX);
            // SAFETY: the client lives as long as the consumer, and librdkafka copies the name.
            let queue = unsafe { c::rd_kafka_queue_get_partition(self.client(), name.as_ptr(), index) };
            self.partitions.push(Queue::new(queue).ok_or_else(unknown)?);
            if self.any.is_none() {
                // SAFETY: as above.
                let handle = unsafe { c::rd_kafka_topic_new(self.client(), name.as_ptr(), ptr::null_mut()) };
                self.any = Some((NonNull::new(handle).map(Handle).ok_or_else(unknown)?, index));
            }
        }
        self.keep_leading();
        Ok(())
    }

    fn client(&self) -> *mut RDKafka {
        self.consumer.client().native_ptr()
    }

    /// The end of an earlier assignment of a partition, some time after it, makes its queue lead nowhere.
    fn keep_leading(&self) {
        self.partitions.iter().for_each(|queue| queue.lead_to(&self.records));
    }

    /// Deals with one thing that is no record, inside of the consumer's `poll`. `None`: nothing waits.
    /// `Some(None)`: it is dealt with. A partition: a record of it came another way, before its queue was led here.
    pub(crate) fn event(&self) -> Option<KafkaResult<Option<(String, i32)>>> {
        use rdkafka::message::Message as _;
        if self.events.is_empty() {
            return None;
        }
        let polled = self.consumer.poll(Duration::ZERO).transpose();
        Some(polled.map(|message| message.map(|message| (message.topic().to_owned(), message.partition()))))
    }

    /// Waits until there are records, or something else to deal with, and gives all that are there, in the order of each partition. After a
    /// `Break` the others stay where they are.
    pub(crate) fn records<F: FnMut(&Incomer<'_>) -> ControlFlow<()>>(&self, wait: Duration, mut each: F) {
        unsafe extern "C" fn call<F: FnMut(&Incomer<'_>) -> ControlFlow<()>>(message: *mut c::rd_kafka_message_t, each: *mut c_void) {
            // SAFETY: `each` is the closure below, which nobody else touches while librdkafka calls back, on the thread that asked.
            let each = unsafe { &mut *each.cast::<F>() };
            // SAFETY: librdkafka lends a message that is whole until this function returns.
            let more = unsafe { message.as_ref() }.map_or(ControlFlow::Continue(()), |message| each(&Incomer(message)));
            if more.is_break() {
                // SAFETY: it sets a mark of this thread, and looks at no client.
                unsafe { c::rd_kafka_yield(ptr::null_mut()) }
            }
        }
        self.keep_leading();
        let wait = c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
        let each = ptr::from_mut(&mut each).cast();
        // SAFETY: the handle is ours; the closure outlives the call, and librdkafka keeps neither.
        let asked =
            |(topic, index): &(Handle, i32)| unsafe { c::rd_kafka_consume_callback(topic.0.as_ptr(), *index, wait, Some(call::<F>), each) };
        // -1: it does not know the partition, and has not called back. Of a topic that was made anew the partition is another one, whose queue
        // leads nowhere until the next assignment.
        let called = self.any.as_ref().map_or(-1, asked);
        if called < 0 || called == 0 && !self.records.is_empty() {
            // SAFETY: as above.
            unsafe { c::rd_kafka_consume_callback_queue(self.records.0.as_ptr(), wait, Some(call::<F>), each) };
        }
    }
}

impl<C: ConsumerContext> Drop for Incoming<C> {
    fn drop(&mut self) {
        // The closure of `new` gives back its queue, and the fields follow in their order.
        self.consumer.set_nonempty_callback(|| ());
    }
}

/// A record, or an error of its partition, lent by librdkafka.
pub(crate) struct Incomer<'a>(&'a c::rd_kafka_message_t);

impl Incomer<'_> {
    /// What went wrong instead of a record, and librdkafka's words for it.
    pub(crate) fn error(&self) -> Option<(KafkaError, String)> {
        let code = self.0.err;
        let wrong = code != Code::RD_KAFKA_RESP_ERR_NO_ERROR;
        wrong.then(|| (KafkaError::MessageConsumption(code.into()), String::from_utf8_lossy(self.value().unwrap_or_default()).into_owned()))
    }

    /// The partition, for comparing: the client has one handle for a topic as long as it reads it.
    pub(crate) fn place(&self) -> (*mut c::rd_kafka_topic_t, i32) {
        (self.0.rkt, self.0.partition)
    }

    /// Name of the topic; empty for an error that is of none.
    pub(crate) fn topic(&self) -> &str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: the topic's handle lives as long as the message, and its name ends with a zero.
        unsafe { text(c::rd_kafka_topic_name(self.0.rkt)) }.unwrap_or_default()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Time of the append, in ms since 1970.
    pub(crate) fn millis(&self) -> Option<i64> {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is whole, and `kind` is written before the call returns.
        let millis = unsafe { c::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (millis != -1 && kind != c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(millis)
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: the message says where its key is and how long.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        // SAFETY: the message says where its value is and how long.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// Adds the headers, encoded. One whose name is no text is left out: nobody can ask for it.
    pub(crate) fn headers(&self, out: &mut Vec<u8>) {
        let mut all = ptr::null_mut();
        // SAFETY: the message is whole, and owns the list that it gives.
        let got = unsafe { c::rd_kafka_message_headers(self.0, &raw mut all) };
        if got != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        let mut list = Vec::new();
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list lives as long as the message, and all three are written when there is a header at this place.
            let got = unsafe { c::rd_kafka_header_get_all(all, at, &raw mut name, &raw mut value, &raw mut size) };
            if got != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: names end with a zero, values are as long as it says, and both live as long as the message.
            let (name, value) = unsafe { (text(name), bytes(value, size)) };
            list.extend(name.map(|name| (name, value.unwrap_or_default())));
        }
        put_headers(out, &list);
    }
}

fn unknown() -> KafkaError {
    KafkaError::MessageConsumption(Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION.into())
}

/// # Safety
/// There are as many bytes, which live and stay as they are for `'a`; or `at` is null.
unsafe fn bytes<'a>(at: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast(), length) })
}

/// # Safety
/// There is a text that ends with a zero, and lives and stays as it is for `'a`.
unsafe fn text<'a>(at: *const c_char) -> Option<&'a str> {
    // SAFETY: as promised.
    unsafe { CStr::from_ptr(at) }.to_str().ok()
}
