-- The job queue. Owner: jobs.
CREATE SCHEMA queue;

CREATE TABLE queue.jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text        NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 64),
    state        text        NOT NULL CHECK (state IN (
                     'available', 'running', 'retryable', 'scheduled',
                     'completed', 'cancelled', 'discarded')),
    -- Lower runs first.
    priority     smallint    NOT NULL DEFAULT 2 CHECK (priority BETWEEN 1 AND 4),
    arguments    jsonb       NOT NULL DEFAULT '{}'
                     CHECK (jsonb_typeof(arguments) = 'object'),
    -- Attempts begun. Only ever grows, so that it fences: who finishes a job
    -- must name the attempt that is running.
    attempt      integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- Attempts given back unfinished; they do not count against attempts_max.
    uncounted    integer     NOT NULL DEFAULT 0 CHECK (uncounted BETWEEN 0 AND attempt),
    attempts_max integer     NOT NULL DEFAULT 25 CHECK (attempts_max BETWEEN 1 AND 1000),
    run_at       timestamptz NOT NULL,
    -- Who runs it, and until when without a word.
    locked_by    text,
    locked_until timestamptz,
    -- Held by at most one live job.
    unique_key   text        CHECK (char_length(unique_key) BETWEEN 1 AND 200),
    -- The schedule's slot that it was made for.
    schedule     text,
    slot         timestamptz,
    last_error   text        CHECK (char_length(last_error) <= 2000),
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    CHECK ((state = 'running') = (locked_until IS NOT NULL)),
    CHECK ((state = 'running') = (locked_by IS NOT NULL)),
    CHECK ((state IN ('completed', 'cancelled', 'discarded')) = (finished_at IS NOT NULL)),
    CHECK ((schedule IS NULL) = (slot IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 80);

-- One small index per hot state: finished jobs cost a claim nothing.
CREATE INDEX jobs_available ON queue.jobs (priority, run_at, id) WHERE state = 'available';
CREATE INDEX jobs_waiting ON queue.jobs (run_at) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX jobs_running ON queue.jobs (locked_until) WHERE state = 'running';
CREATE INDEX jobs_finished ON queue.jobs (finished_at)
    WHERE state IN ('completed', 'cancelled', 'discarded');

CREATE UNIQUE INDEX jobs_unique_key ON queue.jobs (unique_key)
    WHERE unique_key IS NOT NULL
      AND state IN ('available', 'running', 'retryable', 'scheduled');

CREATE UNIQUE INDEX jobs_slot ON queue.jobs (schedule, slot) WHERE schedule IS NOT NULL;

-- The last slot of each schedule for which a job was made. Only ever grows.
CREATE TABLE queue.schedules (
    name       text PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 64),
    last_slot  timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
