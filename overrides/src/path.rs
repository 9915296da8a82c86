//! Where a file lies says whose it is: `<team>/<service>.yaml`, relative to the folder of overrides.
//!
//! A team is `[a-z0-9-]{1,63}`. A service's name is percent-encoded except for RFC 3986 unreserved characters, as in keys of topics
//! (`yelp_main%2Fapi_proxy.yaml`), and in one way only: no two paths of a team name the same service.

use crate::diagnostic::{Code, Diagnostic, Span};

/// Most bytes of a service's name.
const MAX_NAME: usize = 256;

/// Team and service of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) team: String,
    pub(crate) service: String,
}

/// Reads a path.
pub(crate) fn parse(path: &str) -> Result<Location, Diagnostic> {
    let refused = |message: &str| Diagnostic::error(Code::Path, Span::default(), message).help("a file lies at `<team>/<service>.yaml`");
    let (team, name) = path.split_once('/').ok_or_else(|| refused("no team in the path"))?;
    let fits = (1..=63).contains(&team.len()) && team.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        return Err(refused("a team has 1 to 63 lower-case letters, digits and `-`"));
    }
    let written = name.strip_suffix(".yaml").ok_or_else(|| refused("a file of a service ends in `.yaml`"))?;
    let service = decode(written).filter(|service| fits_name(service)).ok_or_else(|| refused("this is no name of a service"))?;
    if encode(&service) != written {
        return Err(refused("the service's name is not written the usual way").help(format!("name the file `{}.yaml`", encode(&service))));
    }
    Ok(Location { team: team.to_owned(), service })
}

/// Whether a text can be the name of a service, a namespace, or another name that is shown to people: 1 to 256 bytes, no control characters.
#[must_use]
pub fn fits_name(name: &str) -> bool {
    let refused =
        |c: char| c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(refused)
}

/// File name, without its ending, of a service.
#[must_use]
pub fn encode(service: &str) -> String {
    let mut out = String::with_capacity(service.len());
    for byte in service.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(written: &str) -> Option<String> {
    let mut out = Vec::with_capacity(written.len());
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push(if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_team_and_service() {
        for (path, team, service) in [
            ("shop/cart.yaml", "shop", "cart"),
            ("team-1/yelp_main%2Fapi_proxy.yaml", "team-1", "yelp_main/api_proxy"),
            ("shop/caf%C3%A9.v2~b.yaml", "shop", "café.v2~b"),
        ] {
            assert_eq!(parse(path), Ok(Location { team: team.into(), service: service.into() }));
            assert_eq!(path, format!("{team}/{}.yaml", encode(service)));
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in [
            "",
            "cart.yaml",
            "shop/cart.yml",
            "shop/.yaml",
            "Shop/cart.yaml",
            "/cart.yaml",
            "a b/cart.yaml",
            "shop/a/b.yaml",
            "shop/../x.yaml",
            "shop/%.yaml",
            "shop/%2.yaml",
            "shop/%2f.yaml",
            "shop/%61.yaml",
            "shop/%FF.yaml",
            "shop/%00.yaml",
            "shop/é.yaml",
            "shop/%E2%80%AE.yaml",
        ] {
            assert!(parse(path).is_err_and(|found| found.code == Code::Path && found.help.is_some()), "{path}");
        }
    }
}
