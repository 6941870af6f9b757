-- Accounts elsewhere that a user signs in with.
CREATE TABLE control.linked_accounts (
    provider text NOT NULL CHECK (provider IN ('twitch', 'google', 'discord')),
    -- What the provider calls the person for ever.
    subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
    user_id text NOT NULL REFERENCES control.users,
    -- What the person was called there when it was linked.
    name text NOT NULL CHECK (char_length(name) <= 200),
    linked_at bigint NOT NULL,
    PRIMARY KEY (provider, subject),
    UNIQUE (user_id, provider)
);

-- A browser that is on its way to a provider and back. Its secret is in a cookie; only
-- the hash is here.
CREATE TABLE control.provider_visits (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    provider text NOT NULL CHECK (provider IN ('twitch', 'google', 'discord')),
    -- Who links an account; null: somebody signs in.
    user_id text REFERENCES control.users,
    -- The invitation that somebody accepts.
    invite_sha256 bytea CHECK (octet_length(invite_sha256) = 32),
    expires_at bigint NOT NULL,
    CHECK (user_id IS NULL OR invite_sha256 IS NULL)
);
CREATE INDEX provider_visits_expiry ON control.provider_visits (expires_at);
