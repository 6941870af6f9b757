//! gRPC to the services of a running instance, a call at a time.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::jobs::jobs_client::JobsClient;
use proto::telemetry::apps_client::AppsClient;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};
use tonic::{Code, Response, Status, Streaming};

use crate::cli::{GatewayTarget, JobsTarget, ServiceAccess};
use crate::run_file::RunFile;
use crate::secrets::Secrets;
use crate::state_dir::StateDir;

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(10),
};
/// For what takes the gateway longer: it says itself when that is too long.
const LONG_PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(330),
};

/// A service of a running instance, by one of its contracts.
pub(crate) struct Service<C> {
    runtime: tokio::runtime::Runtime,
    uri: String,
    client: C,
}

/// The background work.
pub(crate) type Jobs = Service<JobsClient<AuthorizedChannel>>;
/// The apps that send events.
pub(crate) type Apps = Service<AppsClient<AuthorizedChannel>>;

/// What a command line says of where a service is.
struct Told<'a> {
    option: &'static str,
    uri: Option<&'a String>,
    access: &'a ServiceAccess,
    patience: Patience,
}

impl Jobs {
    /// Those of the instance that the command line names, else of the running one.
    pub(crate) fn of(target: &JobsTarget) -> anyhow::Result<Self> {
        let told = Told {
            option: "--jobs",
            uri: target.jobs.as_ref(),
            access: &target.access,
            patience: PATIENCE,
        };
        Self::open(&told, |run| run.jobs_grpc, JobsClient::new)
    }
}

impl Apps {
    /// Those of the instance that the command line names, else of the running one.
    pub(crate) fn of(target: &GatewayTarget) -> anyhow::Result<Self> {
        Self::with(target, PATIENCE)
    }

    /// The same for what takes long.
    pub(crate) fn patient(target: &GatewayTarget) -> anyhow::Result<Self> {
        Self::with(target, LONG_PATIENCE)
    }

    fn with(target: &GatewayTarget, patience: Patience) -> anyhow::Result<Self> {
        let told = Told {
            option: "--gateway",
            uri: target.gateway.as_ref(),
            access: &target.access,
            patience,
        };
        Self::open(&told, |run| run.gateway_grpc, AppsClient::new)
    }
}

impl<C: Clone> Service<C> {
    fn open(
        told: &Told<'_>,
        of_instance: fn(RunFile) -> String,
        client: fn(AuthorizedChannel) -> C,
    ) -> anyhow::Result<Self> {
        let (uri, token_file) = place(told, of_instance)?;
        let token = service_kit::secret::read_file(&token_file)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let grpc = GrpcConfig {
            ca_file: told.access.ca_file.clone(),
            insecure: told.access.insecure,
            ..GrpcConfig::default()
        };
        let channel = {
            let _inside = runtime.enter();
            service_kit::grpc::channel(told.option, (&grpc, &uri), &token, told.patience)?
        };
        Ok(Self {
            runtime,
            uri,
            client: client(channel),
        })
    }

    /// Makes a call.
    pub(crate) fn call<T, F>(&self, call: impl FnOnce(C) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let answer = self.wait(call(self.client.clone()));
        match answer {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(anyhow::anyhow!("{}", self.words(&status))),
        }
    }

    /// Waits for what is asked of it.
    pub(crate) fn wait<W: Future>(&self, work: W) -> W::Output {
        self.runtime.block_on(work)
    }

    /// Makes a call that answers piece by piece, and takes each as it comes.
    pub(crate) async fn read<T, F>(
        &self,
        call: impl FnOnce(C) -> F,
        mut take: impl FnMut(T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = Result<Response<Streaming<T>>, Status>>,
    {
        let told = |status: Status| anyhow::anyhow!("{}", self.words(&status));
        let answer = call(self.client.clone()).await.map_err(told)?;
        let mut pieces = answer.into_inner();
        while let Some(piece) = pieces.message().await.map_err(told)? {
            take(piece)?;
        }
        Ok(())
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
            Code::Unimplemented => format!(
                "{uri} cannot do this: it is of an older version, or lacks a setting for it"
            ),
            _ => status.message().to_owned(),
        }
    }
}

/// Where the service is, and the token that it knows.
fn place(told: &Told<'_>, of_instance: fn(RunFile) -> String) -> anyhow::Result<(String, PathBuf)> {
    if let (Some(uri), Some(file)) = (told.uri, &told.access.service_token_file) {
        return Ok((uri.clone(), file.clone()));
    }
    let dir = StateDir::choose(told.access.state_dir.as_deref())?;
    let uri = of_instance(RunFile::read(&dir.run_file())?);
    if uri.is_empty() {
        let option = told.option;
        bail!("the instance is of an older version: restart it, or give {option}");
    }
    Ok((uri, Secrets::at(&dir.secrets()).service_token()))
}
