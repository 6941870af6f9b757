-- Of two who make the same partition, the second looks again once the first is done: by a query.
-- to_regclass, asked before, remembers that there is nothing until a lock on a table makes it forget;
-- a lock by a number does not, and the second failed.
CREATE OR REPLACE FUNCTION telemetry.make_event_days(first_day integer, last_day integer) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT bigint := 86400000000;
    partition text;
    made integer := 0;
BEGIN
    FOR day IN first_day..last_day LOOP
        partition := 'events_' || to_char(date '1970-01-01' + day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('telemetry.' || partition) IS NOT NULL;
        -- Two gateways may be here at once, and writers wait for a moment.
        PERFORM pg_advisory_xact_lock(hashtext('telemetry.events'));
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = partition
            AND relnamespace = 'telemetry'::regnamespace);
        LOCK TABLE telemetry.events_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.events INCLUDING ALL)', partition);
        EXECUTE format('WITH moved AS (DELETE FROM telemetry.events_default '
                       'WHERE ts_us >= %s AND ts_us < %s RETURNING *) '
                       'INSERT INTO telemetry.%I SELECT * FROM moved',
                       day * width, (day + 1) * width, partition);
        EXECUTE format('ALTER TABLE telemetry.events ATTACH PARTITION telemetry.%I '
                       'FOR VALUES FROM (%s) TO (%s)',
                       partition, day * width, (day + 1) * width);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION telemetry.make_session_days(first_day integer, last_day integer) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT bigint := 86400000;
    parent text;
    partition text;
    made integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['session_10s', 'session_1m'] LOOP
        FOR day IN first_day..last_day LOOP
            partition := parent || '_' || to_char(date '1970-01-01' + day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('telemetry.' || partition) IS NOT NULL;
            -- Two gateways may be here at once.
            PERFORM pg_advisory_xact_lock(hashtext('telemetry.sessions'));
            CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = partition
                AND relnamespace = 'telemetry'::regnamespace);
            EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.%I INCLUDING DEFAULTS '
                           'INCLUDING CONSTRAINTS)', partition, parent);
            EXECUTE format('ALTER TABLE telemetry.%I ATTACH PARTITION telemetry.%I '
                           'FOR VALUES FROM (%L) TO (%L)',
                           parent, partition, day * width, (day + 1) * width);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION queue.make_history(until timestamptz) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT interval := interval '6 hours';
    origin CONSTANT timestamptz := timestamptz '2000-01-01 00:00:00+00';
    beginning timestamptz := date_bin(width, now(), origin);
    partition text;
    made integer := 0;
BEGIN
    LOOP
        EXIT WHEN beginning > until;
        partition := 'history_' || to_char(beginning AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
        IF to_regclass('queue.' || partition) IS NULL THEN
            -- Two replicas may be here at once.
            PERFORM pg_advisory_xact_lock(hashtext('queue.history'));
            IF NOT EXISTS (SELECT FROM pg_class WHERE relname = partition
                    AND relnamespace = 'queue'::regnamespace) THEN
                EXECUTE format('CREATE TABLE queue.%I (LIKE queue.history INCLUDING CONSTRAINTS)',
                               partition);
                EXECUTE format('ALTER TABLE queue.history ATTACH PARTITION queue.%I '
                               'FOR VALUES FROM (%L) TO (%L)',
                               partition, beginning, beginning + width);
                made := made + 1;
            END IF;
        END IF;
        beginning := beginning + width;
    END LOOP;
    RETURN made;
END $$;
