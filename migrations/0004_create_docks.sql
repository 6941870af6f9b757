-- Connections that their user wants to be ready at all times: the intent that
-- sessions follow, until it is removed.
CREATE TABLE control.connections (
    user_id text NOT NULL REFERENCES control.users,
    name text NOT NULL CHECK (name <> ''),
    tenant_id text NOT NULL REFERENCES control.tenants,
    -- Where the user wants it; null: anywhere.
    region text,
    created_at bigint NOT NULL,
    PRIMARY KEY (user_id, name)
);

-- Links that sign a dock in once, and docks that are signed in; only their hashes.
CREATE TABLE control.dock_links (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    user_id text NOT NULL REFERENCES control.users,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX dock_links_user ON control.dock_links (user_id);

CREATE TABLE control.docks (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    user_id text NOT NULL REFERENCES control.users,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX docks_user ON control.docks (user_id);
