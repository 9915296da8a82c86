//! Names of services and operations behind the numbers in facts.

/// Names by number.
#[derive(Clone, Debug)]
pub struct Names {
    services: Vec<String>,
    operations: Vec<String>,
}

const NOUNS: [&str; 12] = ["orders", "carts", "pay", "users", "bills", "parcels", "items", "reviews", "login", "quotes", "stock", "prices"];

impl Names {
    pub(crate) fn new(services: Vec<String>, operations: Vec<String>) -> Self {
        Self { services, operations }
    }

    /// As many distinct names as asked for. The operations are the same for every service.
    pub(crate) fn invented(services: u32, operations: u32) -> Self {
        let noun = |at: u32| NOUNS.get(at as usize % NOUNS.len()).copied().unwrap_or_default();
        let service = |at: u32| format!("{}-{at}", noun(at));
        let operation = |at: u32| {
            // Beyond the first 48, a path has the number of its version.
            let noun = if at < 48 { noun(at / 4).to_owned() } else { format!("v{}/{}", at / 48 + 1, noun(at / 4)) };
            match at % 4 {
                0 => format!("GET /{noun}/{{id}}"),
                1 => format!("GET /{noun}"),
                2 => format!("POST /{noun}"),
                _ => format!("PUT /{noun}/{{id}}/lines/{{line}}"),
            }
        };
        Self::new((0..services).map(service).collect(), (0..operations).map(operation).collect())
    }

    /// Name of a service; empty for a number that no fact has.
    #[must_use]
    pub fn service(&self, number: u32) -> &str {
        self.services.get(number as usize).map_or("", String::as_str)
    }

    /// Name of an operation; empty for a number that no fact has.
    #[must_use]
    pub fn operation(&self, number: u32) -> &str {
        self.operations.get(number as usize).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct() {
        let names = Names::invented(10_000, 1_000);
        assert_eq!(names.services.iter().collect::<BTreeSet<_>>().len(), 10_000);
        assert_eq!(names.operations.iter().collect::<BTreeSet<_>>().len(), 1_000);
    }
}
