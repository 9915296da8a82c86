use super::*;
use proptest::prelude::*;

/// Places that the properties ask for: nested and flat, present and not.
const WANTED: [&[&str]; 6] = [&["a"], &["b"], &["t", "a"], &["t", "u", "b"], &["t"], &["é"]];

fn reader() -> (Reader, Vec<Slot>) {
    let mut reader = Reader::default();
    let slots = WANTED.iter().map(|keys| reader.want(keys)).collect();
    (reader, slots)
}

fn values(reader: &Reader, slots: &[Slot], text: &str) -> Vec<Option<String>> {
    slots.iter().map(|slot| reader.get(*slot, text).map(|found| format!("{found:?}"))).collect()
}

/// What a reader finds, fast if it can.
fn fast(reader: &mut Reader, slots: &[Slot], text: &str) -> Result<(usize, Vec<Option<String>>, bool), Fault> {
    let end = reader.read(text, 0, 0)?;
    Ok((end, values(reader, slots, text), reader.misshapen()))
}

/// What the strict scanner finds.
fn strict(text: &str) -> Result<(usize, Vec<Option<String>>, bool), Fault> {
    let (mut reader, slots) = reader();
    let end = reader.read_strictly(text, 0, 0)?;
    Ok((end, values(&reader, &slots, text), reader.misshapen()))
}

