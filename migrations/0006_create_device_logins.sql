-- A device that asks to be signed in, until somebody who is signed in confirms it.
CREATE TABLE control.device_logins (
    id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('plugin', 'dock')),
    -- Of the secret that the device asks with.
    poll_sha256 bytea NOT NULL CHECK (octet_length(poll_sha256) = 32),
    -- What the device and the browser both show.
    user_code text NOT NULL UNIQUE,
    -- What it says it is.
    device text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied', 'claimed')),
    -- Who confirmed it.
    user_id text REFERENCES control.users,
    -- Why it was denied.
    reason_code text,
    CHECK ((state IN ('approved', 'claimed')) = (user_id IS NOT NULL)),
    CHECK ((state = 'denied') = (reason_code IS NOT NULL))
);
CREATE INDEX device_logins_expiry ON control.device_logins (expires_at);

-- What users may do.
CREATE TABLE control.plans (
    id text PRIMARY KEY,
    -- Sessions of one user at the same time.
    connections_max integer NOT NULL CHECK (connections_max >= 0),
    -- Media time in a calendar month (UTC); null: as much as there is.
    included_seconds bigint CHECK (included_seconds >= 0),
    -- Of users without a plan of their own.
    is_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX plans_one_default ON control.plans (is_default) WHERE is_default;
INSERT INTO control.plans (id, connections_max, is_default) VALUES ('standard', 10000, true);

ALTER TABLE control.users
    -- Null: the default plan.
    ADD COLUMN plan_id text REFERENCES control.plans,
    ADD COLUMN plan_status text NOT NULL DEFAULT 'active' CHECK (plan_status IN ('active', 'inactive'));

-- How a user knows a slot. The number is given when the slots are first listed.
ALTER TABLE control.streams
    ADD COLUMN slot_number integer CHECK (slot_number > 0),
    ADD COLUMN label text CHECK (char_length(label) BETWEEN 1 AND 64);
CREATE UNIQUE INDEX streams_slot_number ON control.streams (user_id, slot_number);

-- How long the session's node saw it published, by its heartbeats.
ALTER TABLE control.sessions ADD COLUMN published_ms bigint NOT NULL DEFAULT 0;
