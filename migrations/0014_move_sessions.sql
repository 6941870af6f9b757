-- A session's stream can move to another node: the old session drains while the one that
-- supersedes it pulls from it. What sessions carry is counted by the month.
ALTER TABLE control.sessions
    DROP CONSTRAINT sessions_state_check,
    ADD CONSTRAINT sessions_state_check
        CHECK (state IN ('provisioning', 'active', 'grace', 'draining', 'stopped')),
    ADD COLUMN supersedes text REFERENCES control.sessions,
    -- A draining session ends then at the latest.
    ADD COLUMN drain_ends_at bigint,
    -- Media bytes: payload from publishers and to players, by the node's counters.
    ADD COLUMN ingress_bytes bigint NOT NULL DEFAULT 0 CHECK (ingress_bytes >= 0),
    ADD COLUMN egress_bytes bigint NOT NULL DEFAULT 0 CHECK (egress_bytes >= 0),
    -- How far those counters were read; they restart with the node's boot.
    ADD COLUMN counted_boot_id text,
    ADD COLUMN counted_ingress_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN counted_egress_bytes bigint NOT NULL DEFAULT 0,
    -- The month (UTC) that the session was counted in last, and what it had when that
    -- began; null: no month began since it was started.
    ADD COLUMN cycle_began_at bigint,
    ADD COLUMN cycle_base_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN cycle_base_ingress_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN cycle_base_egress_bytes bigint NOT NULL DEFAULT 0,
    -- What was last written to session_events of it.
    ADD COLUMN noted_state text,
    ADD COLUMN noted_publishing boolean NOT NULL DEFAULT false,
    ADD CHECK (state <> 'draining' OR drain_ends_at IS NOT NULL);
UPDATE control.sessions SET noted_state = state, noted_publishing = publishing;

-- A connection has one session besides those that drain.
DROP INDEX control.sessions_live_connection;
CREATE UNIQUE INDEX sessions_live_connection ON control.sessions (user_id, coalesce(connection_id, ''))
    WHERE state NOT IN ('draining', 'stopped');
DROP INDEX control.sessions_live_stream;
CREATE UNIQUE INDEX sessions_live_stream ON control.sessions (stream_id)
    WHERE state NOT IN ('draining', 'stopped');
CREATE UNIQUE INDEX sessions_supersedes ON control.sessions (supersedes)
    WHERE supersedes IS NOT NULL AND state <> 'stopped';
CREATE INDEX sessions_draining ON control.sessions (drain_ends_at) WHERE state = 'draining';
CREATE INDEX sessions_user_cycle ON control.sessions (user_id, (coalesce(cycle_began_at, started_at)));
CREATE INDEX sessions_unnoted ON control.sessions (id)
    WHERE noted_state IS DISTINCT FROM state OR noted_publishing <> publishing;
CREATE INDEX sessions_started ON control.sessions (started_at DESC, id DESC);

-- What a session did, as it was noticed.
CREATE TABLE control.session_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL REFERENCES control.sessions,
    at bigint NOT NULL,
    state text NOT NULL,
    publishing boolean NOT NULL,
    -- Why it ended.
    reason text
);
CREATE INDEX session_events_session ON control.session_events (session_id, id);

-- What sessions carried in months that were over before they were.
CREATE TABLE control.session_cycles (
    session_id text NOT NULL REFERENCES control.sessions,
    cycle_began_at bigint NOT NULL,
    user_id text NOT NULL REFERENCES control.users,
    published_ms bigint NOT NULL CHECK (published_ms >= 0),
    ingress_bytes bigint NOT NULL CHECK (ingress_bytes >= 0),
    egress_bytes bigint NOT NULL CHECK (egress_bytes >= 0),
    PRIMARY KEY (session_id, cycle_began_at)
);
CREATE INDEX session_cycles_user ON control.session_cycles (user_id, cycle_began_at);

-- When the slot's stream was last moved by its user.
ALTER TABLE control.streams ADD COLUMN moved_at bigint;
