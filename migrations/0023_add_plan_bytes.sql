-- Plans include bytes besides media time, and say what happens to who used them up.
ALTER TABLE control.plans
    -- What nodes receive and send for a user in a calendar month (UTC); null: as much as there is.
    ADD COLUMN included_bytes bigint CHECK (included_bytes >= 0),
    -- Whether sessions begin when what is included is used up.
    ADD COLUMN overage_allowed boolean NOT NULL DEFAULT true;
