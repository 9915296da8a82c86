//! Clients: the settings that correctness rests on, what librdkafka reports about them, and its errors in words for people.

use crate::retry::State;
use crate::settings::{BadSettings, Protocol, Settings};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use std::sync::Arc;

/// What clients are made for; their settings differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use<'a> {
    /// A member of this group.
    Member(&'a str),
    /// Reads by itself, committed records only.
    Alone,
    /// Asks for ends, committed positions of this group (or of none), and metadata. Reads nothing.
    Asks(Option<&'a str>),
    /// Writes transactions.
    Transactions(&'a str),
    /// Appends events from outside.
    Appends,
}

/// Settings of one client. Never print them: librdkafka's type shows most secrets.
pub(crate) fn config(settings: &Settings, client_id: &str, used: Use<'_>) -> Result<ClientConfig, BadSettings> {
    let mut config = ClientConfig::new();
    for (name, value) in settings.client()? {
        config.set(name, value);
    }
    config
        .set("client.id", client_id)
        .set("statistics.interval.ms", "5000")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000");
    config.set_log_level(RDKafkaLogLevel::Warning);
    if !matches!(used, Use::Transactions(_)) {
        // A broker that stands still keeps its connections open: whoever waits for its answer finds the new leader only after this. For
        // transactions librdkafka takes it from their own timeout.
        config.set("socket.timeout.ms", settings.takeover_ms.to_string()).set("topic.metadata.refresh.interval.ms", "5000");
    }
    match used {
        Use::Member(group) => {
            reads(&mut config, group);
            match settings.protocol {
                Protocol::Classic => config
                    .set("group.protocol", "classic")
                    .set("partition.assignment.strategy", "range")
                    .set("session.timeout.ms", settings.takeover_ms.to_string())
                    .set("heartbeat.interval.ms", (settings.takeover_ms * 3 / 10).to_string()),
                Protocol::Consumer => config.set("group.protocol", "consumer"),
            };
        }
        Use::Alone => reads(&mut config, client_id),
        Use::Asks(group) => {
            // Ends as all readers see them, open transactions included (R1).
            config.set("group.id", group.unwrap_or(client_id)).set("enable.auto.commit", "false");
            let level = if group.is_some() { "read_committed" } else { "read_uncommitted" };
            config.set("isolation.level", level).set("statistics.interval.ms", "0");
        }
        Use::Transactions(id) => {
            writes(&mut config);
            config.set("transactional.id", id).set("transaction.timeout.ms", settings.takeover_ms.to_string()).set("linger.ms", "5");
        }
        Use::Appends => {
            writes(&mut config);
            config.set("linger.ms", "2").set("message.timeout.ms", "30000");
        }
    }
    Ok(config)
}

fn reads(config: &mut ClientConfig, group: &str) {
    config
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("max.poll.interval.ms", "60000")
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "1000")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.max.bytes", "16777216")
        .set("fetch.message.max.bytes", "1048576")
        .set("receive.message.max.bytes", "100000000");
}

fn writes(config: &mut ClientConfig) {
    config
        .set("enable.idempotence", "true")
        .set("compression.codec", "lz4")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.max.bytes", Settings::MAX_MESSAGE.to_string());
}

/// What librdkafka tells about a client.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) state: Arc<State>,
    /// Of a task, or what the client is for: a label of metrics.
    pub(crate) name: Arc<str>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error or as trouble, in words; this is for whoever looks closely.
        tracing::debug!(client = %self.name, ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = %self.name, %error, reason, "client error");
        metrics::counter!("platform_kafka_errors_total", "client" => self.name.to_string()).increment(1);
        // What else goes wrong is said by the call that fails.
        if let Some(code) = error.rdkafka_error_code().filter(|code| is_of_connections(*code)) {
            // Brokers and identity providers say more than the code does.
            let reason = without_durations(reason);
            self.state.unconnected(words(&format!("talking to the brokers: {reason}"), "", &error), code != Code::AllBrokersDown);
        }
    }

    fn stats(&self, statistics: Statistics) {
        let gauge = |name: &'static str| metrics::gauge!(name, "client" => self.name.to_string());
        gauge("platform_kafka_queued_messages").set(statistics.msg_cnt as f64);
        gauge("platform_kafka_queued_bytes").set(statistics.msg_size as f64);
        gauge("platform_kafka_requests_sent").set(statistics.tx as f64);
        gauge("platform_kafka_requests_retried").set(statistics.brokers.values().map(|broker| broker.txretries).sum::<u64>() as f64);
        gauge("platform_kafka_requests_timed_out").set(statistics.brokers.values().map(|broker| broker.req_timeouts).sum::<u64>() as f64);
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.state.connected();
        }
    }
}

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) text: String,
    /// No more than that nobody answers: whoever knows why says more.
    pub(crate) is_silence: bool,
}

