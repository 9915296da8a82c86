//! Reading a mapping file: from YAML to a checked `Source`.
//!
//! Each mistake is told with its place, and a misspelt name with the nearest right one.

use super::{
    Condition, Dedup, Defaults, Direction, Fields, Format, OperationRule, OutcomeRule, Path, Route, SchemaSource, Source, SpanKinds, Tenant,
};
use crate::decode::timestamp::{Moment, TimeUnit, Unit, parse_offset};
use crate::event::MAX_NAME;
use crate::outcome::Outcome;
use crate::resource::Measure;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most places that a mapping may name.
const MAX_PATHS: usize = 64;

/// Why a mapping file was refused. Whatever was in force before stays.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// Not YAML, or not of the file's form.
    #[error("{file}{place}: {problem}{hint}")]
    Form {
        /// The file.
        file: String,
        /// `, line N` where it is known.
        place: String,
        /// What the reader met.
        problem: String,
        /// What may have been meant; empty when nothing is near.
        hint: String,
    },
    /// A value that cannot be.
    #[error("{file}: {key}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// The key that holds it.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: String,
    topic: Option<String>,
    #[serde(default, deserialize_with = "format")]
    format: Format,
    schemas: Option<SchemasFile>,
    event_time: Option<EventTimeRule>,
    timestamp_is: Option<GivenMoment>,
    #[serde(default)]
    timestamp_unit: NamedTimeUnit,
    timezone: Option<String>,
    operation: Option<NamedOperation>,
    span_kinds: Option<Vec<SpanKind>>,
    direction: Option<NamedDirection>,
    route: Option<NamedRoute>,
    #[serde(default)]
    authority: bool,
    #[serde(default)]
    bounded: bool,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    fields: Option<FieldsFile>,
    #[serde(default)]
    gauges: BTreeMap<String, String>,
    #[serde(default)]
    outcome: Vec<RuleFile>,
    #[serde(default)]
    filter: OneOrMany<ConditionFile>,
    dedup: Option<DedupFile>,
    tenant: Option<String>,
    tenant_from: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum EventTimeRule {
    Start,
    End,
    AsGiven,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum GivenMoment {
    Start,
    End,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum NamedTimeUnit {
    #[default]
    Auto,
    S,
    Ms,
    Us,
    Ns,
    Rfc3339,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum NamedUnit {
    S,
    Ms,
    Us,
    Ns,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum NamedOperation {
    Verbatim,
    Template,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum SpanKind {
    Server,
    Consumer,
    Client,
    Producer,
    Internal,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum NamedDirection {
    Inbound,
    Outbound,
    Both,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum NamedRoute {
    Path,
    RouteName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldsFile {
    timestamp: Option<OneOrMany<String>>,
    duration: Option<OneOrMany<DurationFile>>,
    service: Option<OneOrMany<String>>,
    namespace: Option<OneOrMany<String>>,
    operation: Option<OneOrMany<String>>,
    status: Option<OneOrMany<String>>,
    grpc_status: Option<OneOrMany<String>>,
    outcome: Option<OneOrMany<String>>,
    error_type: Option<OneOrMany<String>>,
    host: Option<OneOrMany<String>>,
    weight: Option<OneOrMany<String>>,
    trace_id: Option<OneOrMany<String>>,
    span_id: Option<OneOrMany<String>>,
    sampled: Option<OneOrMany<String>>,
    #[serde(default)]
    tags: BTreeMap<String, OneOrMany<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DurationFile {
    path: OneOrMany<String>,
    unit: NamedUnit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    path: String,
    r#in: Option<Vec<Scalar>>,
    not_in: Option<Vec<Scalar>>,
    #[serde(default)]
    service: OneOrMany<String>,
    #[serde(deserialize_with = "outcome")]
    is: Outcome,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionFile {
    path: String,
    r#in: Option<Vec<Scalar>>,
    not_in: Option<Vec<Scalar>>,
}

/// A value to compare with; `429` is as good as `"429"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Truth(bool),
}

/// Files by id, or a folder of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a folder or `{ID: FILE, …}`")]
enum SchemasFile {
    Folder(String),
    Files(BTreeMap<u32, String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected `off`, `on` or `{id: [PATH, …]}`")]
enum DedupFile {
    Truth(bool),
    Word(String),
    Id(DedupId),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DedupId {
    id: OneOrMany<String>,
}

/// A list, or its only element.
struct OneOrMany<T>(Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Keeps the element's own error, which `untagged` would lose.
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one entry or a list of them")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(all)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(serde::de::value::StrDeserializer::new(text))?])
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
                Ok(vec![T::deserialize(serde::de::value::MapAccessDeserializer::new(map))?])
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData)).map(Self)
    }
}

/// Formats that are designed but not read by this version; their names deserve a better answer than "unknown".
const NOT_READ: [&str; 6] = ["confluent", "glue", "tempo", "jaeger_proto", "zipkin_proto", "zipkin_thrift"];

fn format<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    let name = String::deserialize(deserializer)?;
    Format::parse(&name).ok_or_else(|| {
        if NOT_READ.contains(&name.as_str()) {
            return serde::de::Error::custom(format_args!("this version does not read the format `{name}`"));
        }
        serde::de::Error::unknown_variant(&name, &FORMAT_NAMES)
    })
}

const FORMAT_NAMES: [&str; 17] = [
    "auto",
    "json",
    "otlp_proto",
    "otlp_json",
    "otlp_metrics_proto",
    "otlp_metrics_json",
    "remote_write",
    "remote_write_2",
    "zipkin_json",
    "jaeger_json",
    "envoy_json",
    "envoy_text",
    "nginx_json",
    "nginx_ingress",
    "combined",
    "cloudevents",
    "avro",
];

fn outcome<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    let name = String::deserialize(deserializer)?;
    Outcome::parse(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, &["ok", "error", "ignored"]))
}

/// A mistake in a value: the key, and what is wrong with it.
struct Mistake(&'static str, String);

pub(super) fn read(file: &str, yaml: &str) -> Result<Source, SourceError> {
    let read: File = serde_yaml_ng::from_str(yaml).map_err(|error| form_error(file, &error))?;
    resolve(read).map_err(|Mistake(key, problem)| SourceError::Value { file: file.to_owned(), key, problem })
}

fn form_error(file: &str, error: &serde_yaml_ng::Error) -> SourceError {
    let place = error.location().map(|l| format!(", line {}", l.line())).unwrap_or_default();
    let message = error.to_string();
    // The reader's own "at line 3 column 1" is said once, in front.
    let problem = message.rsplit_once(" at line ").map_or(message.as_str(), |(problem, _)| problem).to_owned();
    let hint = nearest(&problem).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let problem = match (hint.is_empty(), problem.split_once(", expected ")) {
        (false, Some((short, _))) => short.to_owned(),
        _ => problem,
    };
    SourceError::Form { file: file.to_owned(), place, problem, hint }
}

/// Of "unknown field `a`, expected one of `b`, `c`": the expected name nearest to the unknown one, when it is near.
fn nearest(problem: &str) -> Option<&str> {
    let mut quoted = problem.split('`').skip(1).step_by(2);
    let (unknown, _) = (quoted.next()?, problem.contains("unknown ").then_some(())?);
    let near = quoted.map(|name| (strsim::jaro_winkler(unknown, name), name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (near.0 > 0.75).then_some(near.1)
}

fn resolve(file: File) -> Result<Source, Mistake> {
    let mistake = |key, problem: &str| Err(Mistake(key, problem.to_owned()));
    let mut source = Source::for_format(file.format);
    if file.source.is_empty() || file.source.len() > 128 || file.source.chars().any(char::is_control) {
        return mistake("source", "a name of 1 to 128 bytes without control characters is needed");
    }
    if file.topic.as_deref() == Some("") {
        return mistake("topic", "is empty; leave it out for files and standard input");
    }
    source.name = file.source;
    source.topic = file.topic;
    source.schemas = schemas(file.format, file.schemas)?;
    source.bounded = file.bounded;
    source.authority = file.authority;
    source.timestamp_unit = match file.timestamp_unit {
        NamedTimeUnit::Auto => TimeUnit::Auto,
        NamedTimeUnit::S => TimeUnit::Number(Unit::Seconds),
        NamedTimeUnit::Ms => TimeUnit::Number(Unit::Millis),
        NamedTimeUnit::Us => TimeUnit::Number(Unit::Micros),
        NamedTimeUnit::Ns => TimeUnit::Number(Unit::Nanos),
        NamedTimeUnit::Rfc3339 => TimeUnit::Rfc3339,
    };
    if let Some(text) = file.timezone {
        let Some(offset) = parse_offset(text.as_bytes()) else {
            return mistake("timezone", "an offset from UTC is needed, such as `UTC`, `+02:00` or `-0530`");
        };
        source.timezone = Some(offset);
    }
    if let Some(given) = file.timestamp_is {
        source.placing.given = Some(match given {
            GivenMoment::Start => Moment::Start,
            GivenMoment::End => Moment::End,
        });
    }
    if let Some(rule) = file.event_time {
        source.placing.wanted = match rule {
            EventTimeRule::Start => Some(Moment::Start),
            EventTimeRule::End => Some(Moment::End),
            EventTimeRule::AsGiven => None,
        };
    }
    if source.placing.wanted.is_some() && source.placing.given.is_none() && file.format != Format::Auto {
        return mistake(
            "event_time",
            "`start` and `end` need `timestamp_is: start` or `timestamp_is: end`, to know what the given time is",
        );
    }
    if let Some(operation) = file.operation {
        source.operation = match operation {
            NamedOperation::Verbatim => OperationRule::Verbatim,
            NamedOperation::Template => OperationRule::Template,
        };
    }
    if let Some(kinds) = file.span_kinds {
        if kinds.is_empty() {
            return mistake("span_kinds", "is empty, so that nothing would count; name `server`, `consumer`, or more");
        }
        let has = |kind| kinds.contains(&kind);
        source.span_kinds = SpanKinds {
            server: has(SpanKind::Server),
            consumer: has(SpanKind::Consumer),
            client: has(SpanKind::Client),
            producer: has(SpanKind::Producer),
            internal: has(SpanKind::Internal),
        };
    }
    if let Some(direction) = file.direction {
        source.direction = match direction {
            NamedDirection::Inbound => Direction::Inbound,
            NamedDirection::Outbound => Direction::Outbound,
            NamedDirection::Both => Direction::Both,
        };
    }
    if let Some(NamedRoute::RouteName) = file.route {
        source.route = Route::RouteName;
    }
    source.defaults = defaults(file.defaults)?;
    if let Some(fields) = file.fields {
        if !file.format.is_mapped() {
            return mistake("fields", "only `json`, `cloudevents`, `avro` and `auto` take names from the mapping; this format has its own");
        }
        source.fields = fields_of(fields)?;
    }
    if file.gauges.len() > MAX_PATHS {
        return mistake("gauges", "at most 64 names may be mapped");
    }
    for (name, measure) in file.gauges {
        let Some(of) = Measure::parse(&measure) else {
            let all: Vec<&str> = Measure::MAPPED.iter().map(|(spelling, _)| *spelling).collect();
            return Err(Mistake("gauges", format!("`{measure}` is no measure; these are {}", all.join(", "))));
        };
        source.gauges.push((name, of));
    }
    for rule in file.outcome {
        let when = condition("outcome", &rule.path, rule.r#in, rule.not_in)?;
        source.outcome.push(OutcomeRule { when, services: rule.service.0, is: rule.is });
    }
    for filter in file.filter.0 {
        source.filter.push(condition("filter", &filter.path, filter.r#in, filter.not_in)?);
    }
    source.dedup = dedup(file.dedup)?;
    source.tenant = tenant(file.tenant, file.tenant_from)?;
    if source.places().count() > MAX_PATHS {
        return mistake("fields", "more than 64 places are named in the file");
    }
    Ok(source)
}

fn schemas(format: Format, file: Option<SchemasFile>) -> Result<SchemaSource, Mistake> {
    let mistake = |problem: &str| Err(Mistake("schemas", problem.to_owned()));
    match file {
        None => Ok(SchemaSource::None),
        Some(_) if format != Format::Avro => mistake("only records of the format `avro` have schemas"),
        Some(SchemasFile::Folder(folder)) if !folder.is_empty() => Ok(SchemaSource::Folder(folder)),
        Some(SchemasFile::Files(files)) if !files.is_empty() && !files.values().any(String::is_empty) => Ok(SchemaSource::Files(files)),
        Some(_) => mistake("write a folder that holds files `ID.avsc`, or `{ID: FILE, …}`"),
    }
}

fn defaults(file: BTreeMap<String, String>) -> Result<Defaults, Mistake> {
    let mut defaults = Defaults::default();
    for (name, value) in file {
        if value.is_empty() || value.len() > MAX_NAME || value.chars().any(char::is_control) {
            return Err(Mistake("defaults", format!("`{name}` must have 1 to {MAX_NAME} bytes and no control characters")));
        }
        match name.as_str() {
            "service" => defaults.service = Some(value),
            "namespace" => defaults.namespace = Some(value),
            "operation" => defaults.operation = Some(value),
            "host" => defaults.host = Some(value),
            _ => defaults.tags.push((name, value)),
        }
    }
    Ok(defaults)
}

fn path(key: &'static str, text: &str) -> Result<Path, Mistake> {
    Path::parse(text).ok_or_else(|| Mistake(key, format!("`{text}` is no place; write `a.b`, `header:NAME` or `key`")))
}

fn paths(key: &'static str, list: &OneOrMany<String>) -> Result<Vec<Path>, Mistake> {
    list.0.iter().map(|text| path(key, text)).collect()
}

fn fields_of(file: FieldsFile) -> Result<Fields, Mistake> {
    let of_json = Fields::default();
    let or = |given: Option<OneOrMany<String>>, default: Vec<Path>| given.map_or(Ok(default), |list| paths("fields", &list));
    let mut duration = of_json.duration;
    if let Some(given) = file.duration {
        duration = Vec::new();
        for entry in given.0 {
            let unit = match entry.unit {
                NamedUnit::S => Unit::Seconds,
                NamedUnit::Ms => Unit::Millis,
                NamedUnit::Us => Unit::Micros,
                NamedUnit::Ns => Unit::Nanos,
            };
            duration.extend(paths("fields", &entry.path)?.into_iter().map(|path| (path, unit)));
        }
    }
    let tags = file.tags.iter().map(|(tag, list)| Ok((tag.clone(), paths("fields", list)?))).collect::<Result<_, _>>()?;
    Ok(Fields {
        timestamp: or(file.timestamp, of_json.timestamp)?,
        duration,
        service: or(file.service, of_json.service)?,
        namespace: or(file.namespace, of_json.namespace)?,
        operation: or(file.operation, of_json.operation)?,
        status: or(file.status, of_json.status)?,
        grpc_status: or(file.grpc_status, of_json.grpc_status)?,
        outcome: or(file.outcome, of_json.outcome)?,
        error_type: or(file.error_type, of_json.error_type)?,
        host: or(file.host, of_json.host)?,
        weight: or(file.weight, of_json.weight)?,
        trace_id: or(file.trace_id, of_json.trace_id)?,
        span_id: or(file.span_id, of_json.span_id)?,
        sampled: or(file.sampled, of_json.sampled)?,
        tags,
    })
}

fn condition(key: &'static str, place: &str, within: Option<Vec<Scalar>>, outside: Option<Vec<Scalar>>) -> Result<Condition, Mistake> {
    let (values, inside) = match (within, outside) {
        (Some(values), None) => (values, true),
        (None, Some(values)) => (values, false),
        _ => return Err(Mistake(key, format!("`{place}` needs either `in` or `not_in`, a list of values"))),
    };
    let text = |value: Scalar| match value {
        Scalar::Text(text) => text,
        Scalar::Whole(number) => number.to_string(),
        Scalar::Truth(truth) => truth.to_string(),
    };
    Ok(Condition { path: path(key, place)?, values: values.into_iter().map(text).collect(), inside })
}

fn dedup(file: Option<DedupFile>) -> Result<Dedup, Mistake> {
    match file {
        None | Some(DedupFile::Truth(false)) => Ok(Dedup::Off),
        Some(DedupFile::Truth(true)) => Ok(Dedup::OfFormat),
        Some(DedupFile::Word(word)) if word == "off" => Ok(Dedup::Off),
        Some(DedupFile::Word(word)) if word == "on" => Ok(Dedup::OfFormat),
        Some(DedupFile::Id(DedupId { id })) if !id.0.is_empty() => Ok(Dedup::By(paths("dedup", &id)?)),
        Some(_) => Err(Mistake("dedup", "write `off`, `on` (the id that the format has) or `{id: [PATH, …]}`".to_owned())),
    }
}

fn tenant(fixed: Option<String>, from: Option<String>) -> Result<Tenant, Mistake> {
    let fits = |name: &str| (1..=63).contains(&name.len()) && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    match (fixed, from.as_deref()) {
        (None, None) => Ok(Tenant::Fixed("default".to_owned())),
        (Some(name), None) if fits(&name) => Ok(Tenant::Fixed(name)),
        (Some(_), None) => Err(Mistake("tenant", "1 to 63 of the characters a-z, 0-9 and `-` are needed".to_owned())),
        (Some(_), Some(_)) => Err(Mistake("tenant_from", "give either `tenant` or `tenant_from`".to_owned())),
        (None, Some("key")) => Ok(Tenant::Key),
        (None, Some("header")) => Ok(Tenant::Header("X-Scope-OrgID".to_owned())),
        (None, Some(other)) => match Path::parse(other) {
            Some(Path::Header(name)) => Ok(Tenant::Header(name)),
            _ => Err(Mistake("tenant_from", "write `header` (X-Scope-OrgID), `header:NAME` or `key`".to_owned())),
        },
    }
}
