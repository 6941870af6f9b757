-- What was done to the control plane, and by whom: written in the transaction that did it.
CREATE TABLE control.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    -- A user's id, or the name of a service that acted by itself.
    actor text NOT NULL,
    -- What was done, such as 'node.drain'.
    action text NOT NULL,
    -- The id of what it was done to; '' when it was to no one thing.
    subject text NOT NULL,
    -- Why, in the actor's words.
    reason text,
    detail jsonb NOT NULL
);
CREATE INDEX audit_subject ON control.audit (subject, id DESC);
CREATE INDEX audit_action ON control.audit (action, id DESC);
