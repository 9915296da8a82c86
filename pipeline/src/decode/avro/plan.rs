//! Schemas compiled for what is wanted.
//!
//! A plan says for each type how its bytes are read, and for each field of a record whether it is wanted, down to the places of the mapping.
//! Types that are used in several places are compiled once for each set of places below them, so a plan is never larger than the schema times
//! the mapping. A type that contains itself is refused: then the depth of every datum is known beforehand, and reading may recurse.
//! What this does not do: it resolves nothing against another schema. Records are read as they were written; aliases and defaults mean nothing.

use crate::decode::{MAX_DEPTH, MAX_ITEM, Reason, Wanted};
use crate::source::{Dedup, Path, Source};
use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, NamesRef, RecordSchema, ResolvedSchema, UuidSchema};
use platform_core::map::Map;
use platform_core::time::SECOND;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most types in a plan.
const MAX_TYPES: usize = 1 << 16;

/// Why no record can be read by a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a schema, or one that refers to types that are not in it.
    #[error("no complete Avro schema: {0}")]
    NotAvro(String),
    /// A type that contains itself.
    #[error("the type `{0}` contains itself")]
    Recursive(String),
    /// Records, arrays and maps in each other.
    #[error("nested deeper than 32")]
    TooDeep,
    /// Above 1 MiB, or of too many types.
    #[error("more than 1 MiB, or than 65,536 types")]
    TooLarge,
}

impl Unfit {
    /// The dead letter's reason for records of the schema.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotAvro(_) => Reason::SchemaMismatch,
            Self::Recursive(_) | Self::TooDeep => Reason::DepthExceeded,
            Self::TooLarge => Reason::SizeExceeded,
        }
    }
}

/// How the bytes of a type are read.
#[derive(Debug)]
pub(super) enum Plan {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    /// Days, which are no time.
    Date,
    /// A long that counts so many nanoseconds since 1970, there or where the source is.
    Time {
        nanos: i64,
        local: bool,
    },
    /// Its symbols.
    Enum(Box<[Box<str>]>),
    /// Its branches.
    Union(Box<[Arc<Plan>]>),
    /// Its items, of which nothing can be wanted.
    Array(Arc<Plan>),
    /// Its wanted entries, and the others.
    Map(Box<[Member]>, Arc<Plan>),
    /// Its fields. Those without a key are passed over.
    Record(Box<[Member]>),
}

/// A field or an entry.
#[derive(Debug)]
pub(super) struct Member {
    /// `"key":`; empty when it is not wanted.
    pub(super) lead: Box<str>,
    pub(super) plan: Arc<Plan>,
}

impl Member {
    fn new(key: &str, plan: Arc<Plan>) -> Self {
        // Keys of mappings have no characters that JSON escapes.
        Self { lead: format!("\"{key}\":").into(), plan }
    }

    /// The key, without quotes and colon.
    pub(super) fn key(&self) -> &[u8] {
        self.lead.as_bytes().get(1..self.lead.len().saturating_sub(2)).unwrap_or_default()
    }
}

impl Plan {
    /// Compiles a schema for the wanted places.
    ///
    /// # Errors
    /// No record can be read by it, and why.
    pub(super) fn compile(schema: &str, wants: &Wants) -> Result<Arc<Self>, Unfit> {
        if schema.len() > MAX_ITEM {
            return Err(Unfit::TooLarge);
        }
        let not_avro = |error: apache_avro::Error| Unfit::NotAvro(error.to_string());
        let schema = Schema::parse_str(schema).map_err(not_avro)?;
        let resolved = ResolvedSchema::new(&schema).map_err(not_avro)?;
        let mut compiler = Compiler { names: resolved.get_names(), wants, done: Map::default(), open: Vec::new(), types: 0 };
        compiler.plan(&schema, Some(ROOT), 0).map(|(plan, _)| plan)
    }
}

/// A node of `Wants`.
type Node = usize;
const ROOT: Node = 0;

/// The places that a source's mapping names in an item, as a tree of keys.
#[derive(Debug)]
pub(super) struct Wants(Vec<BTreeMap<String, Node>>);

impl Default for Wants {
    fn default() -> Self {
        Self(vec![BTreeMap::new()])
    }
}

impl Wants {
    /// Every place that `Objects` may look at for this source.
    pub(super) fn of(source: &Source, wanted: &Wanted) -> Self {
        let mut wants = Self::default();
        let f = &source.fields;
        let named = [
            &f.timestamp,
            &f.service,
            &f.namespace,
            &f.operation,
            &f.status,
            &f.grpc_status,
            &f.outcome,
            &f.error_type,
            &f.host,
            &f.weight,
        ];
        let traces = [&f.trace_id, &f.span_id, &f.sampled].into_iter().filter(|_| wanted.traces);
        named.into_iter().chain(traces).flatten().for_each(|path| wants.add(path));
        f.duration.iter().for_each(|(path, _)| wants.add(path));
        wanted.tags.iter().flat_map(|tag| f.tag(tag)).for_each(|path| wants.add(&path));
        source.outcome.iter().for_each(|rule| wants.add(&rule.when.path));
        source.filter.iter().for_each(|condition| wants.add(&condition.path));
        match &source.dedup {
            Dedup::Off => {}
            Dedup::OfFormat => wants.add(&Path::Body(vec!["id".to_owned()])),
            Dedup::By(paths) => paths.iter().for_each(|path| wants.add(path)),
        }
        wants
    }

