use super::*;
use proptest::prelude::*;
use std::fmt::Write;

/// What a strict reader makes of a whole text.
fn read(text: &str) -> Result<(), Fault> {
    let mut keys = Keys::default();
    let mut scan = Scan::new(text, &mut keys);
    scan.skip()?;
    scan.end()
}

fn kind(text: &str) -> Option<FaultKind> {
    read(text).err().map(|fault| fault.kind)
}

/// The text with every escape undone and objects rebuilt, through the walkers; `serde_json` reads the same.
fn tree(scan: &mut Scan<'_, '_>) -> Result<serde_json::Value, Fault> {
    Ok(match scan.value()? {
        Value::Text(text) => {
            let mut out = String::new();
            text.unescape_into(&mut out);
            out.into()
        }
        Value::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| number.into()),
        Value::Bool(is) => is.into(),
        Value::Null => serde_json::Value::Null,
        Value::Object => {
            let mut map = serde_json::Map::new();
            scan.object(|scan, key| {
                let mut name = String::new();
                key.unescape_into(&mut name);
                assert!(key.is(&name));
                map.insert(name, tree(scan)?);
                Ok::<_, Fault>(())
            })?;
            map.into()
        }
        Value::Array => {
            let mut list = Vec::new();
            scan.array(|scan| {
                list.push(tree(scan)?);
                Ok::<_, Fault>(())
            })?;
            list.into()
        }
    })
}

