//! Query parameters: named in advance, each at most once, refused when unknown.

use crate::instant;
use crate::problem::Problem;
use axum::extract::Query;
use axum::http::Uri;
use platform_core::time::EventTime;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Problem::bad_request("the query cannot be read"))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&&**name) {
                let names = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail = format!("unknown query parameter {name:?}; known here: {names}");
                return Err(Problem::bad_request(detail).with_suggestions(nearest(name, known.iter().copied())));
            }
            if pairs.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request(format!("query parameter {name:?} is there twice")));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<EventTime>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let detail = || format!("{name} is no time: give RFC 3339 (2022-08-22T03:52:00Z) or seconds since 1970");
        instant::parse(text).map(Some).ok_or_else(|| Problem::bad_request(detail()))
    }

    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Problem::bad_request(format!("limit is a number from 1 to {most}")))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} is true or false"))),
        }
    }
}

/// Up to three names that are near to `name`, nearest first, each once.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut near: Vec<(f64, &str)> =
        known.map(|k| (strsim::jaro_winkler(&name, &k.to_lowercase()), k)).filter(|(score, _)| *score >= 0.7).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter().take(3).map(|(_, k)| k.to_owned()).collect()
}
