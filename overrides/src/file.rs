//! One file: all that a team says of one service, read and checked, with a place for every complaint.
//!
//! ```text
//! owner: shop
//! health: |
//!   requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3
//! tags: {swimlane: "svcHost in ['host1.example.com'] ? 'ec2' : ''"}
//! examples:
//!   - {given: {requestCount: 100, availability: 98}, expect: 3}
//! ```
//! Unknown keys are refused, with the closest known one. All mistakes of a file are found at once; a file with an error gives no override
//! (its service keeps the last good version) and never touches another. Examples are part of the check: one that gives something else
//! than it expects is an error. `schema.json` beside the crate describes the same form for editors.

mod example;
mod settings;

#[cfg(test)]
mod tests;

use crate::archive::sha256;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::language::{HealthRule, OutcomeRule, Rule, TagRule, literal};
use crate::path::{Location, fits_name};
use crate::yaml::{self, Key, Node, Value};
use example::Example;
pub use settings::{CRITICALITIES, LATENCY_BOUNDS_MS, LatencyObjective, MAX_DAYS, MIN_REQUESTS, Objectives, Period, RESOURCES};
use std::collections::BTreeMap;

/// Most bytes of a file.
pub const MAX_FILE: usize = 64 * 1024;
/// Most tags that a file may set.
pub const MAX_TAGS: usize = 16;
/// Most bytes of an owner's name.
const MAX_OWNER: usize = 256;
/// Keys of a file.
pub(crate) const KEYS: [&str; 12] = [
    "owner",
    "namespace",
    "criticality",
    "health",
    "tags",
    "errors",
    "groupings",
    "objectives",
    "capacity",
    "saturation",
    "shadow",
    "examples",
];

/// What a team says of one service.
#[derive(Clone, Debug)]
pub struct Override {
    /// Team, from the path.
    pub team: String,
    /// Service, from the path.
    pub service: String,
    /// Namespace of the service; may be empty.
    pub namespace: String,
    /// Who answers for it.
    pub owner: String,
    /// How much hangs on it, one of `CRITICALITIES`; empty when the file does not say.
    pub criticality: String,
    /// SHA-256 of the file, in hexadecimal digits, as records name it.
    pub sha256: String,
    /// Health rule; without one the default rule is in force.
    pub health: Option<Written<HealthRule>>,
    /// Values of tags, by tag.
    pub tags: BTreeMap<String, Written<TagRule>>,
    /// What counts as an error; without it the usual outcome stands.
    pub errors: Option<Written<OutcomeRule>>,
    /// Further groupings, each with its dimensions (`operation`, `svc_host` or a tag).
    pub groupings: BTreeMap<String, Vec<String>>,
    /// What the service promises.
    pub objectives: Objectives,
    /// What it can bear at most, by resource: `threads`, `queue`, `max_requests_per_second`.
    pub capacity: BTreeMap<String, f64>,
    /// Resources that its saturation is taken from; empty: all that are known.
    pub saturation: Vec<String>,
    /// Evaluated beside the live version and published apart.
    pub shadow: bool,
}

/// A rule and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<R> {
    /// The expression.
    pub text: String,
    /// Bytes of it in the file, with its quotes.
    pub span: Span,
    /// What it was compiled to.
    pub rule: R,
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it says, unless it has errors.
    pub result: Option<Override>,
    /// All that was found; places are bytes of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many examples it has; they are run when nothing else is wrong.
    pub examples: usize,
}

/// Reads a file at its place, compiles its expressions and runs its examples.
#[must_use]
pub fn check(path: &str, content: &[u8]) -> Checked {
    let failed = |found| Checked { result: None, diagnostics: vec![found], examples: 0 };
    let location = match crate::path::parse(path) {
        Ok(location) => location,
        Err(found) => return failed(found),
    };
    if content.len() > MAX_FILE {
        return failed(Diagnostic::error(Code::Limit, Span::default(), format!("{} bytes; at most {MAX_FILE} are allowed", content.len())));
    }
    let source = match std::str::from_utf8(content) {
        Ok(source) => source,
        Err(error) => {
            let at = Span { start: error.valid_up_to(), end: error.valid_up_to() };
            return failed(Diagnostic::error(Code::Yaml, at, "not UTF-8"));
        }
    };
    let root = match yaml::parse(source) {
        Ok(root) => root,
        Err(found) => return failed(found),
    };
    let mut reader = Reader { source, found: Vec::new() };
    let (read, examples) = reader.file(location, &root);
    let mut diagnostics = reader.found;
    if !diagnostics.iter().any(Diagnostic::is_error) {
        diagnostics.extend(examples.iter().filter_map(|example| example.run(&read)));
    }
    diagnostics.sort_by_key(|d| (d.span, std::cmp::Reverse(d.severity)));
    let refused = diagnostics.iter().any(Diagnostic::is_error);
    Checked { result: (!refused).then_some(read), diagnostics, examples: examples.len() }
}

