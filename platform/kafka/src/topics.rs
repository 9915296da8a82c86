//! Topics and settings that a pipeline needs: what is there, what is missing or unsafe, and the steps that mend it.
//!
//! A plan is data: it can be shown, applied, or taken as a reason not to start. Nothing is ever deleted or shrunk: a topic with another
//! number of partitions than needed is refused, because a key's partition would change. Settings of the brokers themselves are only checked.

use crate::client::{Context, Use, Words, config, words};
use crate::log::{ASK, Kafka};
use crate::retry::{FIRST, MOST};
use crate::settings::Settings;
use futures_executor::block_on;
use platform_core::log::LogError;
use platform_core::record::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;
use std::time::Duration;

/// A topic that a pipeline needs.
#[derive(Clone, Debug)]
pub struct Needed {
    /// Its name.
    pub topic: Topic,
    /// How many partitions it is made with, and must have.
    pub partitions: u32,
    /// How long records are kept, at least.
    pub retention: Duration,
    /// Whether others own it: then only its time stamps are asked of it, and any number of partitions will do.
    pub foreign: bool,
}

/// One step towards what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A topic is missing.
    Create {
        /// Which.
        topic: Topic,
        /// With how many partitions.
        partitions: u32,
        /// Copies of each.
        replication: u32,
        /// Its settings.
        settings: Vec<(&'static str, String)>,
    },
    /// A topic's setting is not as it must be.
    Set {
        /// Of which topic.
        topic: Topic,
        /// Which setting.
        name: &'static str,
        /// As it is; none: not said.
        from: Option<String>,
        /// As it must be.
        to: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { topic, partitions, replication, settings } => {
                write!(f, "create {topic}: {partitions} partitions, {replication} copies")?;
                settings.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
            Self::Set { topic, name, from, to } => write!(f, "set {topic}: {name}={to} (is {})", from.as_deref().unwrap_or("not set")),
        }
    }
}

/// What has to be done, and what cannot be done by us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Reasons not to start that need a person: each says what, where, and what to do.
    pub refused: Vec<String>,
    /// What others have to bring, and may at any time: their topics, or another cluster behind the same name.
    pub awaited: Vec<String>,
}

impl Plan {
    /// Whether everything is as needed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.refused.is_empty() && self.awaited.is_empty()
    }

    /// Whether waiting may help: topics are missing, or what others bring, and nothing that is there is unsafe.
    #[must_use]
    pub fn is_only_missing(&self) -> bool {
        self.refused.is_empty() && self.steps.iter().all(|step| matches!(step, Step::Create { .. }))
    }
}

/// All that has to be done, a line each, and which command does it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kafka is not as it must be:")?;
        self.refused.iter().chain(&self.awaited).try_for_each(|line| write!(f, "\n  {line}"))?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))?;
        if !self.steps.is_empty() {
            write!(f, "\n`golden topics apply` does what can be done by itself (`golden topics plan` shows it)")?;
        }
        Ok(())
    }
}

/// A number that a setting must at least, or at most, be.
enum Bound {
    AtLeast(i64),
    AtMost(i64),
}

impl Kafka {
    /// Compares what is there with what is needed.
    ///
    /// # Errors
    /// When the cluster cannot be asked, in words that name the setting concerned.
    pub fn plan(&self, needed: &[Needed]) -> Result<Plan, LogError> {
        let mut plan = Plan::default();
        self.check_cluster(&mut plan)?;
        // Made once the cluster has answered: it keeps the password that it was made with.
        let admin = self.admin()?;
        if !plan.awaited.is_empty() {
            return Ok(plan); // what is missing elsewhere is none of our business
        }
        for need in needed {
            match self.count(&need.topic)? {
                None if need.foreign => {
                    plan.awaited.push(format!("topic {} is missing: create it, or correct log.source.topic", need.topic));
                }
                None => plan.steps.push(Step::Create {
                    topic: need.topic.clone(),
                    partitions: need.partitions,
                    replication: self.replication(),
                    settings: self.wanted(need),
                }),
                Some((partitions, copies)) => {
                    self.check_shape(need, partitions, copies, &mut plan);
                    let found = self.describe(&admin, &ResourceSpecifier::Topic(need.topic.as_str()))?;
                    for (name, to) in self.wanted(need) {
                        let from = found.get(name).and_then(|entry| entry.value.clone());
                        if !is_enough(name, from.as_deref(), &to) {
                            plan.steps.push(Step::Set { topic: need.topic.clone(), name, from, to });
                        }
                    }
                }
            }
        }
        self.check_brokers(&admin, &mut plan)?;
        Ok(plan)
    }

    /// The plan, once nothing is missing any more or what is there is unsafe. Until then `trouble` says what is missing.
    ///
    /// # Errors
    /// As `plan`.
    pub fn plan_when_there(&self, needed: &[Needed]) -> Result<Plan, LogError> {
        const DOING: &str = "looking for topics";
        let state = &self.shared().state;
        let mut wait = FIRST;
        loop {
            let plan = self.plan(needed)?;
            if plan.is_done() || !plan.is_only_missing() {
                state.well(DOING);
                return Ok(plan);
            }
            state.troubled(DOING, Words { text: plan.to_string(), is_silence: false });
            state.pause(wait);
            wait = (wait * 2).min(MOST);
        }
    }

