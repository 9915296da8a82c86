//! Groupings: by which dimensions the events of a service are summed.
//!
//! A *series* is kept at the finest level, the union of the dimensions of all groupings; every grouping is a projection of it, so a roll-up
//! is an exact sum. Every grouping contains the service.

use crate::decode::Wanted;
use crate::event::Event;
use std::collections::BTreeMap;

/// Most tags that groupings may name; the others that decoders can look for are for rules of teams.
pub const MAX_TAGS: usize = 16;

/// Where a dimension's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Operation,
    Host,
    /// Place among the wanted tags.
    Tag(usize),
}

/// One way of summing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Name in records, metrics and queries.
    pub name: String,
    /// Its dimensions, as places in `Groupings::dimensions`, ascending.
    pub dimensions: Vec<usize>,
}

/// All groupings of a pipeline, in the order of their names.
#[derive(Clone, Debug)]
pub struct Groupings {
    list: Vec<Grouping>,
    dimensions: Vec<String>,
    origins: Vec<Origin>,
    wanted: Vec<String>,
}

/// Why groupings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGroupings {
    /// Nothing would come out.
    #[error("no grouping is named: try `service: []`")]
    None,
    /// A limit of the decoders.
    #[error("the groupings name {0} different tags, and at most {MAX_TAGS} can be kept")]
    TooManyTags(usize),
    /// The same dimension twice, or the service, which every grouping contains.
    #[error("grouping {grouping} names dimension {dimension}, which it has already")]
    Repeated {
        /// Which grouping.
        grouping: String,
        /// Which dimension.
        dimension: String,
    },
}

impl Groupings {
    /// Groupings by name, each with its dimensions: `operation`, `svc_host`, or any tag.
    ///
    /// # Errors
    /// When there are none, too many tags, or a dimension twice.
    pub fn new(named: &BTreeMap<String, Vec<String>>) -> Result<Self, BadGroupings> {
        let (mut dimensions, mut origins, mut wanted, mut list) = (vec![], vec![], vec![], vec![]);
        for (name, names) in named {
            let mut places = Vec::new();
            for dimension in names {
                let place = dimensions.iter().position(|d| d == dimension).unwrap_or_else(|| {
                    origins.push(match dimension.as_str() {
                        "operation" => Origin::Operation,
                        "svc_host" => Origin::Host,
                        tag => {
                            wanted.push(tag.to_owned());
                            Origin::Tag(wanted.len() - 1)
                        }
                    });
                    dimensions.push(dimension.clone());
                    dimensions.len() - 1
                });
                if dimension == "service" || places.contains(&place) {
                    return Err(BadGroupings::Repeated { grouping: name.clone(), dimension: dimension.clone() });
                }
                places.push(place);
            }
            places.sort_unstable();
            list.push(Grouping { name: name.clone(), dimensions: places });
        }
        if list.is_empty() {
            return Err(BadGroupings::None);
        }
        if wanted.len() > MAX_TAGS {
            return Err(BadGroupings::TooManyTags(wanted.len()));
        }
        Ok(Self { list, dimensions, origins, wanted })
    }

    /// In the order of their names.
    #[must_use]
    pub fn list(&self) -> &[Grouping] {
        &self.list
    }

    /// Names of all dimensions of a series.
    #[must_use]
    pub fn dimensions(&self) -> &[String] {
        &self.dimensions
    }

    /// What decoders must look for.
    #[must_use]
    pub fn wanted(&self, traces: bool) -> Wanted {
        Wanted { tags: self.wanted.clone(), traces }
    }

    /// Raw values of an event's dimensions, in the order of `dimensions`.
    pub fn values<'e>(&self, event: &Event<'e>) -> impl Iterator<Item = &'e str> + use<'e, '_> {
        let (operation, host, tags) = (event.operation, event.host, event.tags);
        self.origins.iter().map(move |origin| match origin {
            Origin::Operation => operation,
            Origin::Host => host,
            Origin::Tag(place) => tags.get(*place).copied().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        list.iter().map(|(n, d)| ((*n).to_owned(), d.iter().map(|d| (*d).to_owned()).collect())).collect()
    }

    #[test]
    fn a_series_has_the_union_of_all_dimensions() {
        let groupings = Groupings::new(&named(&[("b", &["region", "operation"]), ("a", &["operation"]), ("service", &[])])).unwrap();
        assert_eq!(groupings.dimensions(), ["operation", "region"]);
        assert_eq!(groupings.list().iter().map(|g| g.dimensions.clone()).collect::<Vec<_>>(), [vec![0], vec![0, 1], vec![]]);
        assert_eq!(groupings.wanted(true).tags, ["region"]);
    }

    #[test]
    fn groupings_that_make_no_sense_are_refused() {
        assert_eq!(Groupings::new(&named(&[])).unwrap_err(), BadGroupings::None);
        assert!(matches!(Groupings::new(&named(&[("a", &["x", "x"])])), Err(BadGroupings::Repeated { .. })));
        assert!(matches!(Groupings::new(&named(&[("a", &["service"])])), Err(BadGroupings::Repeated { .. })));
        let many: Vec<String> = (0..17).map(|i| format!("t{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(Groupings::new(&named(&[("a", &many)])).unwrap_err(), BadGroupings::TooManyTags(17));
    }
}
