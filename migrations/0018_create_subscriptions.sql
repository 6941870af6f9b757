-- What an outside billing system says of tenants. The newest event of each wins, in
-- whatever order they come.
CREATE TABLE control.subscriptions (
    tenant_id text PRIMARY KEY REFERENCES control.tenants,
    plan_id text NOT NULL REFERENCES control.plans,
    status text NOT NULL CHECK (status IN ('active', 'past_due', 'canceled')),
    period_began_at bigint NOT NULL,
    period_ends_at bigint NOT NULL CHECK (period_ends_at > period_began_at),
    -- The event that said so: when it happened there, and which of those of that moment.
    event_at bigint NOT NULL,
    event_sequence bigint NOT NULL CHECK (event_sequence >= 0),
    event_id text NOT NULL
);

-- Every event that was taken, so that each counts once.
CREATE TABLE control.billing_events (
    id text PRIMARY KEY CHECK (char_length(id) BETWEEN 1 AND 255),
    tenant_id text NOT NULL REFERENCES control.tenants,
    body_sha256 bytea NOT NULL CHECK (octet_length(body_sha256) = 32),
    received_at bigint NOT NULL
);
CREATE INDEX billing_events_tenant ON control.billing_events (tenant_id, received_at);

ALTER TABLE control.users
    DROP CONSTRAINT users_plan_status_check,
    ADD CONSTRAINT users_plan_status_check
        CHECK (plan_status IN ('active', 'inactive', 'past_due', 'canceled')),
    -- From then on a plan that is past due or canceled does not count.
    ADD COLUMN plan_until bigint,
    ADD CHECK (plan_status NOT IN ('past_due', 'canceled') OR plan_until IS NOT NULL),
    -- Where sessions go whose start names no region; null: anywhere.
    ADD COLUMN preferred_region text;
