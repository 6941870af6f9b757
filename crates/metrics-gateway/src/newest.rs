//! gRPC `telemetry.v1.Live`: the other services ask what is now.

use std::sync::Arc;

use model::SessionId;
use model::clock::Clock;
use proto::telemetry as pb;
use tonic::{Request, Response, Status};

use crate::live::Live;

/// The service. Whoever has the service token may ask for any session.
pub(crate) struct Newest {
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl pb::live_server::Live for Newest {
    async fn newest_links(
        &self,
        request: Request<pb::NewestLinksRequest>,
    ) -> Result<Response<pb::NewestLinksResponse>, Status> {
        let id = SessionId::parse(&request.into_inner().session_id);
        let id = id.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let newest = self.live.newest_links(&id, self.clock.now());
        Ok(Response::new(newest.into()))
    }
}
