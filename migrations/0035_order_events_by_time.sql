-- The key of events has their time first. What comes together then lies together in it, so that a flush
-- writes to a few of its pages and not to all of them; and an app's events of a span are found by it.
-- Those of one type are looked for among them: an index by type cost a
-- quarter of what it takes to keep an event.
CREATE UNIQUE INDEX events_key_by_time ON telemetry.events (app_id, ts_us, event_id);
DROP INDEX telemetry.events_key;
ALTER INDEX telemetry.events_key_by_time RENAME TO events_key;
DROP INDEX telemetry.events_type;

-- As they were, in the order of the new key.
CREATE OR REPLACE FUNCTION telemetry.is_event_day_kept(kept_day integer, today integer) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    partition CONSTANT text := 'events_' || to_char(date '1970-01-01' + kept_day, 'YYYYMMDD');
    is_kept boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'telemetry.events'::regclass
            AND inhrelid = to_regclass('telemetry.' || partition)) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM telemetry.apps AS a, '
                   'LATERAL (SELECT FROM telemetry.%I AS e WHERE e.app_id = a.id '
                   'ORDER BY e.ts_us LIMIT 1) AS found '
                   'WHERE a.retention_days >= %s)', partition, today - kept_day)
        INTO is_kept;
    RETURN is_kept;
EXCEPTION WHEN undefined_table THEN
    -- It retired in this moment.
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION telemetry.collect_events(
    collected_day integer, today integer, rows_max integer, at bigint
) RETURNS bigint
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT bigint := 86400000000;
    -- Each app by itself: so it is found by the key, however many rows others have there.
    over CONSTANT text := format(
        'SELECT e.ts_us, e.app_id, e.event_id FROM telemetry.apps AS a, LATERAL ('
        'SELECT * FROM telemetry.events AS e WHERE e.app_id = a.id '
        'AND e.ts_us >= %1$s AND e.ts_us < %2$s ORDER BY e.ts_us, e.event_id LIMIT %3$s) AS e '
        'WHERE a.retention_days < %4$s LIMIT %3$s',
        collected_day * width, (collected_day + 1) * width, rows_max, today - collected_day);
    target text;
    is_any boolean;
    moved bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('telemetry.retired'), collected_day);
    SELECT r.relation INTO target FROM telemetry.retired AS r
    WHERE r.kind = 'events' AND r.day = collected_day AND r.state = 'collecting';
    IF target IS NULL THEN
        EXECUTE format('SELECT EXISTS (%s)', over) INTO is_any;
        IF NOT is_any THEN
            RETURN 0;
        END IF;
        target := telemetry.register_retired('events', collected_day, 'collecting', at);
        EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.events INCLUDING ALL)', target);
    END IF;
    -- An event that was moved, and then sent once more, is there already.
    EXECUTE format('WITH chosen AS MATERIALIZED (%1$s), gone AS ('
                   'DELETE FROM telemetry.events AS e USING chosen AS c '
                   'WHERE e.app_id = c.app_id AND e.event_id = c.event_id AND e.ts_us = c.ts_us '
                   'AND e.ts_us >= %2$s AND e.ts_us < %3$s RETURNING e.*'
                   '), kept AS (INSERT INTO telemetry.%4$I SELECT * FROM gone ON CONFLICT DO NOTHING) '
                   'SELECT count(*) FROM gone',
                   over, collected_day * width, (collected_day + 1) * width, target)
        INTO moved;
    IF moved < rows_max THEN
        UPDATE telemetry.retired AS r SET state = 'retired', retired_at = at WHERE r.relation = target;
    END IF;
    RETURN moved;
END $$;
