-- What is known of a node, in three words of their own: what was observed (health), what the
-- operator wants (intent), and what follows from both and the byte budget (standing). `state`
-- and `draining` say the same to older code, as far as its words go.
ALTER TABLE control.nodes
    ADD COLUMN health text NOT NULL DEFAULT 'new'
        CHECK (health IN ('new', 'probation', 'active', 'degraded', 'offline')),
    -- The last looks at its health: a document of the domain (placement).
    ADD COLUMN vitals jsonb CHECK (jsonb_typeof(vitals) = 'object'),
    -- No heartbeat undoes it.
    ADD COLUMN intent text NOT NULL DEFAULT 'none'
        CHECK (intent IN ('none', 'draining', 'quarantined', 'banned')),
    ADD COLUMN intent_reason text,
    ADD COLUMN intent_at bigint,
    -- Until when a draining node may keep its sessions; null: for as long as they last.
    ADD COLUMN drain_deadline bigint,
    ADD COLUMN standing text NOT NULL DEFAULT 'new'
        CHECK (standing IN ('new', 'probation', 'active', 'degraded', 'throttled', 'exhausted',
            'draining', 'drained', 'offline', 'quarantined', 'banned')),
    ADD COLUMN standing_reason text NOT NULL DEFAULT '',
    ADD COLUMN standing_at bigint,
    -- Kept for the sessions that were on it.
    ADD COLUMN removed_at bigint,
    ADD CHECK (drain_deadline IS NULL OR intent = 'draining');
UPDATE control.nodes SET
    health = CASE WHEN state IN ('new', 'offline') THEN state ELSE 'active' END,
    intent = CASE WHEN draining THEN 'draining' ELSE 'none' END,
    standing = state,
    standing_at = coalesce(heartbeat_at, created_at);

-- What a person may do with `/api/v1/ops`.
ALTER TABLE control.users
    ADD COLUMN ops_role text NOT NULL DEFAULT 'none'
        CHECK (ops_role IN ('none', 'viewer', 'operator', 'admin'));