#[test]
fn wanted_places_are_found_in_any_order_and_with_any_spacing() {
    let (mut reader, slots) = reader();
    for text in [
        r#"{"a":1,"b":"x","t":{"a":true,"u":{"b":null}}}"#,
        r#"{"t":{"u":{"c":[1,{"a":2}],"b":""},"a":true},"b":"x","a":1}"#,
        "{ \"b\" :\t\"x\"\r\n, \"a\": 1, \"z\": {\"a\": 9}, \"t\": { \"a\" : true } }",
        r#"{"\u0061":1,"b":"\u0078","t":{"a":true}}"#,
    ] {
        let expected = [Some("Number(\"1\")"), Some("Text(\"x\")"), Some("Bool(true)"), None, None, None];
        for _ in 0..3 {
            let (end, found, misshapen) = fast(&mut reader, &slots, text).unwrap();
            assert_eq!((end, misshapen), (text.len(), false));
            assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}

#[test]
fn nothing_is_left_over_from_the_item_before() {
    let (mut reader, slots) = reader();
    fast(&mut reader, &slots, r#"{"a":1,"b":"\n","t":{"a":2}}"#).unwrap();
    let (_, found, _) = fast(&mut reader, &slots, r#"{"c":1}"#).unwrap();
    assert_eq!(found, vec![None; 6]);
}

#[test]
fn a_duplicate_key_is_refused_wherever_it_is() {
    for text in [
        r#"{"a":1,"a":2}"#,
        r#"{"x":1,"y":2,"x":3}"#,
        r#"{"x":{"y":1,"y":2}}"#,
        r#"{"t":{"x":1,"x":2}}"#,
        r#"{"x":[{"y":1,"y":2}]}"#,
        r#"{"a":1,"\u0061":2}"#,
    ] {
        let (mut reader, slots) = reader();
        for warm in 0..3 {
            let refused = fast(&mut reader, &slots, text).map_err(|fault| fault.kind);
            assert_eq!(refused, Err(crate::decode::json::scan::FaultKind::DuplicateKey), "{text} {warm}");
        }
    }
}

#[test]
fn keys_without_end_are_neither_kept_nor_confused() {
    let (mut reader, slots) = reader();
    for item in 0..2_000 {
        let text = format!(r#"{{"key-{item}":1,"b":"{item}","m":{{"k{item}":{{"a":1}}}},"t":{{"x-{item}":0,"a":{item}}}}}"#);
        let (_, found, _) = fast(&mut reader, &slots, &text).unwrap();
        assert_eq!(found[1].as_deref(), Some(format!("Text(\"{item}\")").as_str()));
        assert_eq!(found[2].as_deref(), Some(format!("Number(\"{item}\")").as_str()));
        assert!(reader.nodes.len() <= reader.wanted + MAX_LEARNED);
    }
}

#[test]
fn another_shape_on_the_way_to_a_wanted_place_is_told() {
    let mut reader = Reader::default();
    let deep = reader.want(&["t", "u", "b"]);
    for (text, misshapen) in [
        (r#"{"t":1}"#, true),
        (r#"{"t":{"u":"x"}}"#, true),
        (r#"{"t":[1]}"#, true),
        (r#"{"t":[]}"#, false),
        (r#"{"t":[ ]}"#, false),
        (r#"{"t":null}"#, false),
        (r#"{"t":{}}"#, false),
        (r#"{"x":1}"#, false),
    ] {
        for _ in 0..2 {
            reader.read(text, 0, 0).unwrap();
            assert_eq!((reader.misshapen(), reader.get(deep, text)), (misshapen, None), "{text}");
        }
        reader.read_strictly(text, 0, 0).unwrap();
        assert_eq!(reader.misshapen(), misshapen, "strictly {text}");
    }
}

#[test]
fn a_wanted_place_may_lie_under_another() {
    let mut reader = Reader::default();
    let (outer, inner) = (reader.want(&["status"]), reader.want(&["status", "code"]));
    let text = r#"{"status":{"code":5}}"#;
    reader.read(text, 0, 0).unwrap();
    assert_eq!((reader.get(outer, text), reader.get(inner, text)), (None, Some(Found::Number("5"))));
    let text = r#"{"status":5}"#;
    reader.read(text, 0, 0).unwrap();
    assert_eq!((reader.get(outer, text), reader.get(inner, text), reader.misshapen()), (Some(Found::Number("5")), None, false));
}

#[test]
fn depth_counts_what_others_opened() {
    let nested = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    let mut reader = Reader::default();
    for _ in 0..2 {
        assert!(reader.read(&nested(MAX_DEPTH), 0, 0).is_ok());
        assert!(reader.read(&nested(MAX_DEPTH - 1), 0, 1).is_ok());
        assert!(reader.read(&nested(MAX_DEPTH), 0, 1).is_err());
        assert!(reader.read(&nested(MAX_DEPTH + 1), 0, 0).is_err());
        let arrays = format!("{{\"a\":{}{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(reader.read(&arrays, 0, 0).is_err());
    }
}

/// Objects of few keys, so that orders, repeats and shapes vary; then some bytes changed.
fn objects() -> impl Strategy<Value = Vec<String>> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?(e[+-]?[0-9])?",
        "[ -!#-\\[\\]-~é]{0,20}".prop_map(|text| format!("\"{text}\"")),
        "([a-z]|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00){0,6}".prop_map(|text| format!("\"{text}\"")),
        Just("[]".to_owned()),
        Just("[1, {\"a\": [2]}]".to_owned()),
    ];
    let value = scalar.prop_recursive(3, 20, 5, |inner| {
        prop::collection::vec(("a|b|t|u|é|\\\\u0061|x[0-9]", inner), 0..6).prop_map(|members| {
            let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    });
    let object = prop::collection::vec(("a|b|t|é|x[0-9]", value), 0..7).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(", "))
    });
    let change = (any::<prop::sample::Index>(), prop::sample::select(b"\"\\{}[]:,0-.eE utn\n\x01".to_vec()));
    let changed = (object, prop::collection::vec(change, 0..2)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    prop::collection::vec(changed, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn fast_and_strict_find_the_same_and_accept_what_serde_json_does(texts in objects()) {
        let (mut reader, slots) = reader();
        for text in texts.iter().chain(&texts) {
            let found = fast(&mut reader, &slots, text);
            prop_assert_eq!(&found, &strict(text), "{}", text);
            let mut theirs = serde_json::Deserializer::from_str(text).into_iter::<std::collections::BTreeMap<String, serde_json::Value>>();
            match (found, theirs.next()) {
                (Ok((end, ..)), Some(Ok(_))) => prop_assert_eq!(end, theirs.byte_offset()),
                (Err(fault), Some(Ok(_))) => prop_assert_eq!(fault.kind, crate::decode::json::scan::FaultKind::DuplicateKey),
                (Ok(_), refused) => prop_assert!(false, "{:?}: {}", refused, text),
                (Err(_), _) => {}
            }
        }
    }
}
