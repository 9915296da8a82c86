//! Changes of health, one call each: JSON, signed, with a key by which a receiver knows a call that it has seen.
//!
//! `X-Golden-Signature: t=<s since 1970>,v1=<hex>` is HMAC-SHA256 of `<t>.<body>` under the shared secret: a receiver checks it, and that `t`
//! is not old. `Idempotency-Key` is the same whenever the same change is told again, also after a restart.

use crate::answer::{Verdict, verdict};
use crate::guard::Guard;
use crate::http::{Receiver, secret};
use crate::sender::{Outcome, Output};
use crate::settings::{BadOutput, WebhookSettings};
use aws_lc_rs::hmac;
use golden_pipeline::emit::health::Notice;
use golden_pipeline::emit::outbox::Chunk;
use platform_core::clock::Clock;
use std::fmt::Write as _;
use std::sync::Arc;

const NAME: &str = "webhook";
/// Bytes of a secret.
const SHORTEST: usize = 16;

/// Changes of health.
pub struct Webhook {
    receiver: Receiver,
    settings: WebhookSettings,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// The output that these settings describe; nothing is called yet.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, BadOutput> {
        let guard = Guard { allowed: settings.allow.clone() };
        let receiver = Receiver::new(NAME, &settings.url, &settings.http, Some(guard))?;
        let webhook = Self { receiver, settings: settings.clone(), clock };
        let key = webhook.key().map_err(|why| BadOutput::Access { name: NAME, why })?;
        if key.len() < SHORTEST { Err(BadOutput::Unsigned) } else { Ok(webhook) }
    }

    fn key(&self) -> Result<String, String> {
        let found = secret("secret", self.settings.secret.as_ref(), self.settings.secret_file.as_ref())?;
        Ok(found.unwrap_or_default())
    }
}

impl Output for Webhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn send(&mut self, chunk: &Chunk) -> Outcome {
        let notice = match Notice::decode(&chunk.body) {
            Ok(notice) => notice,
            Err(error) => return Outcome::again(format!("chunk {} cannot be read: {error}", chunk.number)),
        };
        let key = match self.key() {
            Ok(key) => key,
            Err(why) => return Outcome::again(why),
        };
        let signature = signature(key.as_bytes(), self.clock.wall().div_euclid(1_000_000_000), &notice.json);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", notice.key.as_str()),
            ("x-golden-signature", signature.as_str()),
        ];
        let answer = match self.receiver.post(&headers, &notice.json) {
            Ok(answer) => answer,
            Err(why) => return Outcome::again(why),
        };
        match verdict(answer.status, answer.header("retry-after")) {
            Verdict::Taken => Outcome::Through { sent: 1, dropped: vec![] },
            Verdict::Again(after) => Outcome::Again { after, why: answer.said() },
            Verdict::Refused | Verdict::TooLarge => {
                tracing::warn!(output = NAME, key = notice.key, answer = answer.said(), "a notice was refused");
                Outcome::Through { sent: 0, dropped: vec![("refused", 1)] }
            }
        }
    }
}

/// `t=<time>,v1=<HMAC-SHA256 of "time.body">`.
fn signature(key: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    signing.update(format!("{seconds}.").as_bytes());
    signing.update(body);
    let mut text = format!("t={seconds},v1=");
    for byte in signing.sign().as_ref() {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_other_tools_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let wanted = SIGNED;
        assert_eq!(signature(b"0123456789abcdef", 1_700_000_000, br#"{"a":1}"#), format!("t=1700000000,v1={wanted}"));
    }

    const SIGNED: &str = "9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";
}
