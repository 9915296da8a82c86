//! Prometheus remote write, 1.0 and 2.0: samples of resources, for saturation.
//!
//! A record is one request, a snappy block. It is one item, which is skipped: no event is in it. Labels are what attributes of OpenTelemetry
//! become in Prometheus, and those that cAdvisor and kube-state-metrics have. Counters, histograms and everything unknown are passed over.

use crate::decode::gauges::{Attributes, Owner, Parts, measures};
use crate::decode::{Decoder, Input, Items, Reason, Skip};
use crate::emit::remote_write::Content;
use crate::emit::remote_write::messages::{v1, v2};
use crate::resource::Measure;
use crate::source::Source;
use platform_core::time::EventTime;
use prost::Message;

/// Most bytes of a request once the compression is undone.
const MAX_INFLATED: usize = 8 << 20;
/// Nanoseconds of a millisecond.
const MILLI: i64 = 1_000_000;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

/// Reads requests of remote write.
pub struct RemoteWrite {
    version: Version,
    mapped: Vec<(String, Measure)>,
    inflated: Vec<u8>,
    parts: Parts,
    /// Of the request at hand, where its version wants it told.
    content: Option<Content>,
}

impl RemoteWrite {
    /// Reads requests of this version, with further names from the source.
    #[must_use]
    pub fn new(version: Version, source: &Source) -> Self {
        Self { version, mapped: source.gauges.clone(), inflated: Vec::new(), parts: Parts::default(), content: None }
    }

    fn read(&mut self, value: &[u8]) -> Result<(), (Reason, &'static str)> {
        const NOT_SNAPPY: (Reason, &str) = (Reason::EnvelopeInvalid, "not a snappy block");
        if value.is_empty() {
            return Err((Reason::EmptyValue, "zero bytes"));
        }
        let length = snap::raw::decompress_len(value).map_err(|_| NOT_SNAPPY)?;
        // Snappy makes at most 64 bytes of three.
        if length > MAX_INFLATED || length > value.len().saturating_mul(32) {
            return Err((Reason::DecompressLimit, "more than 8 MiB, or more than a snappy block can hold"));
        }
        self.inflated.clear();
        self.inflated.resize(length, 0);
        snap::raw::Decoder::new().decompress(value, &mut self.inflated).map_err(|_| NOT_SNAPPY)?;
        match self.version {
            Version::One => self.one(),
            Version::Two => self.two(),
        }
    }

    fn one(&mut self) -> Result<(), (Reason, &'static str)> {
        let request =
            v1::WriteRequest::decode(self.inflated.as_slice()).map_err(|_| (Reason::DecodeProtobuf, "not a `prometheus.WriteRequest`"))?;
        for series in &request.timeseries {
            let labels = Labels(series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect());
            let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value));
            take(&labels, samples, &self.mapped, &mut self.parts);
        }
        Ok(())
    }

    fn two(&mut self) -> Result<(), (Reason, &'static str)> {
        let request = v2::Request::decode(self.inflated.as_slice())
            .map_err(|_| (Reason::DecodeProtobuf, "not an `io.prometheus.write.v2.Request`"))?;
        let symbol = |number: u32| request.symbols.get(number as usize).map(String::as_str);
        let known = |series: &v2::TimeSeries| series.labels_refs.iter().all(|number| symbol(*number).is_some());
        if !request.timeseries.iter().all(known) {
            return Err((Reason::SchemaMismatch, "a label names a symbol that is not there"));
        }
        let mut content = Content::default();
        for series in &request.timeseries {
            content.samples += series.samples.len() as u64;
            content.histograms += series.histograms.len() as u64;
            content.exemplars += series.exemplars.len() as u64;
            let (pairs, _) = series.labels_refs.as_chunks::<2>();
            let labels = Labels(pairs.iter().filter_map(|[name, value]| Some((symbol(*name)?, symbol(*value)?))).collect());
            let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value));
            take(&labels, samples, &self.mapped, &mut self.parts);
        }
        self.content = Some(content);
        Ok(())
    }
}

impl Decoder for RemoteWrite {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        if let Err((reason, detail)) = self.read(input.value) {
            return items.dead(0, reason, detail, input.value);
        }
        self.parts.tell(items);
        self.content.take().into_iter().for_each(|content| items.content(content));
        items.skipped(0, Skip::Metrics);
    }
}

/// Takes the samples of a series if its name is known.
fn take(labels: &Labels<'_>, samples: impl Iterator<Item = (i64, f64)> + Clone, mapped: &[(String, Measure)], parts: &mut Parts) {
    let name = labels.label("__name__");
    // cAdvisor also tells of pods as wholes, and of what keeps a pod's network: a limit belongs to containers alone.
    if name.starts_with("container_") && matches!(labels.get("k8s.container.name"), "" | "POD") {
        return;
    }
    let mut owner = None;
    for known in measures(name, spells, labels, mapped) {
        let owner = owner.get_or_insert_with(|| Owner::of(labels));
        for (millis, value) in samples.clone() {
            parts.add(owner, known, EventTime(millis.saturating_mul(MILLI)), value);
        }
    }
}

/// Whether a name of Prometheus is this one of OpenTelemetry: with `_` for `.`, and a unit behind.
fn spells(own: &str, name: &str) -> bool {
    let Some((start, unit)) = name.split_at_checked(own.len()) else { return false };
    matches!(unit, "" | "_bytes" | "_ratio") && start.bytes().zip(own.bytes()).all(|(a, b)| a == if b == b'.' { b'_' } else { b })
}

/// Labels of a series.
struct Labels<'a>(Vec<(&'a str, &'a str)>);

impl Labels<'_> {
    fn label(&self, name: &str) -> &str {
        self.0.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    fn first(&self, names: &[&str]) -> &str {
        names.iter().map(|name| self.label(name)).find(|value| !value.is_empty()).unwrap_or_default()
    }
}

impl Attributes for Labels<'_> {
    fn get(&self, name: &str) -> &str {
        match name {
            "service.name" => {
                let named = self.first(&["service_name", "k8s_deployment_name", "deployment", "k8s_hpa_scaletargetref_name"]);
                let named = if named.is_empty() { self.label("horizontalpodautoscaler") } else { named };
                // Services that came by OTLP have `namespace/name` as their job.
                if named.is_empty() { self.label("job").rsplit('/').next().unwrap_or_default() } else { named }
            }
            "service.namespace" => {
                let from_job = if self.label("service_name").is_empty() { self.label("job").split_once('/') } else { None };
                let named = self.label("service_namespace");
                if named.is_empty() { from_job.map_or("", |(namespace, _)| namespace) } else { named }
            }
            "k8s.pod.uid" => self.first(&["k8s_pod_uid", "pod"]),
            "k8s.container.name" => self.first(&["k8s_container_name", "container"]),
            "service.instance.id" => self.first(&["service_instance_id", "instance"]),
            "k8s.hpa.name" => self.first(&["k8s_hpa_name", "horizontalpodautoscaler"]),
            "jvm.memory.type" => self.label("jvm_memory_type"),
            "db.client.connection.state" => self.first(&["db_client_connection_state", "state"]),
            "state" | "resource" => self.label(name),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests;
