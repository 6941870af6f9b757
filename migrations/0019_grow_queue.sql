-- Queues, an order of readiness, a history in partitions, keys that stand for a time, leaders.
-- Under the old code: its jobs go to the queue `default`; those that it makes available again
-- keep their old place, where full looks find them; those that it finishes are moved to the
-- history by the new code.

-- Where a job stands among those that are available. It gets a new number each time it becomes
-- available, so that a worker need not look again at what lies behind it: entries of jobs that
-- are gone, which PostgreSQL keeps for as long as some transaction could see them.
CREATE SEQUENCE queue.ready_order;

ALTER TABLE queue.jobs
    ADD COLUMN queue text NOT NULL DEFAULT 'default' CHECK (char_length(queue) BETWEEN 1 AND 64),
    ADD COLUMN ready bigint NOT NULL DEFAULT nextval('queue.ready_order'),
    -- W3C `traceparent` of whoever enqueued it.
    ADD COLUMN trace_context text CHECK (char_length(trace_context) <= 128),
    -- A running job is cancelled by its worker, who is told by this.
    ADD COLUMN cancel_requested_at timestamptz;

CREATE INDEX jobs_ready ON queue.jobs (queue, priority, ready) WHERE state = 'available';
-- Old workers sort the few available jobs instead; finished jobs no longer stay here.
DROP INDEX queue.jobs_available;
DROP INDEX queue.jobs_finished;

ALTER TABLE queue.jobs SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- Finished jobs. A row says until when it is kept, and a partition goes as a whole when the last
-- of its rows may: no deletes, no dead rows.
CREATE TABLE queue.history (
    id            bigint      NOT NULL,
    kind          text        NOT NULL,
    queue         text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('completed', 'cancelled', 'discarded')),
    priority      smallint    NOT NULL,
    arguments     jsonb       NOT NULL,
    attempt       integer     NOT NULL,
    uncounted     integer     NOT NULL,
    attempts_max  integer     NOT NULL,
    run_at        timestamptz NOT NULL,
    -- Who ran its last attempt.
    worker        text,
    unique_key    text,
    schedule      text,
    slot          timestamptz,
    last_error    text,
    trace_context text,
    created_at    timestamptz NOT NULL,
    started_at    timestamptz,
    finished_at   timestamptz NOT NULL,
    keep_until    timestamptz NOT NULL,
    PRIMARY KEY (id, keep_until)
) PARTITION BY RANGE (keep_until);

CREATE INDEX history_discarded ON queue.history (id) WHERE state = 'discarded';

-- Makes the partitions from now until then that are missing; says how many. Attaching a table
-- waits for nobody who reads or writes the history, as creating one in place would.
CREATE FUNCTION queue.make_history(until timestamptz) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT interval := interval '6 hours';
    origin CONSTANT timestamptz := timestamptz '2000-01-01 00:00:00+00';
    beginning timestamptz := date_bin(width, now(), origin);
    partition text;
    made integer := 0;
BEGIN
    LOOP
        EXIT WHEN beginning > until;
        partition := 'history_' || to_char(beginning AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
        IF to_regclass('queue.' || partition) IS NULL THEN
            -- Two replicas may be here at once.
            PERFORM pg_advisory_xact_lock(hashtext('queue.history'));
            IF to_regclass('queue.' || partition) IS NULL THEN
                EXECUTE format('CREATE TABLE queue.%I (LIKE queue.history INCLUDING CONSTRAINTS)',
                               partition);
                EXECUTE format('ALTER TABLE queue.history ATTACH PARTITION queue.%I '
                               'FOR VALUES FROM (%L) TO (%L)',
                               partition, beginning, beginning + width);
                made := made + 1;
            END IF;
        END IF;
        beginning := beginning + width;
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions whose rows need not be kept; says how many. It does not wait for those
-- who read them, a backup for instance: then it is done another time.
CREATE FUNCTION queue.drop_history() RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    current CONSTANT text := 'history_' || to_char(
        date_bin(interval '6 hours', now(), timestamptz '2000-01-01 00:00:00+00')
            AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
    partition text;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'queue.history'::regclass AND c.relname < current
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE queue.%I', partition);
            dropped := dropped + 1;
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            EXIT;
        END;
    END LOOP;
    RETURN dropped;
END $$;

SELECT queue.make_history(now() + interval '9 days');

-- A key that stands for a time names the job it made, finished or not.
CREATE TABLE queue.keys (
    key        text        PRIMARY KEY CHECK (char_length(key) BETWEEN 1 AND 300),
    job_id     bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX keys_expired ON queue.keys (expires_at);

-- Queues that somebody paused; the others need no row.
CREATE TABLE queue.queues (
    name       text        PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 64),
    paused_at  timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Who does what only one may do. The epoch grows with every change of holder and fences: what a
-- leader writes names its epoch.
CREATE TABLE queue.leaders (
    name       text        PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 64),
    holder     text        NOT NULL,
    epoch      bigint      NOT NULL,
    elected_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

ALTER TABLE queue.schedules
    ADD COLUMN last_success_at timestamptz;
