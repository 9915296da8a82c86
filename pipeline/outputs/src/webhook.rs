//! Changes of health, one call each: JSON, signed, with a key by which a receiver knows a call that it has seen.
//!
//! `X-Golden-Signature: t=<s since 1970>,v1=<hex>` is HMAC-SHA256 of `<t>.<body>` under the shared secret: a receiver checks it, and that `t`
//! is not old. `Idempotency-Key` is the same whenever the same change is told again, also after a restart.

use crate::answer::{Verdict, verdict};
use crate::guard::Guard;
use crate::http::{Receiver, secret};
use crate::sender::{Outcome, Output};
use crate::settings::{BadOutput, WebhookSettings};
use golden_pipeline::emit::health::Notice;
use golden_pipeline::emit::outbox::Chunk;
use platform_core::clock::Clock;
use platform_core::time::{SECOND, nanos};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;

const NAME: &str = "webhook";
/// Bytes of a secret.
const SHORTEST: usize = 16;
/// Bytes that SHA-256 takes at once.
const BLOCK: usize = 64;

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
        let now = self.clock.wall();
        if now.saturating_sub(chunk.window_end.0) > nanos(self.settings.max_age.0) {
            return Outcome::Through { sent: 0, dropped: vec![("old", 1)] };
        }
        let notice = match Notice::decode(&chunk.body) {
            Ok(notice) => notice,
            Err(error) => return Outcome::again(format!("chunk {} cannot be read: {error}", chunk.number)),
        };
        let key = match self.key() {
            Ok(key) => key,
            Err(why) => return Outcome::again(why),
        };
        let signature = signature(key.as_bytes(), now.div_euclid(SECOND), &notice.json);
        let headers =
            [("content-type", "application/json"), ("idempotency-key", notice.key.as_str()), ("x-golden-signature", signature.as_str())];
        let answer = match self.receiver.post(&headers, &notice.json) {
            Ok(answer) => answer,
            Err(why) => return Outcome::again(why),
        };
        match verdict(answer.status, answer.header("retry-after")) {
            Verdict::Taken => Outcome::Through { sent: 1, dropped: vec![] },
            Verdict::Again(after) => Outcome::Again { after, why: answer.said() },
            Verdict::Denied(reason) => Outcome::Denied { sent: 0, dropped: vec![(reason, 1)], why: answer.said() },
            Verdict::Refused | Verdict::TooLarge => {
                tracing::warn!(output = NAME, key = notice.key, answer = answer.said(), "a notice was refused");
                Outcome::Through { sent: 0, dropped: vec![("refused", 1)] }
            }
        }
    }
}

/// `t=<time>,v1=<HMAC-SHA256 of "time.body">`.
fn signature(key: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut text = format!("t={seconds},v1=");
    for byte in hmac(key, &[format!("{seconds}.").as_bytes(), body]) {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// HMAC-SHA256 (RFC 2104) of all parts one after the other.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let short = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let pad = |with: u8| -> Vec<u8> { short.iter().copied().chain(std::iter::repeat(0)).take(BLOCK).map(|byte| byte ^ with).collect() };
    let inner = parts.iter().fold(Sha256::new_with_prefix(pad(0x36)), |hash, part| hash.chain_update(part)).finalize();
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner).finalize().into()
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

    #[test]
    fn long_and_short_keys_are_those_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let jefe = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(jefe), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(hex(long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    const SIGNED: &str = "9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";
}
