-- What callers from outside found of nodes. A node without a row was never called.
CREATE TABLE control.node_probes (
    node_id text PRIMARY KEY REFERENCES control.nodes,
    -- The last calls: a document of the domain (placement).
    reach jsonb NOT NULL CHECK (jsonb_typeof(reach) = 'object'),
    is_reachable boolean NOT NULL,
    probed_at bigint NOT NULL,
    answered_at bigint,
    -- Of the last answer.
    rtt_us bigint CHECK (rtt_us >= 0),
    -- Why the last call was not answered; null: it was.
    failure text
);

-- What users' sessions carried, by the hour and by the day (UTC).
CREATE TABLE control.usage_hours (
    user_id text NOT NULL REFERENCES control.users,
    began_at bigint NOT NULL,
    published_ms bigint NOT NULL,
    ingress_bytes bigint NOT NULL,
    egress_bytes bigint NOT NULL,
    PRIMARY KEY (user_id, began_at)
);
CREATE INDEX usage_hours_began ON control.usage_hours (began_at);
CREATE TABLE control.usage_days (
    user_id text NOT NULL REFERENCES control.users,
    began_at bigint NOT NULL,
    published_ms bigint NOT NULL,
    ingress_bytes bigint NOT NULL,
    egress_bytes bigint NOT NULL,
    PRIMARY KEY (user_id, began_at)
);

ALTER TABLE control.sessions
    -- What of the session is in them, and until when.
    ADD COLUMN rolled_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN rolled_ingress_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN rolled_egress_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN rolled_at bigint,
    -- Whether a stopped one is whole.
    ADD COLUMN is_rolled boolean NOT NULL DEFAULT false;
CREATE INDEX sessions_unrolled ON control.sessions (id) WHERE state = 'stopped' AND NOT is_rolled;

-- Times in which nobody heard of sessions that were published before and after.
CREATE TABLE control.usage_gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL REFERENCES control.sessions,
    began_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    -- What of it was counted as published when it ended.
    counted_ms bigint NOT NULL,
    -- What the node received for the session meanwhile.
    ingress_bytes bigint NOT NULL,
    -- What it had received before, in so much published time.
    ingress_bytes_before bigint NOT NULL,
    published_ms_before bigint NOT NULL,
    -- When it was made good, and how much then counted.
    reconciled_at bigint,
    reconciled_ms bigint,
    CHECK (ended_at > began_at),
    CHECK ((reconciled_at IS NULL) = (reconciled_ms IS NULL))
);
CREATE INDEX usage_gaps_open ON control.usage_gaps (id) WHERE reconciled_at IS NULL;
CREATE INDEX usage_gaps_ended ON control.usage_gaps (ended_at);
CREATE INDEX usage_gaps_session ON control.usage_gaps (session_id);
