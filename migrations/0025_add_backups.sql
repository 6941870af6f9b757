-- What is remembered of backups, for those who watch; the destinations hold the truth.
CREATE TABLE queue.backups (
    destination text NOT NULL,
    id text NOT NULL,
    made_at bigint NOT NULL,
    took_ms bigint NOT NULL,
    bytes bigint NOT NULL,
    -- When it was last restored and found whole.
    verified_at bigint,
    verify_took_ms bigint,
    tables_compared bigint,
    rows_compared bigint,
    PRIMARY KEY (destination, id)
);
