//! Names of operations: `METHOD route-template` (SIGNALS §1.1).
//!
//! A template that the input names is used as it is. Only a raw path is made into one, so that ids in it do not become series without end:
//! the segments that look like values become `{id}`. Everything is written into a text that the caller reuses.

/// Segments of a path that are kept; what follows them is `**`.
const SEGMENTS: usize = 8;

/// An HTTP method by its name; `_OTHER` for what RFC 9110 does not know, `PATCH` and `QUERY` apart. Methods are case-sensitive.
#[must_use]
pub fn method(text: &str) -> &'static str {
    const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];
    METHODS.into_iter().find(|m| *m == text).unwrap_or("_OTHER")
}

/// Writes `METHOD route`, the route as it is.
pub fn with_route(out: &mut String, method_text: &str, route: &str) {
    out.clear();
    out.push_str(method(method_text));
    out.push(' ');
    out.push_str(route);
}

/// Writes `METHOD template`, the template made from a raw path or URL.
pub fn with_path(out: &mut String, method_text: &str, path: &str) {
    out.clear();
    out.push_str(method(method_text));
    out.push(' ');
    push_template(out, path);
}

/// Writes the template of what may be `METHOD path`, a path, or a name that is neither and stays as it is.
pub fn from_text(out: &mut String, text: &str) {
    out.clear();
    match text.split_once(' ') {
        Some((first, path)) if path.starts_with('/') => {
            out.push_str(first);
            out.push(' ');
            push_template(out, path);
        }
        _ if text.starts_with('/') => push_template(out, text),
        _ => out.push_str(text),
    }
}

/// Appends the template of a raw path: no scheme, host, query or fragment, values as `{id}`, and at most eight segments.
pub fn push_template(out: &mut String, path: &str) {
    let path = without_host(path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let Some(segments) = path.strip_prefix('/') else {
        out.push_str(if path.is_empty() { "/" } else { path }); // `*`, or the authority of CONNECT
        return;
    };
    for (number, segment) in segments.split('/').enumerate() {
        out.push('/');
        if number == SEGMENTS {
            out.push_str("**");
            return;
        }
        out.push_str(if is_value(segment) { "{id}" } else { segment });
    }
}

/// Cuts `https://host` off a URL.
fn without_host(url: &str) -> &str {
    match url.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => url,
    }
}

/// Whether a segment is a value and not a word of the route.
fn is_value(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let (mut digit, mut hex, mut at) = (false, true, false);
    for byte in bytes {
        digit |= byte.is_ascii_digit();
        hex &= byte.is_ascii_hexdigit();
        at |= *byte == b'@';
    }
    at || (digit
        && (bytes.iter().all(u8::is_ascii_digit) || (hex && bytes.len() >= 8) || (bytes.len() >= 20 && segment.chars().count() >= 20)))
        || is_uuid(bytes)
}

/// `8-4-4-4-12` hex digits.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(path: &str) -> String {
        let mut out = String::new();
        push_template(&mut out, path);
        out
    }

    #[test]
    fn values_in_a_path_become_ids() {
        for (path, expected) in [
            ("/products/42", "/products/{id}"),
            ("/users/550e8400-e29b-41d4-a716-446655440000/cart", "/users/{id}/cart"),
            ("/users/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "/users/{id}"),
            ("/c/deadbee1", "/c/{id}"),
            ("/c/deadbee1f/", "/c/{id}/"),
            ("/c/deadbeef", "/c/deadbeef"),
            ("/c/dead1", "/c/dead1"),
            ("/f/glyphicons-halflings-regular.woff2", "/f/{id}"),
            ("/f/glyphicons-halflings-regular.css", "/f/glyphicons-halflings-regular.css"),
            ("/f/éééééééééé9", "/f/éééééééééé9"),
            ("/m/a@b", "/m/{id}"),
            ("/v2/some", "/v2/some"),
            ("/", "/"),
            ("", "/"),
            ("*", "*"),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }

    #[test]
    fn query_fragment_scheme_and_host_are_dropped() {
        assert_eq!(template("/a?b=/1/2"), "/a");
        assert_eq!(template("/a#b?c"), "/a");
        assert_eq!(template("http://shop.example/a/7?x=1"), "/a/{id}");
        assert_eq!(template("http://shop.example?x=1"), "/");
        assert_eq!(template("/go?to=http://x/y"), "/go");
        assert_eq!(template("/go/http://x/y"), "/go/http://x/y");
    }

    #[test]
    fn what_follows_the_eighth_segment_is_cut() {
        assert_eq!(template("/a/b/c/d/e/f/g/h"), "/a/b/c/d/e/f/g/h");
        assert_eq!(template("/a/b/c/d/e/f/g/h/i/j"), "/a/b/c/d/e/f/g/h/**");
    }

    #[test]
    fn unknown_methods_are_other_and_names_stay() {
        let mut out = String::from("old");
        with_path(&mut out, "geti", "/products/42");
        assert_eq!(out, "_OTHER /products/{id}");
        with_route(&mut out, "PATCH", "/products/:id");
        assert_eq!(out, "PATCH /products/:id");
        for (text, expected) in [("post /a/1", "post /a/{id}"), ("/a/1", "/a/{id}"), ("shop.Cart/Add 1", "shop.Cart/Add 1")] {
            from_text(&mut out, text);
            assert_eq!(out, expected);
        }
    }

    proptest! {
        #[test]
        fn templates_are_fixed_points_and_never_panic(path in "/\\PC{0,60}|\\PC{0,30}|(/[a-f0-9@]{0,12}){0,12}") {
            let once = template(&path);
            if path.starts_with('/') {
                prop_assert_eq!(template(&once), once.clone());
                prop_assert!(once.split('/').count() <= SEGMENTS + 2);
            }
        }
    }
}