/// Reads parts of a file and collects what is wrong with them.
struct Reader<'s> {
    source: &'s str,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn error<T>(&mut self, code: Code, span: Span, message: impl Into<String>) -> Option<T> {
        self.found.push(Diagnostic::error(code, span, message));
        None
    }

    /// Entries of a map, without the keys that are not known.
    fn known<'n>(&mut self, node: &'n Node, keys: &[&str]) -> Vec<(&'n Key, &'n Node)> {
        let entries = self.map(node);
        for (key, _) in entries.iter().filter(|(key, _)| !keys.contains(&key.name.as_str())) {
            let found = Diagnostic::error(Code::UnknownName, key.span, format!("unknown key `{}`", key.name))
                .suggest(&key.name, keys.iter().copied());
            self.found.push(if found.help.is_none() { found.help(format!("known are {}", keys.join(", "))) } else { found });
        }
        entries.into_iter().filter(|(key, _)| keys.contains(&key.name.as_str())).collect()
    }

    /// Entries of a map with keys of one's own choice.
    fn map<'n>(&mut self, node: &'n Node) -> Vec<(&'n Key, &'n Node)> {
        match &node.value {
            Value::Map(map) => map.iter().map(|(key, node)| (key, node)).collect(),
            _ => {
                self.found.push(Diagnostic::error(Code::Type, node.span, "keys with values are needed here").help("`key: value`"));
                Vec::new()
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(list) => list,
            _ => {
                self.found.push(
                    Diagnostic::error(Code::Type, node.span, "a list is needed here").help("`[a, b]`, or `- a` on lines of their own"),
                );
                &[]
            }
        }
    }

    fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text, _) => Some(text),
            _ => self.error(Code::Type, node.span, "a text is needed here"),
        }
    }

    /// A text of a few bytes without control characters, which is not empty.
    fn name<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.text(node)?;
        if text.len() > MAX_OWNER || !fits_name(text) {
            return self.error(Code::Range, node.span, format!("{what} has 1 to {MAX_OWNER} bytes and no control characters"));
        }
        Some(text)
    }

    /// An expression; its places become places of the file.
    fn rule<R: Rule>(&mut self, node: &Node) -> Option<Written<R>> {
        let text = self.text(node)?;
        let compiled = R::compile(text);
        let place = |found: Diagnostic| Diagnostic { span: yaml::place_within(self.source, node.span, text, found.span), ..found };
        self.found.extend(compiled.diagnostics.into_iter().map(place));
        Some(Written { text: text.trim().to_owned(), span: node.span, rule: compiled.rule? })
    }

    fn file(&mut self, location: Location, root: &Node) -> (Override, Vec<Example>) {
        let Location { team, service } = location;
        let mut read = Override {
            team,
            service,
            namespace: String::new(),
            owner: String::new(),
            criticality: String::new(),
            sha256: sha256(self.source.as_bytes()),
            health: None,
            tags: BTreeMap::new(),
            errors: None,
            groupings: BTreeMap::new(),
            objectives: Objectives::default(),
            capacity: BTreeMap::new(),
            saturation: Vec::new(),
            shadow: false,
        };
        let mut examples = Vec::new();
        let entries = self.known(root, &KEYS);
        for (key, node) in &entries {
            match key.name.as_str() {
                "owner" => read.owner = self.name(node, "an owner").unwrap_or_default().to_owned(),
                "namespace" => read.namespace = self.name(node, "a namespace").unwrap_or_default().to_owned(),
                "criticality" => read.criticality = self.criticality(node).unwrap_or_default(),
                "health" => read.health = self.rule(node),
                "errors" => read.errors = self.rule(node),
                "tags" => read.tags = self.tags(node),
                "groupings" => read.groupings = self.groupings(node),
                "objectives" => read.objectives = self.objectives(node),
                "capacity" => read.capacity = self.capacity(node),
                "saturation" => read.saturation = self.resources(node),
                "shadow" => read.shadow = self.yes_no(node).unwrap_or(false),
                _ => examples = self.examples(node),
            }
        }
        if !entries.iter().any(|(key, _)| key.name == "owner") {
            let start = Span { start: root.span.start, end: root.span.start };
            self.found.push(Diagnostic::error(Code::Range, start, "no owner").help("`owner: who to ask`"));
        }
        (read, examples)
    }

    fn tags(&mut self, node: &Node) -> BTreeMap<String, Written<TagRule>> {
        let entries = self.map(node);
        if entries.len() > MAX_TAGS {
            self.found.push(Diagnostic::error(Code::Limit, node.span, format!("{} tags; at most {MAX_TAGS} are allowed", entries.len())));
            return BTreeMap::new();
        }
        let mut tags = BTreeMap::new();
        for (key, node) in entries {
            let fits = (1..=128).contains(&key.name.len()) && key.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
            if !fits || key.name.starts_with("__") {
                self.found.push(Diagnostic::error(
                    Code::Range,
                    key.span,
                    "a tag has 1 to 128 letters, digits, `_ . - /`, and no `__` in front",
                ));
            }
            if let Some(rule) = self.rule(node) {
                tags.insert(key.name.clone(), rule);
            }
        }
        tags
    }

    fn yes_no(&mut self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Scalar(text, false) if text == "true" => Some(true),
            Value::Scalar(text, false) if text == "false" => Some(false),
            _ => self.error(Code::Type, node.span, "`true` or `false` is needed here"),
        }
    }

    /// A number with its unit, as expressions write it.
    fn quantity(&mut self, node: &Node) -> Option<(f64, crate::language::Unit)> {
        match &node.value {
            Value::Scalar(text, _) if literal(text).is_some() => literal(text),
            _ => self.error(Code::Type, node.span, "a number is needed here"),
        }
    }
}
