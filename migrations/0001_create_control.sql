-- What the control plane knows. Owner: api. Times are Unix milliseconds.
CREATE SCHEMA control;

CREATE TABLE control.tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE control.users (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES control.tenants,
    name text NOT NULL,
    -- The one that the admin token stands for.
    is_bootstrap boolean NOT NULL DEFAULT false,
    created_at bigint NOT NULL
);
CREATE UNIQUE INDEX users_one_bootstrap ON control.users (is_bootstrap) WHERE is_bootstrap;

-- Bearer tokens of users; only their hashes.
CREATE TABLE control.tokens (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    user_id text NOT NULL REFERENCES control.users,
    created_at bigint NOT NULL,
    -- Null: until revoked.
    expires_at bigint,
    revoked_at bigint
);
CREATE INDEX tokens_user ON control.tokens (user_id);

CREATE TABLE control.nodes (
    id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    region text NOT NULL,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'active', 'draining', 'offline')),
    -- The operator's word; no heartbeat undoes it.
    draining boolean NOT NULL DEFAULT false,
    -- The operator's limit; null: the node's own.
    sessions_limit integer CHECK (sessions_limit >= 0),
    created_at bigint NOT NULL,

    join_token_sha256 bytea UNIQUE CHECK (octet_length(join_token_sha256) = 32),
    join_token_expires_at bigint,
    credential_sha256 bytea UNIQUE CHECK (octet_length(credential_sha256) = 32),

    -- What the node said in its last Hello.
    public_host text,
    udp_port integer,
    publish_port integer,
    play_port integer,
    version text,
    sessions_reported integer NOT NULL DEFAULT 0,

    -- What it said in its last heartbeat. Counters restart with boot_id; the
    -- *_before columns hold what earlier boots added up to.
    heartbeat_at bigint,
    boot_id text,
    ingress_bytes bigint NOT NULL DEFAULT 0,
    egress_bytes bigint NOT NULL DEFAULT 0,
    ingress_bytes_before bigint NOT NULL DEFAULT 0,
    egress_bytes_before bigint NOT NULL DEFAULT 0
);

-- Stream slots: their keys are derived from id and generation, none is stored.
CREATE TABLE control.streams (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES control.tenants,
    user_id text NOT NULL REFERENCES control.users,
    -- The connection it belongs to; '' for the one without a name.
    name text NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    created_at bigint NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE control.sessions (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES control.tenants,
    user_id text NOT NULL REFERENCES control.users,
    stream_id text NOT NULL REFERENCES control.streams,
    connection_id text CHECK (connection_id <> ''),
    node_id text NOT NULL REFERENCES control.nodes,
    region text NOT NULL,
    -- What the caller asked for; null: no preference.
    region_requested text,
    state text NOT NULL CHECK (state IN ('provisioning', 'active', 'grace', 'stopped')),
    publishing boolean NOT NULL DEFAULT false,
    started_at bigint NOT NULL,
    last_published_at bigint,
    -- Renewed by the node's heartbeat.
    lease_expires_at bigint NOT NULL,
    -- The longest it may live.
    ends_at bigint NOT NULL,
    stopped_at bigint,
    stop_reason text,
    CHECK ((state = 'stopped') = (stopped_at IS NOT NULL)),
    CHECK ((state = 'stopped') = (stop_reason IS NOT NULL))
);
CREATE UNIQUE INDEX sessions_live_connection ON control.sessions (user_id, coalesce(connection_id, ''))
    WHERE state <> 'stopped';
CREATE UNIQUE INDEX sessions_live_stream ON control.sessions (stream_id) WHERE state <> 'stopped';
CREATE INDEX sessions_user_started ON control.sessions (user_id, started_at DESC);
CREATE INDEX sessions_live_node ON control.sessions (node_id) WHERE state <> 'stopped';
CREATE INDEX sessions_live_expiry ON control.sessions (lease_expires_at) WHERE state <> 'stopped';

CREATE TABLE control.idempotency_records (
    user_id text NOT NULL REFERENCES control.users,
    endpoint text NOT NULL,
    key text NOT NULL,
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    session_id text NOT NULL REFERENCES control.sessions,
    expires_at bigint NOT NULL,
    PRIMARY KEY (user_id, endpoint, key)
);
CREATE INDEX idempotency_records_expiry ON control.idempotency_records (expires_at);
