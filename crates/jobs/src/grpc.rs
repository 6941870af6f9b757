//! gRPC `jobs.v1`: the queue's front door. Every bound is checked in [`request`].

mod request;

use std::sync::Arc;

use model::JobId;
use model::clock::Clock;
use proto::convert::ARGUMENTS_LENGTH_MAX;
use proto::jobs as pb;
use service_kit::trace::TRACEPARENT;
use storage::queue::{Cancelled, Enqueued, Queue, Retried};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::engine::Settings;
use crate::engine::schedule::{Schedule, new_job};
use crate::job::Registry;
use request::invalid;

/// The largest request: a batch of jobs with small arguments, or a few with large ones.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * ARGUMENTS_LENGTH_MAX;

/// The most jobs of one call.
const BATCH_MAX: usize = 1000;
/// A response stays below what clients accept by default, 4 MiB.
const LIST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The service.
pub(crate) struct Jobs {
    pub(crate) queue: Queue,
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl pb::jobs_server::Jobs for Jobs {
    async fn enqueue(
        &self,
        request: Request<pb::EnqueueRequest>,
    ) -> Result<Response<pb::EnqueueResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let trace = caller_trace(&metadata);
        let job = request::new(&self.registry, request, self.clock.now(), trace)?;
        let enqueued = self.queue.enqueue(&job).await;
        let (job, created) = match enqueued.map_err(|error| status(&error))? {
            Enqueued::Created(job) => (job, true),
            Enqueued::Existing(job) => (job, false),
        };
        Ok(Response::new(pb::EnqueueResponse {
            job: Some(job.into()),
            created,
        }))
    }

    async fn enqueue_many(
        &self,
        request: Request<pb::EnqueueManyRequest>,
    ) -> Result<Response<pb::EnqueueManyResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (trace, now) = (caller_trace(&metadata), self.clock.now());
        if request.jobs.len() > BATCH_MAX {
            return Err(invalid("jobs: at most 1000"));
        }
        let wanted = request.jobs.into_iter().enumerate();
        let jobs = wanted.map(|(index, job)| {
            let job = request::new(&self.registry, job, now, trace);
            job.map_err(|status| invalid(format!("jobs[{index}]: {}", status.message())))
        });
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        let items = self.queue.enqueue_many(&jobs).await;
        let items = items.map_err(|error| status(&error))?.into_iter();
        let jobs = items.map(|item| pb::EnqueuedJob {
            id: item.id.0,
            created: item.created,
        });
        Ok(Response::new(pb::EnqueueManyResponse {
            jobs: jobs.collect(),
        }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let id = request::id(request.into_inner().id)?;
        let job = Some(self.found(id).await?);
        Ok(Response::new(pb::GetResponse { job }))
    }

    /// Lists the newest jobs; fewer than asked for when they would not fit into one response.
    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let filter = request::filter(request.into_inner())?;
        let jobs = self.queue.list(&filter).await;
        let jobs = jobs.map_err(|error| status(&error))?;
        let mut bytes = 0;
        let jobs = jobs.into_iter().map(pb::Job::from).take_while(|job| {
            bytes += size(job);
            bytes <= LIST_BYTES_MAX
        });
        Ok(Response::new(pb::ListResponse {
            jobs: jobs.collect(),
        }))
    }

    async fn cancel(
        &self,
        request: Request<pb::CancelRequest>,
    ) -> Result<Response<pb::CancelResponse>, Status> {
        let id = request::id(request.into_inner().id)?;
        let cancelled = self.queue.cancel(id, self.settings.retention).await;
        match cancelled.map_err(|error| status(&error))? {
            Cancelled::Done | Cancelled::Asked => {}
            Cancelled::TooLate => {
                return Err(Status::failed_precondition("the job has finished"));
            }
            Cancelled::Unknown => return Err(unknown(id)),
        }
        let job = Some(self.found(id).await?);
        Ok(Response::new(pb::CancelResponse { job }))
    }

    async fn retry(
        &self,
        request: Request<pb::RetryRequest>,
    ) -> Result<Response<pb::RetryResponse>, Status> {
        let id = request::id(request.into_inner().id)?;
        let retried = self.queue.retry_now(id).await;
        match retried.map_err(|error| status(&error))? {
            Retried::Done => {}
            Retried::Running => return Err(Status::failed_precondition("the job runs")),
            Retried::KeyTaken => {
                return Err(Status::failed_precondition(
                    "another job like it is in the queue",
                ));
            }
            Retried::Unknown => return Err(unknown(id)),
        }
        let job = Some(self.found(id).await?);
        Ok(Response::new(pb::RetryResponse { job }))
    }

    async fn list_queues(
        &self,
        _request: Request<pb::ListQueuesRequest>,
    ) -> Result<Response<pb::ListQueuesResponse>, Status> {
        let states = self.queue.queues().await;
        let states = states.map_err(|error| status(&error))?;
        let served = self.settings.lanes(&self.registry);
        let idle = served
            .keys()
            .filter(|name| !states.iter().any(|state| state.name == **name));
        let idle = idle.map(|name| pb::Queue {
            name: name.clone(),
            ..Default::default()
        });
        let busy = states.iter().map(|state| pb::Queue {
            name: state.name.clone(),
            paused: state.paused_at.is_some(),
            paused_at_unix_ms: state.paused_at.map_or(0, |at| at.0),
            available: state.available,
            running: state.running,
            workers: 0,
        });
        let mut queues: Vec<pb::Queue> = busy.chain(idle).collect();
        queues.sort_by(|one, other| one.name.cmp(&other.name));
        for queue in &mut queues {
            let workers = served.get(&queue.name).copied().unwrap_or(0);
            queue.workers = u32::try_from(workers).unwrap_or(u32::MAX);
        }
        Ok(Response::new(pb::ListQueuesResponse { queues }))
    }

