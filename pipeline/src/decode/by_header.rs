//! Records that say themselves in which format they came: those that HTTP took in, each with the format of its route.
//!
//! Decoders are made when their format is first met. A record without the header is of the source's own format.

use super::{Decoder, Input, Items, Wanted, decoder as of_source};
use crate::names;
use crate::source::{Format, Source};
use std::sync::Arc;

/// Chooses a decoder by the header `format`.
pub struct ByHeader {
    source: Arc<Source>,
    wanted: Wanted,
    own: Box<dyn Decoder>,
    made: Vec<(Format, Box<dyn Decoder>)>,
}

/// A decoder of records whose header `format` names their format.
#[must_use]
pub fn decoder(source: &Arc<Source>, wanted: &Wanted) -> Box<dyn Decoder> {
    Box::new(ByHeader { source: Arc::clone(source), wanted: wanted.clone(), own: of_source(source, wanted), made: Vec::new() })
}

impl Decoder for ByHeader {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let named = input.headers.get(names::FORMAT).and_then(|name| std::str::from_utf8(name).ok()).and_then(Format::parse);
        let Some(format) = named.filter(|f| *f != self.source.format) else { return self.own.decode(input, items) };
        if !self.made.iter().any(|(f, _)| *f == format) {
            self.made.push((format, of_source(&self.source.as_format(format), &self.wanted)));
        }
        if let Some((_, decoder)) = self.made.iter_mut().find(|(f, _)| *f == format) {
            decoder.decode(input, items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Reason, Skip};
    use crate::event::Event;
    use platform_core::record::{Headers, put_headers};

    #[derive(Default)]
    struct Services(Vec<String>);

    impl Items for Services {
        fn event(&mut self, _at: u32, event: &Event<'_>) {
            self.0.push(event.service.to_owned());
        }

        fn skipped(&mut self, _at: u32, _reason: Skip) {}

        fn dead(&mut self, _at: u32, reason: Reason, _detail: &str, _bytes: &[u8]) {
            self.0.push(reason.code().to_owned());
        }
    }

    #[test]
    fn the_header_names_the_format() {
        let source = Arc::new(Source::for_format(Format::Json));
        let mut decoder = decoder(&source, &Wanted::default());
        let zipkin = br#"[{"traceId":"1","id":"2","kind":"SERVER","timestamp":1000000,"localEndpoint":{"serviceName":"z"}}]"#;
        let json = br#"{"timestamp":1,"service":"j"}"#;
        let mut headers = Vec::new();
        put_headers(&mut headers, &[(names::FORMAT, b"zipkin_json")]);
        let mut services = Services::default();
        decoder.decode(&Input { headers: Headers::from_encoded(&headers), ..Input::new(zipkin) }, &mut services);
        decoder.decode(&Input::new(json), &mut services);
        decoder.decode(&Input::new(b"{"), &mut services);
        assert_eq!(services.0, ["z", "j", "decode_json"]);
    }
}
