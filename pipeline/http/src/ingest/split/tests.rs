//! Pieces put together again are the body.

use super::*;

fn records<'a>(body: &'a [u8], shape: Shape) -> Vec<(Cow<'a, [u8]>, usize)> {
    let piece = |piece| match piece {
        Piece::Record { bytes, offset } => Some((bytes, offset)),
        Piece::Oversized { .. } => None,
    };
    split(body, shape).unwrap().into_iter().filter_map(piece).collect()
}

#[test]
fn a_body_that_fits_is_one_record_as_it_came() {
    for shape in [Shape::Json, Shape::Lines, Shape::OtlpJson, Shape::OtlpProto, Shape::Single] {
        assert_eq!(records(b" not read ", shape), [(Cow::from(&b" not read "[..]), 0)]);
    }
}

#[test]
fn lines_are_cut_at_their_ends_and_know_their_offsets() {
    let line = format!("{}\n", "a".repeat(MAX_ITEM / 3));
    let body = format!("{}{}\n{line}", line.repeat(4), "b".repeat(MAX_ITEM + 1));
    let records = records(body.as_bytes(), Shape::Lines);
    for (bytes, offset) in &records {
        assert!(bytes.len() <= MAX_ITEM && body.as_bytes()[*offset..].starts_with(bytes));
    }
    assert_eq!(records.iter().map(|(bytes, _)| bytes.len()).sum::<usize>(), 5 * line.len());
    assert!(split(body.as_bytes(), Shape::Lines).unwrap().contains(&Piece::Oversized { offset: 4 * line.len() }));
}

#[test]
fn objects_over_several_lines_are_not_cut_inside() {
    let object = format!("{{\n \"a\": \"{}\"\n}}\n", "x".repeat(MAX_ITEM / 2));
    let body = object.repeat(3);
    let records = records(body.as_bytes(), Shape::Json);
    assert_eq!(records.len(), 3);
    for (bytes, _) in records {
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    }
}

#[test]
fn elements_are_wrapped_again_in_order() {
    let elements: Vec<String> = (0..9).map(|i| format!("\"{i}{}\"", "x".repeat(MAX_ITEM / 4))).collect();
    let body = format!(" [{}]", elements.join(" , "));
    let records = records(body.as_bytes(), Shape::Json);
    let read: Vec<Vec<serde_json::Value>> = records.iter().map(|(bytes, _)| serde_json::from_slice(bytes).unwrap()).collect();
    assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(read.concat().iter().map(ToString::to_string).collect::<Vec<_>>(), elements);
}
