-- What each node's provider offers for its traffic, and what is left of it. A node
-- without a row is never out of bytes.
CREATE TABLE control.node_budgets (
    node_id text PRIMARY KEY REFERENCES control.nodes,
    -- The offer, what is used of it (counters with their boot_id, windows, the usual week)
    -- and the prospects: documents of the domain (placement), read and written whole.
    policy jsonb NOT NULL CHECK (jsonb_typeof(policy) = 'object'),
    account jsonb NOT NULL CHECK (jsonb_typeof(account) = 'object'),
    outlook jsonb NOT NULL CHECK (jsonb_typeof(outlook) = 'object'),
    settled_at bigint NOT NULL
);

-- What people and the control plane did to a budget.
CREATE TABLE control.node_budget_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id text NOT NULL REFERENCES control.nodes,
    at bigint NOT NULL,
    -- Null: the control plane itself.
    user_id text REFERENCES control.users,
    kind text NOT NULL CHECK (kind IN ('policy', 'removed', 'reconciled', 'restriction')),
    details jsonb NOT NULL
);
CREATE INDEX node_budget_events_node ON control.node_budget_events (node_id, id DESC);

-- What is held of the node's budget for a session, as the provider counts it: for as long
-- as the session lives, so that no hold outlives its session.
ALTER TABLE control.sessions
    ADD COLUMN hold_bytes bigint NOT NULL DEFAULT 0 CHECK (hold_bytes >= 0),
    ADD COLUMN hold_counted_bps bigint NOT NULL DEFAULT 0 CHECK (hold_counted_bps >= 0),
    ADD COLUMN hold_port_bps bigint NOT NULL DEFAULT 0 CHECK (hold_port_bps >= 0),
    -- Real bytes that came since.
    ADD COLUMN settled_bytes bigint NOT NULL DEFAULT 0 CHECK (settled_bytes >= 0);

-- Why a session is where it is, or is nowhere.
CREATE TABLE control.placements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    user_id text NOT NULL REFERENCES control.users,
    -- Null: no node could take it.
    session_id text REFERENCES control.sessions,
    region_requested text,
    region_fallback boolean NOT NULL,
    -- Each candidate with its terms, or why it was refused.
    candidates jsonb NOT NULL CHECK (jsonb_typeof(candidates) = 'array')
);
CREATE INDEX placements_session ON control.placements (session_id);
CREATE INDEX placements_at ON control.placements (at);
CREATE INDEX placements_refused ON control.placements (user_id, at) WHERE session_id IS NULL;
