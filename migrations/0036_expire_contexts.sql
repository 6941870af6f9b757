-- What events share leaves after the last of them: it names users and their sessions, and nobody
-- asked for these to be kept longer than the events. Gateways write down on which day (since 1970,
-- UTC) it came last, once a day. The default is for those that do not yet.
ALTER TABLE telemetry.contexts
    ADD COLUMN last_day integer NOT NULL
        DEFAULT (extract(epoch FROM now())::bigint / 86400)::integer;
CREATE INDEX contexts_last_day ON telemetry.contexts (app_id, last_day);

-- Whether an event may name a context of an app that came last before this day.
--
-- An event is kept with its context or after it on that day, and is a day ahead at most; a day more
-- is for clocks that differ. So such an event came before that day, and is of the day after it at the
-- latest: it is among the events, or its day waits for the archive. They are asked in the order in which it
-- moves, each when the other was.
CREATE FUNCTION telemetry.is_context_named(app integer, came_before integer) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    days_before CONSTANT integer := came_before + 2;
BEGIN
    -- By the order of the key, or the planner may read the events of all apps.
    IF EXISTS (SELECT FROM (
            SELECT FROM telemetry.events AS e
            WHERE e.app_id = app AND e.ts_us < days_before::bigint * 86400000000
                AND e.received_at < came_before::bigint * 86400000
            ORDER BY e.ts_us LIMIT 1) AS found) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM telemetry.retired AS r
        WHERE r.kind = 'events' AND r.state <> 'dropped' AND r.day < days_before);
END $$;
