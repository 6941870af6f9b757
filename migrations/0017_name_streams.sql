-- Each stream slot has a name in the DNS, and what is known of its record.

-- The name's first label, for good. gen_random_uuid() draws from a strong random source;
-- the digits that RFC 9562 fixes are left out, so these are 64 random bits.
ALTER TABLE control.streams
    ADD COLUMN dns_label text NOT NULL UNIQUE CHECK (dns_label ~ '^[0-9a-f]{16}$')
        DEFAULT substr(gen_random_uuid()::text, 1, 8) || right(gen_random_uuid()::text, 8);

CREATE TABLE control.dns_records (
    stream_id text PRIMARY KEY REFERENCES control.streams,
    -- The node that the name is to point at.
    node_id text NOT NULL REFERENCES control.nodes,
    -- Where whoever holds the claim makes it point; null: the record is to go.
    intended_host text,

    -- What was last written for certain; null: nothing, or it is being removed.
    name text,
    host text,
    ttl_seconds integer,
    published_at bigint,
    -- Whether the zone has exactly that: not while somebody writes, nor after trouble.
    settled boolean NOT NULL DEFAULT false,

    -- Since when the slot has had no live session.
    idle_at bigint,

    -- Who writes it: a claim lapses, and its number fences what comes too late.
    claim bigint NOT NULL DEFAULT 1,
    claimed_until bigint NOT NULL DEFAULT 0,

    failures integer NOT NULL DEFAULT 0,
    failure text CHECK (char_length(failure) <= 500),
    retry_at bigint NOT NULL DEFAULT 0,

    CHECK ((name IS NULL) OR (host IS NOT NULL AND ttl_seconds IS NOT NULL AND published_at IS NOT NULL))
);