    /// Wants a place by all spellings that `Objects` knows: dots may be nesting or part of a key.
    fn add(&mut self, path: &Path) {
        let Path::Body(keys) = path else { return };
        self.add_keys(keys);
        if let [first, rest @ ..] = keys.as_slice() {
            self.add_keys(&[first.clone(), rest.join(".")]);
        }
        self.add_keys(&[keys.join(".")]);
    }

    fn add_keys(&mut self, keys: &[String]) {
        let mut at = ROOT;
        for key in keys {
            let next = self.0.len();
            let Some(node) = self.0.get_mut(at) else { return };
            at = *node.entry(key.clone()).or_insert(next);
            if at == next {
                self.0.push(BTreeMap::new());
            }
        }
    }

    /// What is wanted below a node, by key.
    fn below(&self, node: Option<Node>) -> impl Iterator<Item = (&String, Node)> {
        node.and_then(|node| self.0.get(node)).into_iter().flatten().map(|(key, node)| (key, *node))
    }
}

struct Compiler<'s> {
    names: &'s NamesRef<'s>,
    wants: &'s Wants,
    /// Records that are compiled, by name and wanted node.
    done: Map<(String, Option<Node>), (Arc<Plan>, usize)>,
    /// Names of the records that are being compiled, outermost first.
    open: Vec<String>,
    types: usize,
}

impl<'s> Compiler<'s> {
    /// The plan of a type inside `depth` containers, and how many containers lie in each other in it.
    fn plan(&mut self, schema: &'s Schema, want: Option<Node>, depth: usize) -> Result<(Arc<Plan>, usize), Unfit> {
        self.types += 1;
        if self.types > MAX_TYPES {
            return Err(Unfit::TooLarge);
        }
        let time = |nanos, local| Plan::Time { nanos, local };
        let leaf = match schema {
            Schema::Null => Plan::Null,
            Schema::Boolean => Plan::Boolean,
            Schema::Int | Schema::TimeMillis => Plan::Int,
            Schema::Long | Schema::TimeMicros => Plan::Long,
            Schema::Float => Plan::Float,
            Schema::Double => Plan::Double,
            Schema::String | Schema::Uuid(UuidSchema::String) => Plan::Text,
            Schema::Date => Plan::Date,
            Schema::TimestampMillis => time(SECOND / 1_000, false),
            Schema::TimestampMicros => time(SECOND / 1_000_000, false),
            Schema::TimestampNanos => time(1, false),
            Schema::LocalTimestampMillis => time(SECOND / 1_000, true),
            Schema::LocalTimestampMicros => time(SECOND / 1_000_000, true),
            Schema::LocalTimestampNanos => time(1, true),
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => Plan::Bytes,
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => Plan::Fixed(fixed.size),
            Schema::Enum(of) => Plan::Enum(of.symbols.iter().map(|symbol| symbol.as_str().into()).collect()),
            Schema::Ref { name } => {
                let named = self.names.get(name).copied().ok_or_else(|| Unfit::NotAvro(format!("there is no type `{name}` in it")))?;
                return self.plan(named, want, depth);
            }
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.plan(branch, want, depth)).collect::<Result<Vec<_>, _>>()?;
                let height = branches.iter().map(|(_, height)| *height).max().unwrap_or_default();
                return Ok((Arc::new(Plan::Union(branches.into_iter().map(|(plan, _)| plan).collect())), height));
            }
            Schema::Array(array) => {
                let (items, height) = self.plan(&array.items, None, inside(depth)?)?;
                return Ok((Arc::new(Plan::Array(items)), height + 1));
            }
            Schema::Map(map) => {
                let depth = inside(depth)?;
                let (others, mut height) = self.plan(&map.types, None, depth)?;
                let mut entries = Vec::new();
                for (key, want) in self.wants.below(want) {
                    let (plan, of_entry) = self.plan(&map.types, Some(want), depth)?;
                    height = height.max(of_entry);
                    entries.push(Member::new(key, plan));
                }
                return Ok((Arc::new(Plan::Map(entries.into(), others)), height + 1));
            }
            Schema::Record(record) => return self.record(record, want, depth),
        };
        Ok((Arc::new(leaf), 0))
    }

    fn record(&mut self, record: &'s RecordSchema, want: Option<Node>, depth: usize) -> Result<(Arc<Plan>, usize), Unfit> {
        let name = record.name.fullname(None);
        if self.open.contains(&name) {
            return Err(Unfit::Recursive(name));
        }
        let key = (name, want);
        if let Some((plan, height)) = self.done.get(&key) {
            return if depth + height > MAX_DEPTH { Err(Unfit::TooDeep) } else { Ok((Arc::clone(plan), *height)) };
        }
        let depth = inside(depth)?;
        self.open.push(key.0.clone());
        let (mut members, mut height) = (Vec::new(), 0);
        for field in &record.fields {
            let wanted = self.wants.below(want).find(|(key, _)| **key == field.name).map(|(_, node)| node);
            let (plan, of_field) = self.plan(&field.schema, wanted, depth)?;
            height = height.max(of_field);
            members.push(if wanted.is_some() { Member::new(&field.name, plan) } else { Member { lead: Box::default(), plan } });
        }
        self.open.pop();
        let done = (Arc::new(Plan::Record(members.into())), height + 1);
        self.done.insert(key, (Arc::clone(&done.0), done.1));
        Ok(done)
    }
}

/// The depth inside one more container.
fn inside(depth: usize) -> Result<usize, Unfit> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Unfit::TooDeep) }
}
