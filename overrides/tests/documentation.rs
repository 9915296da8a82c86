//! What the documentation and the samples show is true: every file passes, every expression compiles, and nothing is said against them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use golden_overrides::archive::Files;
use golden_overrides::diagnostic::{Code, Diagnostic};
use golden_overrides::language::{HealthRule, OutcomeRule, Rule, TagRule};
use golden_overrides::set::Set;

const PAGE: &str = include_str!("../../docs/overrides.md");

/// Contents of the page's blocks of a kind.
fn blocks(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}\n");
    PAGE.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn clean<R: Rule>(kind: &str) {
    let blocks = blocks(kind);
    assert!(!blocks.is_empty(), "{kind}");
    for line in blocks.iter().flat_map(|block| block.lines()) {
        assert_eq!(R::compile(line).diagnostics, [], "{line}");
    }
}

#[test]
fn expressions_of_the_page_compile() {
    clean::<HealthRule>("health");
    clean::<TagRule>("tag");
    clean::<OutcomeRule>("errors");
}

#[test]
fn files_of_the_page_and_the_samples_pass() {
    let mut files = Files::from([
        ("shop/cart.yaml".to_owned(), include_bytes!("../samples/shop/cart.yaml").to_vec()),
        ("search/yelp_main%2Fapi_proxy.yaml".to_owned(), include_bytes!("../samples/search/yelp_main%2Fapi_proxy.yaml").to_vec()),
    ]);
    for (number, block) in blocks("yaml").into_iter().enumerate() {
        files.insert(format!("page/file-{number}.yaml"), block.as_bytes().to_vec());
    }
    let set = Set::compile(&files).unwrap();
    let said: String = set.reports().map(|report| report.to_text()).collect();
    assert_eq!((said.as_str(), set.overrides().count()), ("", 3));
    assert!(set.find("", "yelp_main/api_proxy").is_some_and(|found| found.shadow));
}

#[test]
fn every_code_is_on_the_page() {
    let table = PAGE.split("## What the check says").nth(1).unwrap();
    let codes = [
        Code::Token,
        Code::Syntax,
        Code::Limit,
        Code::UnknownName,
        Code::NotHere,
        Code::Type,
        Code::Unit,
        Code::Scale,
        Code::Range,
        Code::DivisionByZero,
        Code::MayBeMissing,
        Code::NeverTaken,
        Code::Yaml,
        Code::Path,
        Code::Duplicate,
        Code::Example,
    ];
    for code in codes {
        assert!(table.contains(&format!("`{}`", code.name())), "{code:?}");
    }
}

#[test]
fn what_the_page_calls_wrong_is_found() {
    for (source, code) in [
        ("requestCount = 3 ? 0 : 1", Code::Token),
        ("1 < 2 < 3 ? 0 : 1", Code::Syntax),
        ("requestCount > 0 and availabilty > 9 ? 0 : 1", Code::UnknownName),
        ("requestCount > '60' ? 0 : 1", Code::Type),
        ("requestCount > 0 and latencyP99 > availability ? 0 : 1", Code::Unit),
        ("requestCount > 0 and availability > 0.99 ? 0 : 1", Code::Scale),
        ("4", Code::Range),
        ("requestCount < 60 ? 0 : requestCount < 30 ? 1 : 3", Code::NeverTaken),
        ("errorCount / requestCount > 1 ? 0 : 1", Code::DivisionByZero),
        ("availability > 99 ? 0 : 1", Code::MayBeMissing),
    ] {
        let found: Vec<Diagnostic> = HealthRule::compile(source).diagnostics;
        assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), [code], "{source}");
    }
    assert_eq!(TagRule::compile("requestCount > 1 ? 'a' : 'b'").diagnostics[0].code, Code::NotHere);
}
