-- Where tenants want to be told what their sessions do.
CREATE TABLE control.webhooks (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES control.tenants,
    -- Who asked for it.
    user_id text NOT NULL REFERENCES control.users,
    url text NOT NULL CHECK (char_length(url) BETWEEN 8 AND 2048),
    -- Of what it is told.
    events text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 16),
    -- What it knows us by, sealed.
    sealed_secret bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX webhooks_tenant ON control.webhooks (tenant_id, created_at);
