-- How far regions are from a user's senders, as their own streams measured it.
CREATE TABLE control.round_trips (
    user_id text NOT NULL REFERENCES control.users (id) ON DELETE CASCADE,
    region text NOT NULL,
    -- The smallest smoothed round trip of a publisher since a week before `measured_at`.
    rtt_us integer NOT NULL CHECK (rtt_us > 0),
    measured_at bigint NOT NULL,
    PRIMARY KEY (user_id, region)
);