/// What went wrong while doing something that needs a right, which setting it concerns, and what to do.
pub(crate) fn words(doing: &str, right: &str, error: &KafkaError) -> Words {
    let error_text = without_durations(&error.to_string());
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    let advice = match code {
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::MessageTimedOut) => {
            "no broker answers at log.kafka.bootstrap: check the addresses, the network, and that the brokers run"
        }
        Some(Code::Resolve) => "a host name in log.kafka.bootstrap is unknown: correct it",
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "user or password are refused, by the brokers or at token_url: correct log.kafka.sasl (its mechanism must be the listener's, too)"
        }
        Some(Code::SSL) => {
            "a certificate is not trusted: correct log.kafka.tls (ca, certificate, key), or the host name in log.kafka.bootstrap where the \
             brokers' certificates have another"
        }
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            "a topic is missing: `golden topics plan` shows which, `golden topics apply` creates it"
        }
        Some(Code::TopicAuthorizationFailed) => {
            &format!("this user may not do that: grant {right} on the topic (docs/kafka.md lists all rights)")
        }
        Some(Code::GroupAuthorizationFailed) => {
            "this user may not use the consumer group: grant READ on groups with the prefix golden-signals. (docs/kafka.md lists all rights)"
        }
        Some(Code::TransactionalIdAuthorizationFailed) => {
            "this user may not write transactions: grant WRITE and DESCRIBE on transactional ids with the prefix golden-signals. \
             (docs/kafka.md lists all rights)"
        }
        Some(Code::ClusterAuthorizationFailed) => {
            &format!("this user may not do that: grant {right} on the cluster (docs/kafka.md lists all rights)")
        }
        Some(Code::MessageSizeTooLarge) => "a record is larger than the topic's max.message.bytes: `golden topics apply` raises it",
        _ => return Words { text: format!("{doing}: {error_text}"), is_silence: false },
    };
    let is_silence =
        matches!(code, Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::MessageTimedOut));
    Words { text: format!("{doing}: {error_text}. {advice}"), is_silence }
}

/// Without librdkafka's ` (after 5ms …)`: how long it took makes no new trouble.
fn without_durations(text: &str) -> String {
    match text.split_once(" (after ") {
        Some((before, rest)) => format!("{before}{}", rest.split_once(')').map_or("", |(_, behind)| behind)),
        None => text.to_owned(),
    }
}

/// Whether no connection comes about, whatever it is for.
pub(crate) fn is_of_connections(code: Code) -> bool {
    matches!(code, Code::AllBrokersDown | Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::Resolve)
}

/// Whether a right is missing.
pub(crate) fn is_denied(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Whether an error passes without us: brokers come back, permissions are granted, topics are made.
pub(crate) fn heals(error: &KafkaError) -> bool {
    // A missing right is fatal for the client that met it, and not for the next one.
    if let KafkaError::Transaction(error) = error
        && (error.is_fatal() || is_fence(error.code()))
        && !is_denied(error.code())
    {
        return false;
    }
    !matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_))
}

/// Whether one broker's connection is meant: others may serve; a call that none serves says so itself.
pub(crate) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::NodeUpdate | Code::DestroyBroker)
    )
}

/// Whether a newer owner is meant.
pub(crate) fn is_fence(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced | Code::FencedInstanceId | Code::TransactionCoordinatorFenced
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_has_the_same_words_however_long_it_took() {
        assert_eq!(without_durations("b1: refused (after 5ms in state UP): x"), "b1: refused: x");
        assert_eq!(without_durations("b1: refused"), "b1: refused");
    }

    #[test]
    fn a_missing_right_is_named_also_when_an_admin_call_met_it() {
        let words = words("asking for the settings of topic t", "DESCRIBE_CONFIGS", &KafkaError::AdminOp(Code::TopicAuthorizationFailed));
        assert!(words.text.contains("grant DESCRIBE_CONFIGS on the topic") && !words.is_silence, "{words:?}");
    }
}
