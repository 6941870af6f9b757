-- Where a stranger who began something comes from: the first address of the network, so
-- that no network has every place. Empty: from before this was kept.
ALTER TABLE control.device_logins ADD COLUMN origin text NOT NULL DEFAULT '';
ALTER TABLE control.provider_visits ADD COLUMN origin text NOT NULL DEFAULT '';

-- What users' tokens are called, and what they are known by without their secret.
ALTER TABLE control.tokens
    ADD COLUMN id text NOT NULL DEFAULT 'tok_' || replace(gen_random_uuid()::text, '-', ''),
    ADD COLUMN name text NOT NULL DEFAULT '' CHECK (char_length(name) <= 64);
CREATE UNIQUE INDEX tokens_id ON control.tokens (id);
