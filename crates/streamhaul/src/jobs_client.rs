//! gRPC to the jobs of a running instance, a call at a time.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::jobs::jobs_client::JobsClient;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::{Code, Response, Status};

use crate::cli::JobsTarget;
use crate::run_file::RunFile;
use crate::secrets::Secrets;
use crate::state_dir::StateDir;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(10),
};

/// A running instance's jobs.
pub(crate) struct Jobs {
    runtime: tokio::runtime::Runtime,
    uri: String,
    client: JobsClient<AuthorizedChannel>,
}

impl Jobs {
    /// Those of the instance that the command line names, else of the running one.
    pub(crate) fn of(target: &JobsTarget) -> anyhow::Result<Self> {
        let (uri, token_file) = match (&target.jobs, &target.service_token_file) {
            (Some(uri), Some(file)) => (uri.clone(), file.clone()),
            _ => {
                let dir = StateDir::choose(target.state_dir.as_deref())?;
                let run = RunFile::read(&dir.run_file())?;
                if run.jobs_grpc.is_empty() {
                    bail!("the instance is of an older version: restart it, or give --jobs");
                }
                (run.jobs_grpc, Secrets::at(&dir.secrets()).service_token())
            }
        };
        let token = service_kit::secret::read_file(&token_file)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let grpc = GrpcConfig {
            ca_file: target.ca_file.clone(),
            insecure: target.insecure,
            ..GrpcConfig::default()
        };
        let channel = {
            let _inside = runtime.enter();
            service_kit::grpc::channel("--jobs", (&grpc, &uri), &token, PATIENCE)?
        };
        Ok(Self {
            runtime,
            uri,
            client: JobsClient::new(channel),
        })
    }

    /// Makes a call.
    pub(crate) fn call<T, F>(
        &self,
        call: impl FnOnce(JobsClient<AuthorizedChannel>) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let answer = self.runtime.block_on(call(self.client.clone()));
        match answer {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(anyhow::anyhow!("{}", self.words(&status))),
        }
    }

    /// What went wrong, and what to do about it.
    fn words(&self, status: &Status) -> String {
        let uri = &self.uri;
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded => format!(
                "{uri} does not answer ({}); is the instance running? `streamhaul up` starts one",
                service_kit::grpc::why_not(status)
            ),
            Code::Unauthenticated => {
                format!("{uri} does not know the token: check --service-token-file")
            }
            Code::Unimplemented => format!("{uri} is of an older version that cannot do this"),
            _ => status.message().to_owned(),
        }
    }
}