    /// Does the steps of a plan.
    ///
    /// # Errors
    /// The first step that the cluster refuses.
    pub fn apply(&self, plan: &Plan) -> Result<(), LogError> {
        let admin = self.admin()?;
        let options = AdminOptions::new().request_timeout(Some(ASK * 4)).operation_timeout(Some(ASK * 4));
        for step in &plan.steps {
            let doing = step.to_string();
            let right = if matches!(step, Step::Create { .. }) { "CREATE" } else { "ALTER_CONFIGS" };
            let done = match step {
                Step::Create { topic, partitions, replication, settings } => {
                    let replication = TopicReplication::Fixed(i32::try_from(*replication).unwrap_or(i32::MAX));
                    let new = NewTopic::new(topic.as_str(), i32::try_from(*partitions).unwrap_or(i32::MAX), replication);
                    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
                    block_on(admin.create_topics([&new], &options))
                        .and_then(|results| first(results.into_iter().map(|r| r.map_err(|(_, e)| e))))
                }
                Step::Set { topic, name, to, .. } => {
                    // The request replaces all settings of the topic, so what was set before goes along.
                    let found = self.describe(&admin, &ResourceSpecifier::Topic(topic.as_str()))?;
                    let set = found.entries.iter().filter(|e| e.source == ConfigSource::DynamicTopic && e.name != *name);
                    let kept: Vec<(&str, &str)> = set.filter_map(|e| Some((e.name.as_str(), e.value.as_deref()?))).collect();
                    let change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str())).set(name, to);
                    let change = kept.into_iter().fold(change, |change, (name, value)| change.set(name, value));
                    block_on(admin.alter_configs([&change], &options))
                        .and_then(|results| first(results.into_iter().map(|r| r.map_err(|(_, e)| e))))
                }
            };
            done.map_err(|error| LogError::Engine(words(&doing, right, &error).text))?;
        }
        // A topic is there once every broker that we ask knows it.
        for step in &plan.steps {
            if let Step::Create { topic, .. } = step {
                self.shared().partitions(topic, Some(Duration::from_secs(30)))?;
            }
        }
        Ok(())
    }

    /// Settings of a topic as they must be.
    fn wanted(&self, need: &Needed) -> Vec<(&'static str, String)> {
        let stamps = ("message.timestamp.type", "LogAppendTime".to_owned());
        if need.foreign {
            return vec![stamps];
        }
        let in_sync = if self.shared().settings.dev { 1 } else { 2 };
        vec![
            stamps,
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", if need.retention == Duration::MAX { "-1".to_owned() } else { need.retention.as_millis().to_string() }),
            ("max.message.bytes", Settings::MAX_MESSAGE.to_string()),
            ("min.insync.replicas", in_sync.to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ]
    }

    fn replication(&self) -> u32 {
        let settings = &self.shared().settings;
        if settings.dev { 1 } else { settings.replication }
    }

    fn check_shape(&self, need: &Needed, partitions: u32, copies: u32, plan: &mut Plan) {
        let topic = &need.topic;
        if !need.foreign && partitions != need.partitions {
            plan.refused.push(format!(
                "topic {topic} has {partitions} partitions, and log.partitions is {}: set log.partitions to what the topics have, \
                 or start a new deployment under other names",
                need.partitions
            ));
        }
        let least = if self.shared().settings.dev { 1 } else { 3 };
        if !need.foreign && copies < least {
            plan.refused.push(format!(
                "topic {topic} has {copies} copies, and {least} are needed: move it to more brokers (kafka-reassign-partitions), \
                 or set log.kafka.dev for trying out"
            ));
        }
    }

    /// Partitions of a topic, and the copies of the partition that has fewest.
    fn count(&self, topic: &Topic) -> Result<Option<(u32, u32)>, LogError> {
        let shared = self.shared();
        let doing = format!("asking for topic {topic}");
        shared.ask(None, &doing, "DESCRIBE", self.patience(), |client| {
            let metadata = client.fetch_metadata(Some(topic.as_str()), ASK)?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic.as_str()) else { return Ok(None) };
            match found.error().map(Code::from) {
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => return Ok(None),
                Some(error) => return Err(KafkaError::MetadataFetch(error)),
                None => {}
            }
            let copies = found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0);
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Ok(Some((count(found.partitions().len()), count(copies))).filter(|(partitions, _)| *partitions > 0))
        })
    }

    fn check_cluster(&self, plan: &mut Plan) -> Result<(), LogError> {
        let shared = self.shared();
        let found = shared.ask(None, "asking for the cluster's id", "DESCRIBE", self.patience(), |client| {
            client.client().fetch_cluster_id(ASK).ok_or(KafkaError::MetadataFetch(Code::OperationTimedOut))
        })?;
        if let Some(wanted) = shared.settings.cluster.as_ref().filter(|wanted| **wanted != found) {
            // A client keeps the first id that it hears.
            shared.forget_who_asks();
            plan.awaited.push(format!(
                "the cluster at log.kafka.bootstrap is {found}, and log.kafka.cluster wants {wanted}: correct the one that is wrong"
            ));
        }
        Ok(())
    }

    /// What exactly-once needs of the brokers.
    fn check_brokers(&self, admin: &AdminClient<Context>, plan: &mut Plan) -> Result<(), LogError> {
        let shared = self.shared();
        let broker = shared.ask(None, "asking for a broker", "DESCRIBE", self.patience(), |client| {
            let metadata = client.fetch_metadata(None, ASK)?;
            metadata.brokers().first().map(|broker| broker.id()).ok_or(KafkaError::MetadataFetch(Code::BrokerNotAvailable))
        })?;
        let found = self.describe(admin, &ResourceSpecifier::Broker(broker))?;
        let copies = if shared.settings.dev { 1 } else { 3 };
        let in_sync = if shared.settings.dev { 1 } else { 2 };
        let takeover = i64::try_from(shared.settings.takeover_ms).unwrap_or(i64::MAX);
        let bounds = [
            ("transaction.state.log.replication.factor", Bound::AtLeast(copies)),
            ("transaction.state.log.min.isr", Bound::AtLeast(in_sync)),
            ("offsets.topic.replication.factor", Bound::AtLeast(copies)),
            ("transaction.max.timeout.ms", Bound::AtLeast(takeover)),
            ("transaction.abort.timed.out.transaction.cleanup.interval.ms", Bound::AtMost(10_000)),
            ("group.min.session.timeout.ms", Bound::AtMost(takeover)),
            ("offset.metadata.max.bytes", Bound::AtLeast(4096)),
        ];
        for (name, bound) in bounds {
            let Some(value) = found.get(name).and_then(|entry| entry.value.as_deref()?.parse::<i64>().ok()) else { continue };
            let (fits, must) = match bound {
                Bound::AtLeast(least) => (value >= least, format!("at least {least}")),
                Bound::AtMost(most) => (value <= most, format!("at most {most}")),
            };
            if !fits {
                plan.refused.push(format!("broker setting {name} is {value} and must be {must}: change it in the brokers' configuration"));
            }
        }
        let verified = found.get("transaction.partition.verification.enable").and_then(|entry| entry.value.as_deref());
        if verified == Some("false") {
            plan.refused.push("broker setting transaction.partition.verification.enable is false and must be true".to_owned());
        }
        Ok(())
    }

    fn admin(&self) -> Result<AdminClient<Context>, LogError> {
        let shared = self.shared();
        let failed = |error: &dyn fmt::Display| LogError::Engine(error.to_string());
        let config = config(&shared.settings, &shared.client_id, Use::Asks(None)).map_err(|e| failed(&e))?;
        AdminClient::from_config_and_context(&config, shared.context("admin")).map_err(|e| failed(&e))
    }

    fn describe(&self, admin: &AdminClient<Context>, what: &ResourceSpecifier<'_>) -> Result<ConfigResource, LogError> {
        let options = AdminOptions::new().request_timeout(Some(ASK));
        let doing = match what {
            ResourceSpecifier::Topic(topic) => format!("asking for the settings of topic {topic}"),
            _ => "asking for the settings of the brokers".to_owned(),
        };
        let denied =
            if matches!(what, ResourceSpecifier::Topic(_)) { Code::TopicAuthorizationFailed } else { Code::ClusterAuthorizationFailed };
        self.shared().state.keep_trying(&doing, "DESCRIBE_CONFIGS", self.patience(), || {
            let mut results = block_on(admin.describe_configs([what], &options))?;
            let found = results.pop().ok_or(KafkaError::AdminOp(Code::UnknownTopicOrPartition))?.map_err(KafkaError::AdminOp)?;
            // rdkafka does not say that the brokers refused: there is just nothing in the answer.
            if found.entries.is_empty() { Err(KafkaError::AdminOp(denied)) } else { Ok(found) }
        })
    }
}

fn first<T>(mut results: impl Iterator<Item = Result<T, Code>>) -> Result<(), KafkaError> {
    results.try_for_each(|result| result.map(drop)).map_err(KafkaError::AdminOp)
}

/// Whether a setting serves: numbers may be larger than wanted, -1 is without limit.
fn is_enough(name: &str, found: Option<&str>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    match (name, found, number(wanted)) {
        ("retention.ms" | "max.message.bytes" | "min.insync.replicas", Some(found), Some(wanted)) => {
            let endless = |number: i64| name == "retention.ms" && number == -1;
            number(found).is_some_and(|found| endless(found) || (found >= wanted && !endless(wanted)))
        }
        (_, found, _) => found == Some(wanted),
    }
}
