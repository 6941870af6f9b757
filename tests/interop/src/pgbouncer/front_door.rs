//! gRPC of one replica, a call at a time.

use std::time::Duration;

use anyhow::Context;
use e2e::house::House;
use proto::jobs as pb;
use proto::jobs::jobs_client::JobsClient;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tokio::runtime::Runtime;

use super::replica::Replica;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    call: Duration::from_secs(30),
};
/// The most that one answer has.
const PAGE: u32 = 500;

pub(super) struct FrontDoor {
    runtime: Runtime,
    client: JobsClient<AuthorizedChannel>,
}

impl FrontDoor {
    pub(super) fn open(house: &House, replica: &Replica) -> anyhow::Result<Self> {
        let token = service_kit::secret::read_file(house.service_token_file())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let (config, uri) = (GrpcConfig::default(), replica.grpc());
        let channel = {
            let _inside = runtime.enter();
            service_kit::grpc::channel("jobs", (&config, &uri), &token, PATIENCE)?
        };
        Ok(Self {
            runtime,
            client: JobsClient::new(channel),
        })
    }

    /// The job's id, and whether it is a new one.
    pub(super) fn enqueue(&self, wish: pb::EnqueueRequest) -> anyhow::Result<(i64, bool)> {
        let answer = self.runtime.block_on(self.client.clone().enqueue(wish))?;
        let answer = answer.into_inner();
        let job = answer.job.context("an answer without its job")?;
        Ok((job.id, answer.created))
    }

    pub(super) fn enqueue_many(&self, jobs: Vec<pb::EnqueueRequest>) -> anyhow::Result<Vec<i64>> {
        let request = pb::EnqueueManyRequest { jobs };
        let answer = self
            .runtime
            .block_on(self.client.clone().enqueue_many(request))?;
        let jobs = answer.into_inner().jobs.into_iter();
        Ok(jobs.map(|job| job.id).collect())
    }

    pub(super) fn cancel(&self, id: i64) -> anyhow::Result<()> {
        let request = pb::CancelRequest { id };
        self.runtime.block_on(self.client.clone().cancel(request))?;
        Ok(())
    }

    /// Every job of a kind, live or finished.
    pub(super) fn list(&self, kind: &str) -> anyhow::Result<Vec<pb::Job>> {
        let mut jobs = Vec::new();
        let mut before_id = 0;
        loop {
            let request = pb::ListRequest {
                kind: kind.to_owned(),
                limit: PAGE,
                before_id,
                ..pb::ListRequest::default()
            };
            let answer = self.runtime.block_on(self.client.clone().list(request))?;
            let page = answer.into_inner().jobs;
            let Some(last) = page.last() else {
                return Ok(jobs);
            };
            before_id = last.id;
            jobs.extend(page);
        }
    }
}
