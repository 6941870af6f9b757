//! Exchanging the join token for the node's own credential, once.

use model::NodeId;
use proto::fleet::EnrolRequest;
use proto::fleet::fleet_client::FleetClient;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Endpoint;

use super::directive::key_set;
use super::replicas::Replicas;
use crate::backoff::{Backoff, chance};
use crate::identity::Identity;

/// Why the node was not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the control plane refused the join token: {0}")]
    Refused(String),
    #[error("the control plane's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("stopped before the node was enrolled")]
    Stopped,
}

/// Enrols, waiting for the control plane as long as it takes.
pub(crate) async fn enrol(
    replicas: &mut Replicas,
    join_token: &SecretString,
    shutdown: &CancellationToken,
) -> Result<Identity, Error> {
    let mut backoff = Backoff::new();
    loop {
        match attempt(replicas.chosen(), join_token).await {
            Ok(identity) => return Ok(identity),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again(reason)) => {
                tracing::warn!(reason, "cannot enrol yet; trying again");
                replicas.choose_next();
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next(chance())) => {}
            () = shutdown.cancelled() => return Err(Error::Stopped),
        }
    }
}

enum Attempt {
    Again(String),
    Final(Error),
}

async fn attempt(endpoint: &Endpoint, join_token: &SecretString) -> Result<Identity, Attempt> {
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| Attempt::Again(service_kit::grpc::why(&error)))?;
    let request = EnrolRequest {
        join_token: join_token.expose_secret().into(),
    };
    let response = FleetClient::new(channel)
        .enrol(request)
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    let nonsense = |reason: String| Attempt::Final(Error::Nonsense(reason));
    if response.credential.is_empty() {
        return Err(nonsense("no credential".into()));
    }
    Ok(Identity {
        node_id: NodeId::parse(&response.node_id).map_err(|error| nonsense(error.to_string()))?,
        credential: response.credential.into(),
        keys: key_set(response.keys.unwrap_or_default())
            .map_err(|error| nonsense(error.to_string()))?,
    })
}

/// A refusal is final; anything that may pass is not.
fn refused(status: &tonic::Status) -> Attempt {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition => Attempt::Final(Error::Refused(status.message().into())),
        _ => Attempt::Again(status.to_string()),
    }
}
