-- People: how they are reached and how they sign in. A user without an address is
-- the operator's, and comes with a token only. Addresses are in lower case.
ALTER TABLE control.users
    ADD COLUMN email text CHECK (email = lower(email) AND char_length(email) BETWEEN 3 AND 254),
    ADD COLUMN email_verified_at bigint,
    -- A PHC string of Argon2id; null: none is set.
    ADD COLUMN password_hash text,
    -- Since when nothing of the user's opens anything.
    ADD COLUMN disabled_at bigint;
CREATE UNIQUE INDEX users_email ON control.users (email);

-- What a link in a letter proves, once; only hashes.
CREATE TABLE control.mail_tokens (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    purpose text NOT NULL CHECK (purpose IN ('invite', 'verify', 'reset')),
    -- The address that the link proves.
    email text NOT NULL CHECK (email = lower(email)),
    -- Null: an invitation, whose user is yet to be made.
    user_id text REFERENCES control.users,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    CHECK ((purpose = 'invite') = (user_id IS NULL))
);
CREATE INDEX mail_tokens_email ON control.mail_tokens (email, purpose);
CREATE INDEX mail_tokens_user ON control.mail_tokens (user_id);
CREATE INDEX mail_tokens_expiry ON control.mail_tokens (expires_at);

-- A browser or a plugin that is signed in. Its tokens go with it.
CREATE TABLE control.sign_ins (
    id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES control.users,
    kind text NOT NULL CHECK (kind IN ('browser', 'plugin')),
    -- What it says it is.
    device text NOT NULL,
    created_at bigint NOT NULL,
    used_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at bigint,
    end_reason text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sign_ins_user ON control.sign_ins (user_id, created_at DESC);
CREATE INDEX sign_ins_expiry ON control.sign_ins (expires_at);

CREATE TABLE control.access_tokens (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    sign_in_id text NOT NULL REFERENCES control.sign_ins ON DELETE CASCADE,
    expires_at bigint NOT NULL
);
CREATE INDEX access_tokens_sign_in ON control.access_tokens (sign_in_id);

CREATE TABLE control.refresh_tokens (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    sign_in_id text NOT NULL REFERENCES control.sign_ins ON DELETE CASCADE,
    expires_at bigint NOT NULL,
    -- When another took its place. Whoever brings it after that has a copy.
    replaced_at bigint
);
CREATE INDEX refresh_tokens_sign_in ON control.refresh_tokens (sign_in_id);

-- Docks are listed and ended beside them.
ALTER TABLE control.docks
    ADD COLUMN id text NOT NULL DEFAULT 'dok_' || replace(gen_random_uuid()::text, '-', ''),
    ADD COLUMN device text;
CREATE UNIQUE INDEX docks_id ON control.docks (id);
