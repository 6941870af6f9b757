-- The keys that sign leases. A seed is sealed, and gone once its key signs no more.
CREATE TABLE control.lease_keys (
    kid text PRIMARY KEY,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    state text NOT NULL CHECK (state IN ('next', 'current', 'retired', 'revoked')),
    sealed_seed bytea,
    created_at bigint NOT NULL,
    promoted_at bigint,
    -- Of a retired key: until when nodes believe what it signed.
    believed_until bigint,
    revoked_at bigint,
    CHECK ((sealed_seed IS NOT NULL) = (state IN ('next', 'current'))),
    CHECK ((believed_until IS NOT NULL) = (state = 'retired')),
    CHECK ((revoked_at IS NOT NULL) = (state = 'revoked'))
);
CREATE UNIQUE INDEX lease_keys_one_current ON control.lease_keys (state) WHERE state = 'current';
CREATE UNIQUE INDEX lease_keys_one_next ON control.lease_keys (state) WHERE state = 'next';
