//! Labels of a series, rendered once as text: `grouping="…",service_name="…",…`, escaped as Prometheus asks.
//!
//! Two dimensions may map to one label name, and a page that has a label twice is refused as a whole: the second gets an underscore.

use crate::operation;

/// Labels that a dimension must not take: those of the samples, and those that a scrape adds.
const RESERVED: [&str; 16] = [
    "tenant",
    "outcome",
    "le",
    "quantile",
    "error_type",
    "state",
    "resource",
    "disposition",
    "revision",
    "sha256",
    "http_request_method",
    "http_route",
    "rpc_method",
    "otel_metric_overflow",
    "job",
    "instance",
];

/// Whether samples may have a label of this name whatever their dimensions are, so that nobody may give them another one.
#[must_use]
pub fn is_own_label(name: &str) -> bool {
    // A job and an instance are for whoever sends or scrapes to give.
    let is_given = ["job", "instance"].contains(&name);
    ["grouping", "service_name", "service_namespace"].contains(&name) || (RESERVED.contains(&name) && !is_given)
}

/// Builds the label text of a series.
#[derive(Default)]
pub(super) struct Labels {
    text: String,
    names: Vec<String>,
}

impl Labels {
    pub(super) fn put(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(name);
        self.text.push_str("=\"");
        push_escaped(&mut self.text, value);
        self.text.push('"');
        self.names.push(name.to_owned());
    }

    pub(super) fn put_dimension(&mut self, dimension: &str, value: &str) {
        let mut name = label_name(dimension);
        while self.names.contains(&name) || RESERVED.contains(&name.as_str()) {
            name.push('_');
        }
        self.put(&name, value);
        if dimension == "operation" {
            for (name, part) in known_parts(value) {
                self.put(name, part);
            }
        }
    }

    pub(super) fn text(self) -> Box<str> {
        self.text.into()
    }
}

/// What an operation is known to be made of: `GET /carts/{id}` has method and route, `shop.Carts/Get` is the method of a call. Of anything
/// else nothing is known.
fn known_parts(operation: &str) -> Vec<(&'static str, &str)> {
    if let Some((method, route)) = operation.split_once(' ').filter(|(_, route)| route.starts_with('/')) {
        if method == "_OTHER" || operation::method(method) == method {
            return vec![("http_request_method", method), ("http_route", route)];
        }
        return vec![];
    }
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    match operation.split_once('/') {
        Some((service, method)) if word(service) && word(method) => vec![("rpc_method", operation)],
        _ => vec![],
    }
}

/// Label of a dimension.
fn label_name(dimension: &str) -> String {
    let known = match dimension {
        "env" => "deployment_environment_name",
        "region" => "cloud_region",
        "zone" => "cloud_availability_zone",
        "version" => "service_version",
        "cluster" => "k8s_cluster_name",
        "k8s_namespace" => "k8s_namespace_name",
        "deployment" => "k8s_deployment_name",
        "svc_host" => "server_address",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let allowed = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '_' };
    let name: String = dimension.chars().flat_map(char::to_lowercase).map(allowed).collect();
    // No label starts with a digit, and two underscores in front are Prometheus' own.
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && !name.starts_with("__");
    if plain { name } else { format!("x{name}") }
}

/// Appends a label value without its quotes.
pub(super) fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// Visits what `Labels` put together, as it was before it was escaped.
pub(super) fn each(text: &str, mut visit: impl FnMut(&str, &str)) {
    let mut rest = text;
    let mut value = String::new();
    while let Some((name, behind)) = rest.split_once("=\"") {
        value.clear();
        let mut chars = behind.chars();
        loop {
            match chars.next() {
                None | Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('n') => value.push('\n'),
                    Some(c) => value.push(c),
                    None => break,
                },
                Some(c) => value.push(c),
            }
        }
        visit(name, &value);
        rest = chars.as_str().trim_start_matches(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_apart_as_they_were_put_together() {
        let all = [("grouping", "service"), ("operation_", "a \"b\"\\\n,c=\"d\""), ("team", "")];
        let mut labels = Labels::default();
        all.iter().for_each(|(name, value)| labels.put(name, value));
        let mut found = Vec::new();
        each(&labels.text(), |name, value| found.push((name.to_owned(), value.to_owned())));
        assert_eq!(found, all.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_operation_says_its_method_and_route_only_when_they_are_known() {
        assert_eq!(known_parts("GET /carts/{id}"), [("http_request_method", "GET"), ("http_route", "/carts/{id}")]);
        assert_eq!(known_parts("shop.Carts/Get"), [("rpc_method", "shop.Carts/Get")]);
        for other in ["unknown", "fetch /carts", "a b", "/carts/1", "receive orders", "a/b/c", ""] {
            assert!(known_parts(other).is_empty(), "{other}");
        }
    }
}