    async fn pause_queue(
        &self,
        request: Request<pb::PauseQueueRequest>,
    ) -> Result<Response<pb::PauseQueueResponse>, Status> {
        let queue = self.known_queue(request.into_inner().queue)?;
        let changed = self.queue.pause(&queue).await;
        let changed = changed.map_err(|error| status(&error))?;
        tracing::info!(queue, "a queue is paused");
        Ok(Response::new(pb::PauseQueueResponse { changed }))
    }

    async fn resume_queue(
        &self,
        request: Request<pb::ResumeQueueRequest>,
    ) -> Result<Response<pb::ResumeQueueResponse>, Status> {
        let queue = request::queue_name(request.into_inner().queue)?;
        let changed = self.queue.resume(&queue).await;
        let changed = changed.map_err(|error| status(&error))?;
        tracing::info!(queue, "a queue goes on");
        Ok(Response::new(pb::ResumeQueueResponse { changed }))
    }

    async fn list_schedules(
        &self,
        _request: Request<pb::ListSchedulesRequest>,
    ) -> Result<Response<pb::ListSchedulesResponse>, Status> {
        let states = self.queue.schedules().await;
        let states = states.map_err(|error| status(&error))?;
        let now = self.clock.now();
        let schedules = self.settings.schedules.iter().map(|schedule| {
            let state = states.iter().find(|state| state.name == schedule.name);
            pb::Schedule {
                name: schedule.name.to_owned(),
                kind: schedule.kind.to_owned(),
                cadence: schedule.cadence.to_string(),
                catch_up: schedule.catch_up.as_str().to_owned(),
                last_slot_unix_ms: state.map_or(0, |state| state.last_slot.0),
                next_slot_unix_ms: schedule.cadence.next(now).0,
                last_success_unix_ms: state.and_then(|it| it.last_success).map_or(0, |at| at.0),
            }
        });
        Ok(Response::new(pb::ListSchedulesResponse {
            schedules: schedules.collect(),
        }))
    }

    async fn run_schedule(
        &self,
        request: Request<pb::RunScheduleRequest>,
    ) -> Result<Response<pb::RunScheduleResponse>, Status> {
        let schedule = self.schedule(&request.into_inner().name)?;
        let job = new_job(&self.registry, schedule.kind);
        let now = self.queue.now().await.map_err(|error| status(&error))?;
        let current = schedule.cadence.slot(now);
        let enqueued = self.queue.enqueue_run(schedule.name, current, job).await;
        let (job, created) = match enqueued.map_err(|error| status(&error))? {
            Enqueued::Created(job) => (job, true),
            Enqueued::Existing(job) => (job, false),
        };
        Ok(Response::new(pb::RunScheduleResponse {
            job: Some(job.into()),
            created,
        }))
    }
}

impl Jobs {
    async fn found(&self, id: JobId) -> Result<pb::Job, Status> {
        let job = self.queue.job(id).await;
        let job = job.map_err(|error| status(&error))?;
        job.map(pb::Job::from).ok_or_else(|| unknown(id))
    }

    /// Pausing a queue that nobody serves is a slip of the pen.
    fn known_queue(&self, name: String) -> Result<String, Status> {
        let name = request::queue_name(name)?;
        let served = self.settings.lanes(&self.registry);
        if served.contains_key(&name) {
            return Ok(name);
        }
        let known: Vec<&str> = served.keys().map(String::as_str).collect();
        let known = known.join(", ");
        Err(Status::not_found(format!(
            "no such queue; there are {known}"
        )))
    }

    fn schedule(&self, name: &str) -> Result<&Schedule, Status> {
        let mut schedules = self.settings.schedules.iter();
        schedules
            .find(|schedule| schedule.name == name)
            .ok_or_else(|| {
                let names = self.settings.schedules.iter().map(|schedule| schedule.name);
                let known = names.collect::<Vec<_>>().join(", ");
                Status::not_found(format!("no such schedule; there are {known}"))
            })
    }
}

fn caller_trace(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(TRACEPARENT)?.to_str().ok()
}

fn unknown(id: JobId) -> Status {
    Status::not_found(format!("no job {id}, or it is no longer kept"))
}

fn size(job: &pb::Job) -> usize {
    const FIXED: usize = 128;
    FIXED + job.kind.len() + job.arguments_json.len() + job.last_error.len()
}

/// What a caller may know of a storage error; the rest is logged.
fn status(error: &storage::Error) -> Status {
    if error.is_retryable() {
        tracing::debug!(%error, "the queue is away");
        return Status::unavailable("the queue is away; try again");
    }
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a queue operation failed"
    );
    Status::internal("the queue failed")
}
