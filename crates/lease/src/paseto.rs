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

#[cfg(test)]
mod tests {
    use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
    use pasetors::token::UntrustedToken;
    use pasetors::version4::{PublicToken, V4};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Vectors {
        public_key: String,
        secret_key_seed: String,
        tests: Vec<Vector>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Vector {
        name: String,
        token: String,
        payload: Option<String>,
        footer: String,
        implicit_assertion: String,
    }

    fn vectors() -> (SigningKey, Vec<Vector>) {
        let json = include_str!("../fixtures/paseto-v4-public.json");
        let vectors: Vectors = serde_json::from_str(json).unwrap();
        let mut seed = [0; 32];
        hex::decode_to_slice(&vectors.secret_key_seed, &mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        assert_eq!(
            hex::encode(key.verifying_key().as_bytes()),
            vectors.public_key
        );
        (key, vectors.tests)
    }

    fn open(key: &SigningKey, token: &str, implicit: &str) -> Option<Vec<u8>> {
        let token = Token::parse(token)?;
        token
            .verify(&key.verifying_key(), implicit.as_bytes())
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn official_vectors_sign_to_the_same_token_and_open() {
        let (key, vectors) = vectors();
        let good = vectors
            .iter()
            .filter_map(|v| v.payload.as_ref().map(|p| (v, p)));
        let mut count = 0;
        for (vector, payload) in good {
            let (footer, implicit) = (&vector.footer, &vector.implicit_assertion);
            let token = sign(
                &key,
                payload.as_bytes(),
                footer.as_bytes(),
                implicit.as_bytes(),
            );
            assert_eq!(token, vector.token, "{}", vector.name);
            let opened = open(&key, &token, implicit).expect("its own signature holds");
            assert_eq!(opened, payload.as_bytes(), "{}", vector.name);
            assert_eq!(
                Token::parse(&token).unwrap().footer_unverified(),
                footer.as_bytes(),
                "{}",
                vector.name
            );
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn official_failures_fail() {
        let (key, vectors) = vectors();
        let bad: Vec<_> = vectors.iter().filter(|v| v.payload.is_none()).collect();
        assert_eq!(bad.len(), 4);
        for vector in bad {
            let opened = open(&key, &vector.token, &vector.implicit_assertion);
            assert_eq!(opened, None, "{}", vector.name);
        }
    }

    #[test]
    fn another_implementation_opens_ours() {
        let (key, _) = vectors();
        let token = sign(&key, b"{\"a\":1}", b"{\"kid\":\"k\"}", b"nod_1");
        let public = AsymmetricPublicKey::<V4>::from(key.verifying_key().as_bytes()).unwrap();
        let untrusted = UntrustedToken::try_from(token.as_str()).unwrap();
        let trusted = PublicToken::verify(
            &public,
            &untrusted,
            Some(b"{\"kid\":\"k\"}"),
            Some(b"nod_1"),
        );
        assert_eq!(trusted.unwrap().payload(), "{\"a\":1}");
    }

    #[test]
    fn we_open_what_another_implementation_signed() {
        let (key, _) = vectors();
        let secret = AsymmetricSecretKey::<V4>::from(&key.to_keypair_bytes()).unwrap();
        let token =
            PublicToken::sign(&secret, b"{\"a\":1}", Some(b"footer"), Some(b"nod_1")).unwrap();
        assert_eq!(open(&key, &token, "nod_1").unwrap(), b"{\"a\":1}");
        assert_eq!(open(&key, &token, "nod_2"), None);
    }

    #[test]
    fn pieces_encode_as_the_specification_says() {
        assert_eq!(pre_authentication_encoding(&[]), [0; 8]);
        assert_eq!(
            pre_authentication_encoding(&[b""]),
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            pre_authentication_encoding(&[b"test"]),
            *b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test"
        );
    }
}