#[test]
fn values_of_every_kind_are_read() {
    for text in ["0", "-0.5e+10", "\"\"", "true", "false", "null", "[]", "{}", " [ 1 , {\"a\" : [ ] } ] \r\n\t", "\"\u{7f}\u{2028}é😀\""]
    {
        assert_eq!(read(text), Ok(()), "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_kind() {
    for (text, expected) in [
        ("", FaultKind::End),
        (" ", FaultKind::End),
        ("{", FaultKind::End),
        ("[1,", FaultKind::End),
        ("\"abc", FaultKind::End),
        ("\"abc\\", FaultKind::End),
        ("nul", FaultKind::End),
        ("nulL", FaultKind::Byte),
        ("[1,]", FaultKind::Byte),
        ("{\"a\":1,}", FaultKind::Byte),
        ("{a:1}", FaultKind::Byte),
        ("{\"a\" 1}", FaultKind::Byte),
        ("'a'", FaultKind::Byte),
        ("[1 2]", FaultKind::Byte),
        ("01", FaultKind::Number),
        ("-", FaultKind::Number),
        ("1.", FaultKind::Number),
        (".5", FaultKind::Number),
        ("+1", FaultKind::Number),
        ("1e", FaultKind::Number),
        ("NaN", FaultKind::Number),
        ("Infinity", FaultKind::Number),
        ("-Infinity", FaultKind::Number),
        ("0x10", FaultKind::Trailing),
        ("1 2", FaultKind::Trailing),
        ("{}\0", FaultKind::Trailing),
        ("\"\\x\"", FaultKind::Escape),
        ("\"\\u12\"", FaultKind::Escape),
        ("\"\\u+123\"", FaultKind::Escape),
        ("\"\\ud800\"", FaultKind::Surrogate),
        ("\"\\ud800\\u0041\"", FaultKind::Surrogate),
        ("\"\\udc00\"", FaultKind::Surrogate),
        ("\"a\nb\"", FaultKind::Control),
        ("\"12345678\u{0}\"", FaultKind::Control),
        ("\u{feff}{}", FaultKind::ByteOrderMark),
        ("{\"a\":1,\"b\":2,\"a\":3}", FaultKind::DuplicateKey),
        ("{\"x\":{\"a\":1,\"\\u0061\":3}}", FaultKind::DuplicateKey),
    ] {
        assert_eq!(kind(text), Some(expected), "{text:?}");
    }
}

#[test]
fn nesting_stops_at_32() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(read(&nested(MAX_DEPTH)), Ok(()));
    assert_eq!(kind(&nested(MAX_DEPTH + 1)), Some(FaultKind::Depth));
    let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    assert_eq!(read(&objects(MAX_DEPTH)), Ok(()));
    assert_eq!(kind(&objects(MAX_DEPTH + 1)), Some(FaultKind::Depth));
    assert_eq!(kind(&"[".repeat(1 << 20)).map(|_| Reason::DepthExceeded), read(&"[".repeat(1 << 20)).err().map(Fault::reason));
}

#[test]
fn a_key_may_come_again_in_another_object() {
    assert_eq!(read(r#"{"a":{"a":1,"b":{"a":1}},"b":[{"a":1},{"a":1}]}"#), Ok(()));
}

#[test]
fn large_objects_are_checked_for_duplicates_too() {
    let object = |names: &mut dyn Iterator<Item = String>| {
        let members: Vec<String> = names.map(|name| format!("\"{name}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    for count in [FEW - 1, FEW, FEW + 1, 20_000] {
        let mut names = (0..count).map(|n| format!("a-long-common-prefix-{n}"));
        assert_eq!(read(&object(&mut names)), Ok(()), "{count}");
        for twin in [0, count / 2, count - 1] {
            let mut names = (0..count).map(|n| format!("a-long-common-prefix-{n}")).chain([format!("a-long-common-prefix-{twin}")]);
            assert_eq!(kind(&object(&mut names)), Some(FaultKind::DuplicateKey), "{count} {twin}");
            let escaped = format!("\\u0061-long-common-prefix-{twin}");
            let mut names = (0..count).map(|n| format!("a-long-common-prefix-{n}")).chain([escaped]);
            assert_eq!(kind(&object(&mut names)), Some(FaultKind::DuplicateKey), "{count} {twin} escaped");
        }
    }
}

#[test]
fn short_keys_that_differ_only_in_nul_are_different() {
    assert_eq!(read(r#"{"a":1,"a\u0000":2,"":3,"\u0000":4}"#), Ok(()));
}

#[test]
fn another_kind_than_asked_for_is_told() {
    let mut keys = Keys::default();
    let refused = Scan::new("[1]", &mut keys).object(|scan, _| scan.skip());
    assert_eq!(refused, Err(Fault { at: 0, kind: FaultKind::Kind }));
}

#[test]
fn positions_are_bytes_and_words_say_what_is_wrong() {
    let fault = read("{\"é\": x}").unwrap_err();
    assert_eq!(fault.to_string(), "unexpected character at byte 7");
}

#[test]
fn raw_text_of_a_value_is_given() {
    let mut keys = Keys::default();
    let mut scan = Scan::new("[ {\"a\" : 1} , 2]", &mut keys);
    let mut raw = Vec::new();
    scan.array(|scan| {
        raw.push(scan.skip_raw()?);
        Ok::<_, Fault>(())
    })
    .unwrap();
    assert_eq!(raw, ["{\"a\" : 1}", "2"]);
}

/// Text that is mostly JSON: values of all kinds, then some bytes changed.
fn nearly_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| serde_json::to_string(&f).unwrap()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        "[a-z\\\\u0-9dD\"]{0,12}".prop_map(|s| format!("\"{s}\"")),
    ];
    let value = leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec(("[a-c]{1,2}|\\\\u006[1-3]", inner), 0..5).prop_map(|members| {
                let mut object = String::from("{");
                for (n, (key, value)) in members.iter().enumerate() {
                    write!(object, "{}\"{key}\" : {value}", if n == 0 { "" } else { ", " }).unwrap();
                }
                object + "}"
            }),
        ]
    });
    (value, prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"\"\\{}[]:,0-.eE utn\n\x01".to_vec())), 0..3))
        .prop_map(|(text, changes)| {
            let mut bytes = text.into_bytes();
            for (place, byte) in changes {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn accepts_and_reads_what_serde_json_does_but_for_duplicate_keys(text in nearly_json()) {
        let mut keys = Keys::default();
        let mut scan = Scan::new(&text, &mut keys);
        let ours = tree(&mut scan).and_then(|value| scan.end().map(|()| value));
        match (ours, serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(fault), Ok(_)) => prop_assert_eq!(fault.kind, FaultKind::DuplicateKey),
            // serde_json refuses numbers that no f64 holds; the grammar does not.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{}: {}", error, text),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn word_by_word_finds_what_byte_by_byte_finds(text in "\\PC*", at in any::<prop::sample::Index>(), stop in prop::sample::select(b"\"\\\x00\x1f\x20\x7f".to_vec())) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len() + 1);
        bytes.insert(at, stop);
        bytes.push(b'"');
        let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..0x20);
        let end = bytes.iter().position(|byte| !plain(byte)).unwrap();
        let found = text_end(&bytes, 0);
        match bytes[end] {
            b'"' => prop_assert_eq!(found, Ok((end, false))),
            b'\\' => prop_assert!(!matches!(found, Ok((_, false)))),
            _ => prop_assert_eq!(found, Err(Fault { at: end as u32, kind: FaultKind::Control })),
        }
    }
}

proptest! {
    #[test]
    fn the_digits_in_front_are_counted_in_any_word(bytes in prop::array::uniform8(prop_oneof![8 => b'0'..=b'9', 1 => any::<u8>(), 1 => Just(b'0' - 1), 1 => Just(b'9' + 1)])) {
        let plain = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        prop_assert_eq!(leading_digits(u64::from_le_bytes(bytes)) as usize, plain);
    }

    #[test]
    fn a_text_ends_where_a_byte_by_byte_search_ends_it(text in proptest::collection::vec(prop_oneof![40 => 0x20_u8.., 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0_u8..0x20], 0..100)) {
        let slow = {
            let mut at = 0;
            loop {
                match text.get(at) {
                    None | Some(..0x20) => break None,
                    Some(b'"') => break Some(at),
                    Some(b'\\') => match escape_end(&text, at) {
                        Ok(end) => at = end,
                        Err(_) => break None,
                    },
                    Some(_) => at += 1,
                }
            }
        };
        prop_assert_eq!(text_end(&text, 0).ok().map(|(end, _)| end), slow);
    }

    #[test]
    fn short_and_long_numbers_end_at_the_same_place(text in "-?[0-9]{0,9}[.]?[0-9]{0,9}[.eE]?[+-]?[0-9]{0,2}[,}\\] ]{1,9}") {
        prop_assume!(matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')));
        if let Some(end) = short_number_end(text.as_bytes(), 0) {
            prop_assert_eq!(Ok(end), long_number_end(text.as_bytes(), 0));
        }
    }
}
