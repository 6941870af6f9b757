//! gRPC between our services: bearer tokens on both sides, and the client's channel.

mod certificate;
mod failure;
mod incoming;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub(crate) use certificate::Files as CertificateFiles;
pub use failure::{why, why_not};
pub use incoming::{Connections, Incoming, admit};

use crate::tls::GrpcConfig;

/// A channel that hears nothing for this long asks whether the other side is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// And waits this long for its word.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

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

/// A channel on which every call carries our token.
pub type AuthorizedChannel = InterceptedService<Channel, BearerInterceptor>;

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to a call.
    pub call: Duration,
}

/// A channel to `uri` that connects on first use, and again after every loss.
/// `setting` is where the address comes from.
///
/// # Errors
/// When `uri` is not one that a token may be sent to, a certificate cannot be read, or the
/// token cannot stand in a header.
pub fn channel(
    setting: &'static str,
    (config, uri): (&GrpcConfig, &str),
    token: &SecretString,
    patience: Patience,
) -> anyhow::Result<AuthorizedChannel> {
    let channel = config
        .endpoint(setting, uri)?
        .connect_timeout(patience.connect)
        .timeout(patience.call)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy();
    let bearer = BearerInterceptor::new(token)?;
    Ok(InterceptedService::new(channel, bearer))
}

/// Refuses calls without the expected token. Who shows it is admitted, see [`admit`].
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
            admit(request.extensions());
            Ok(request)
        } else {
            Err(Status::unauthenticated("a valid bearer token is required"))
        }
    }
}
