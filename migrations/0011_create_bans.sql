-- Who and what is shut out. A ban ends by itself, or is lifted.
CREATE TABLE control.bans (
    id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('tenant', 'user', 'prefix', 'stream_key')),
    -- An id; an address prefix in CIDR notation; for a stream key the slot's id, the keys'
    -- generation and the role, such as 'str_1/2/publish': no key is stored.
    subject text NOT NULL,
    reason text NOT NULL,
    created_at bigint NOT NULL,
    created_by text NOT NULL REFERENCES control.users,
    -- Null: until it is lifted.
    expires_at bigint,
    ended_at bigint,
    CHECK (expires_at IS NULL OR expires_at > created_at)
);
CREATE UNIQUE INDEX bans_one_of_a_subject ON control.bans (kind, subject) WHERE ended_at IS NULL;

-- What a node said in its last heartbeat, beside its counters.
ALTER TABLE control.nodes
    ADD COLUMN publishers integer NOT NULL DEFAULT 0,
    ADD COLUMN players integer NOT NULL DEFAULT 0,
    ADD COLUMN data_thread_load_ratio double precision NOT NULL DEFAULT 0;
