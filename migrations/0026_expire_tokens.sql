-- What is deleted by its time is found by it.
CREATE INDEX access_tokens_expiry ON control.access_tokens (expires_at);
CREATE INDEX refresh_tokens_expiry ON control.refresh_tokens (expires_at);
CREATE INDEX dock_links_expiry ON control.dock_links (expires_at);
CREATE INDEX docks_expiry ON control.docks (expires_at);
CREATE INDEX tokens_ended ON control.tokens (least(expires_at, revoked_at))
    WHERE expires_at IS NOT NULL OR revoked_at IS NOT NULL;
CREATE INDEX nodes_join_token_expiry ON control.nodes (join_token_expires_at)
    WHERE join_token_expires_at IS NOT NULL;

-- Sessions that no node confirmed.
CREATE INDEX sessions_provisioning ON control.sessions (started_at) WHERE state = 'provisioning';
