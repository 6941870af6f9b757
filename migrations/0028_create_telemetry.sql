-- Events of apps: who may send them, what came, what was refused, and sums by the minute.
CREATE SCHEMA IF NOT EXISTS telemetry;

-- An app is a pair of words that developers choose; what is set here is enforced by the gateway.
CREATE TABLE telemetry.apps (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org text NOT NULL CHECK (char_length(org) BETWEEN 1 AND 128),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 128),
    tier text NOT NULL CHECK (tier IN ('free', 'pro', 'business', 'enterprise')),
    -- Events in a calendar month (UTC); null: any number.
    quota_events bigint CHECK (quota_events > 0),
    -- Events in a second on the long run; null: any number.
    rate_events bigint CHECK (rate_events > 0),
    retention_days integer NOT NULL CHECK (retention_days BETWEEN 1 AND 3650),
    -- Networks that may send, in CIDR notation; empty: all.
    networks text[] NOT NULL DEFAULT '{}',
    -- Origins whose pages may send; empty: none.
    origins text[] NOT NULL DEFAULT '{}',
    created_at bigint NOT NULL,
    disabled_at bigint,
    UNIQUE (org, name)
);

-- Two live ones let a secret change without a moment in which none is right.
CREATE TABLE telemetry.credentials (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id integer NOT NULL REFERENCES telemetry.apps,
    -- SHA-256 of the token, which nobody has but the app.
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    -- What signs must be known: it is sealed with a key that is not in here.
    sealed_secret bytea NOT NULL,
    created_at bigint NOT NULL,
    -- From then on it opens nothing; null: it is live.
    ends_at bigint
);
CREATE INDEX credentials_app ON telemetry.credentials (app_id);

-- One row, and a new number each time that something above changes: gateways look at it and
-- read the rest when it moved.
CREATE TABLE telemetry.apps_revision (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    revision bigint NOT NULL
);
INSERT INTO telemetry.apps_revision (revision) VALUES (1);

-- Who did what to an app.
CREATE TABLE telemetry.app_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id integer NOT NULL REFERENCES telemetry.apps,
    at bigint NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL
);
CREATE INDEX app_changes_app ON telemetry.app_changes (app_id, id);

-- What many events share. The number is a hash of the rest, so that every gateway gives the same
-- one without asking.
CREATE TABLE telemetry.contexts (
    app_id integer NOT NULL,
    id bigint NOT NULL,
    service text NOT NULL,
    service_version text NOT NULL,
    language text NOT NULL,
    language_version text,
    sdk_version text,
    os text NOT NULL,
    os_version text,
    arch text,
    ci boolean,
    shell text,
    user_id text NOT NULL,
    session_id text,
    first_seen_at bigint NOT NULL,
    PRIMARY KEY (app_id, id)
);

-- A day of events is a partition, by the time that the app gave them (Unix microseconds). An
-- event that comes again has the same time, so that the key finds it in its day.
CREATE TABLE telemetry.events (
    ts_us bigint NOT NULL,
    app_id integer NOT NULL,
    event_id uuid NOT NULL,
    context_id bigint NOT NULL,
    event_type text NOT NULL,
    category text,
    data jsonb,
    received_at bigint NOT NULL
) PARTITION BY RANGE (ts_us);
CREATE UNIQUE INDEX events_key ON telemetry.events (app_id, event_id, ts_us);
CREATE INDEX events_time ON telemetry.events USING brin (ts_us);
CREATE INDEX events_type ON telemetry.events (app_id, event_type, ts_us);

-- Days that have no partition of their own: late events, for the most part.
CREATE TABLE telemetry.events_default PARTITION OF telemetry.events DEFAULT;

-- What was no event, for whoever looks into it. Bounded and told apart by its digest, so that
-- the same again is nothing new.
CREATE TABLE telemetry.quarantine (
    app_id integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    received_at bigint NOT NULL,
    event_id text,
    reason text NOT NULL,
    -- The first bytes of what came.
    event text NOT NULL,
    PRIMARY KEY (app_id, digest)
);
CREATE INDEX quarantine_received ON telemetry.quarantine (received_at);

-- Sums of what is in `events`, written with it. Each writer has a shard, so that none waits for
-- another's row; readers add them up.
CREATE TABLE telemetry.rollups (
    app_id integer NOT NULL,
    minute bigint NOT NULL,
    event_type text NOT NULL,
    service_version text NOT NULL,
    os text NOT NULL,
    shard smallint NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (app_id, minute, event_type, service_version, os, shard)
);
CREATE INDEX rollups_minute ON telemetry.rollups (minute);

-- What an app sent, by the day (UTC) on which it came: what its quota is counted by.
CREATE TABLE telemetry.app_usage (
    app_id integer NOT NULL,
    day integer NOT NULL,
    shard smallint NOT NULL,
    events bigint NOT NULL,
    duplicates bigint NOT NULL,
    quarantined bigint NOT NULL,
    PRIMARY KEY (app_id, day, shard)
);

-- Makes the partitions of these days (since 1970) that are missing; says how many. What the
-- default partition holds of a day moves into it.
CREATE FUNCTION telemetry.make_event_days(first_day integer, last_day integer) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT bigint := 86400000000;
    partition text;
    made integer := 0;
BEGIN
    FOR day IN first_day..last_day LOOP
        partition := 'events_' || to_char(date '1970-01-01' + day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('telemetry.' || partition) IS NOT NULL;
        -- Two gateways may be here at once, and writers wait for a moment.
        PERFORM pg_advisory_xact_lock(hashtext('telemetry.events'));
        CONTINUE WHEN to_regclass('telemetry.' || partition) IS NOT NULL;
        LOCK TABLE telemetry.events_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.events INCLUDING ALL)', partition);
        EXECUTE format('WITH moved AS (DELETE FROM telemetry.events_default '
                       'WHERE ts_us >= %s AND ts_us < %s RETURNING *) '
                       'INSERT INTO telemetry.%I SELECT * FROM moved',
                       day * width, (day + 1) * width, partition);
        EXECUTE format('ALTER TABLE telemetry.events ATTACH PARTITION telemetry.%I '
                       'FOR VALUES FROM (%s) TO (%s)',
                       partition, day * width, (day + 1) * width);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
