//! PASETO `v4.public` framing, as specified in
//! <https://github.com/paseto-standard/paseto-spec/blob/master/docs/01-Protocol-Versions/Version4.md>:
//! bytes in, bytes out, no meaning of claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// What every token of this version and purpose begins with.
pub(crate) const HEADER: &str = "v4.public.";

const SIGNATURE_LENGTH: usize = 64;

/// A token taken apart; nothing in it is trusted before [`Token::verify`].
pub(crate) struct Token {
    message: Vec<u8>,
    signature: Signature,
    footer: Vec<u8>,
}

/// Signs a message.
pub(crate) fn sign(key: &SigningKey, message: &[u8], footer: &[u8], implicit: &[u8]) -> String {
    let signature = key.sign(&to_be_signed(message, footer, implicit));
    let mut body = Vec::with_capacity(message.len() + SIGNATURE_LENGTH);
    body.extend_from_slice(message);
    body.extend_from_slice(&signature.to_bytes());
    let mut token = String::from(HEADER);
    URL_SAFE_NO_PAD.encode_string(&body, &mut token);
    if !footer.is_empty() {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(footer, &mut token);
    }
    token
}

impl Token {
    /// Takes a token apart; `None` when it is not framed like one.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let rest = token.strip_prefix(HEADER)?;
        let (body, footer) = match rest.split_once('.') {
            Some((_, "")) => return None,
            Some((body, footer)) => (body, URL_SAFE_NO_PAD.decode(footer).ok()?),
            None => (rest, Vec::new()),
        };
        let mut message = URL_SAFE_NO_PAD.decode(body).ok()?;
        let at = message.len().checked_sub(SIGNATURE_LENGTH)?;
        let signature = Signature::from_slice(&message[at..]).ok()?;
        message.truncate(at);
        Some(Self {
            message,
            signature,
            footer,
        })
    }

    /// The footer, not yet authenticated.
    pub(crate) fn footer_unverified(&self) -> &[u8] {
        &self.footer
    }

    /// The message, when the signature holds for it, the footer and `implicit`.
    pub(crate) fn verify(&self, key: &VerifyingKey, implicit: &[u8]) -> Option<&[u8]> {
        let signed = to_be_signed(&self.message, &self.footer, implicit);
        key.verify_strict(&signed, &self.signature).ok()?;
        Some(&self.message)
    }
}

fn to_be_signed(message: &[u8], footer: &[u8], implicit: &[u8]) -> Vec<u8> {
    pre_authentication_encoding(&[HEADER.as_bytes(), message, footer, implicit])
}

/// PAE: the number of pieces, then each piece after its length, so that no two
/// lists of pieces encode alike.
fn pre_authentication_encoding(pieces: &[&[u8]]) -> Vec<u8> {
    let length = pieces.iter().map(|piece| piece.len() + 8).sum::<usize>() + 8;
    let mut encoded = Vec::with_capacity(length);
    encoded.extend_from_slice(&le64(pieces.len()));
    for piece in pieces {
        encoded.extend_from_slice(&le64(piece.len()));
        encoded.extend_from_slice(piece);
    }
    encoded
}

/// Little endian with the highest bit clear, as the specification asks.
fn le64(length: usize) -> [u8; 8] {
    (length as u64 & (u64::MAX >> 1)).to_le_bytes()
}
