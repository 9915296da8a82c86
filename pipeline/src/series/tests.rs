use super::*;
use std::collections::BTreeMap;

fn groupings() -> Groupings {
    Groupings::new(&BTreeMap::from([("service_operation".to_owned(), vec!["operation".to_owned()])])).unwrap()
}

fn event<'a>(service: &'a str, operation: &'a str) -> Event<'a> {
    Event { service, operation, ..Event::EMPTY }
}

#[test]
fn equal_texts_are_one_series_and_others_are_not() {
    let (mut table, groupings) = (SeriesTable::default(), groupings());
    let mut of = |s, o| table.of_event("default", &event(s, o), &groupings, 4).unwrap();
    let a = of("cart", "GET /");
    assert_eq!(of("cart", "GET /"), a);
    assert_ne!(of("cart", "GET /x"), a);
    assert_ne!(of("car", "tGET /"), a);
    assert_eq!(of("cart", "GET /"), a);
    assert_eq!(table.key(a), b"default\0\0cart\0GET /\0");
    assert_eq!(parts(table.key(a)).collect::<Vec<_>>(), ["default", "", "cart", "GET /"]);
    assert_eq!(&table.key(a)[..service_length(table.key(a))], b"default\0\0cart\0");
}

#[test]
fn canonically_equal_texts_are_one_series() {
    let (mut table, groupings) = (SeriesTable::default(), groupings());
    let composed = table.of_event("default", &event("caf\u{e9}", "x"), &groupings, 4);
    let decomposed = table.of_event("default", &event("cafe\u{301}", "x"), &groupings, 4);
    assert_eq!(composed, decomposed);
}

#[test]
fn bad_services_are_refused_each_time() {
    let (mut table, groupings) = (SeriesTable::default(), groupings());
    let long = "x".repeat(257);
    for bad in ["", "a\0b", "a\nb", "a\u{202e}b", long.as_str()] {
        for _ in 0..2 {
            assert_eq!(table.of_event("default", &event(bad, "x"), &groupings, 4), Err(BadService), "{bad:?}");
        }
    }
    assert!(table.of_event("default", &event(&"x".repeat(256), "x"), &groupings, 4).is_ok());
}

#[test]
fn values_are_never_merged_silently() {
    let long_a = format!("{}a", "é".repeat(200));
    let long_b = format!("{}b", "é".repeat(200));
    let (a, b) = (canonical(&long_a), canonical(&long_b));
    assert!(a.len() <= MAX_NAME && a != b && a.starts_with("éé"));
    assert_eq!(canonical("__overflow__"), "x__overflow__");
    assert_ne!(canonical("a\0b"), canonical("a\u{2400}b"));
    assert!(!canonical("a\0b").contains('\0'));
}
