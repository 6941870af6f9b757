//! Bearer tokens on gRPC, both sides.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The bearer token a caller sent.
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    metadata
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// A token that cannot stand in a header.
#[derive(Debug, thiserror::Error)]
#[error("the token has characters that cannot stand in a header")]
pub struct InvalidToken;

/// Sends a bearer token with every call.
#[derive(Clone)]
pub struct BearerInterceptor {
    header: MetadataValue<Ascii>,
}

impl BearerInterceptor {
    /// Takes the token to send.
    ///
    /// # Errors
    /// When it has characters that cannot stand in a header.
    pub fn new(token: &SecretString) -> Result<Self, InvalidToken> {
        let text = format!("Bearer {}", token.expose_secret());
        let mut header: MetadataValue<Ascii> = text.parse().map_err(|_| InvalidToken)?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl Interceptor for BearerInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.header.clone());
        Ok(request)
    }
}

/// Refuses calls without the expected token.
#[derive(Clone)]
pub struct RequireBearer {
    expected: SecretString,
}

/// Makes a server-side interceptor that asks for `expected`, compared in
/// constant time.
#[must_use]
pub fn require_bearer(expected: &SecretString) -> RequireBearer {
    RequireBearer {
        expected: expected.clone(),
    }
}

impl Interceptor for RequireBearer {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = bearer(request.metadata()).unwrap_or_default();
        let expected = self.expected.expose_secret();
        if !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
            Ok(request)
        } else {
            Err(Status::unauthenticated("a valid bearer token is required"))
        }
    }
}
