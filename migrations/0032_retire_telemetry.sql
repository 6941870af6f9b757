-- Telemetry whose time is over leaves in tables of its own: each is one day of one kind that nobody
-- writes any more, until it is stored elsewhere, read back and dropped.
CREATE SEQUENCE telemetry.retired_number;

CREATE TABLE telemetry.retired (
    id bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('events', 'session_10s', 'session_1m')),
    -- Since 1970, UTC.
    day integer NOT NULL,
    -- The table, in this schema; it is gone when the state is `dropped`.
    relation text NOT NULL UNIQUE,
    -- `collecting`: rows still move into it. `retired`: it is whole. `stored`: an archive was given
    -- all of it, and may have it. `dropped`: what remains is this row.
    state text NOT NULL CHECK (state IN ('collecting', 'retired', 'stored', 'dropped')),
    retired_at bigint NOT NULL,
    -- Who is at it, and until when nobody else is.
    claim uuid,
    claimed_until bigint,
    -- The object in the archive; null: it was never given any.
    object text,
    rows bigint,
    bytes bigint,
    plain_bytes bigint,
    sha256 text,
    stored_at bigint,
    dropped_at bigint
);
CREATE UNIQUE INDEX retired_collecting ON telemetry.retired (kind, day) WHERE state = 'collecting';
CREATE INDEX retired_waiting ON telemetry.retired (id) WHERE state IN ('retired', 'stored');

-- There while jobs archive: days of sessions' histories then retire where they were dropped.
CREATE TABLE telemetry.archiving (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);

-- Names a table for what retires, and writes it down.
CREATE FUNCTION telemetry.register_retired(kind text, day integer, state text, at bigint) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    number CONSTANT bigint := nextval('telemetry.retired_number');
    relation CONSTANT text := format('retired_%s_%s_%s', kind,
        to_char(date '1970-01-01' + day, 'YYYYMMDD'), number);
BEGIN
    INSERT INTO telemetry.retired (id, kind, day, relation, state, retired_at)
    VALUES (number, kind, day, relation, state, at);
    RETURN relation;
END $$;

-- Days before this one that have a partition, rows in the default partition, or a table that rows move
-- into.
CREATE FUNCTION telemetry.event_days(before integer)
    RETURNS TABLE (day integer, has_partition boolean)
    LANGUAGE sql STABLE AS $$
    WITH partitions AS (
        SELECT to_date(substr(c.relname, 8), 'YYYYMMDD') - date '1970-01-01' AS day
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
    ), strays AS (
        SELECT DISTINCT (ts_us / 86400000000)::integer AS day
        FROM telemetry.events_default
        WHERE ts_us >= 0 AND ts_us < before * 86400000000
        UNION
        SELECT day FROM telemetry.retired WHERE kind = 'events' AND state = 'collecting'
    )
    SELECT day, true FROM partitions WHERE day < before
    UNION ALL
    SELECT day, false FROM strays WHERE day NOT IN (SELECT day FROM partitions)
    ORDER BY day
$$;

-- Whether an app that has events in the partition of a day keeps them still; null: it has no partition.
CREATE FUNCTION telemetry.is_event_day_kept(kept_day integer, today integer) RETURNS boolean
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
                   'LATERAL (SELECT FROM telemetry.%I AS e WHERE e.app_id = a.id LIMIT 1) AS found '
                   'WHERE a.retention_days >= %s)', partition, today - kept_day)
        INTO is_kept;
    RETURN is_kept;
EXCEPTION WHEN undefined_table THEN
    -- It retired in this moment.
    RETURN NULL;
END $$;

-- Takes the partition of a day away from the events, unless an app that has rows in it still keeps
-- them; says whether. Nobody who writes events goes on until this is committed, so nothing can come
-- into the table afterwards: what comes late lies in the default partition.
CREATE FUNCTION telemetry.retire_event_day(retired_day integer, today integer, at bigint)
    RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    partition CONSTANT text :=
        'events_' || to_char(date '1970-01-01' + retired_day, 'YYYYMMDD');
    relation text;
    is_empty boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('telemetry.events'));
    LOCK TABLE ONLY telemetry.events IN ACCESS EXCLUSIVE MODE;
    IF telemetry.is_event_day_kept(retired_day, today) IS DISTINCT FROM false THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE telemetry.events DETACH PARTITION telemetry.%I', partition);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM telemetry.%I)', partition) INTO is_empty;
    IF is_empty THEN
        EXECUTE format('DROP TABLE telemetry.%I', partition);
        RETURN true;
    END IF;
    relation := telemetry.register_retired('events', retired_day, 'retired', at);
    EXECUTE format('ALTER TABLE telemetry.%I RENAME TO %I', partition, relation);
    RETURN true;
END $$;

-- Moves up to so many events of a day, whose apps keep them no longer, into a table that retires when
-- none is left; says how many. For days that other apps keep, and for what lies in the default partition.
CREATE FUNCTION telemetry.collect_events(
    collected_day integer, today integer, rows_max integer, at bigint
) RETURNS bigint
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    width CONSTANT bigint := 86400000000;
    -- Each app by itself: so it is found by the key, however many rows others have there.
    over CONSTANT text := format(
        'SELECT e.ts_us, e.app_id, e.event_id FROM telemetry.apps AS a, LATERAL ('
        'SELECT * FROM telemetry.events AS e WHERE e.app_id = a.id '
        'AND e.ts_us >= %1$s AND e.ts_us < %2$s LIMIT %3$s) AS e '
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

-- Rows of a retired table as JSON, a line each, after the place of the last one; enough to make up so
-- many bytes. In the order of the file, so that every row is met once and nothing is sorted.
CREATE FUNCTION telemetry.retired_lines(number bigint, after tid, bytes_max bigint)
    RETURNS TABLE (place tid, line text)
    LANGUAGE plpgsql STABLE
    -- Compiling the expressions anew for each piece takes ten times as long as the piece.
    SET enable_seqscan = off SET synchronize_seqscans = off SET jit = off AS $$
DECLARE
    it telemetry.retired;
    content text := 'row_to_json(e)';
    last tid := after;
    taken bigint := 0;
BEGIN
    SELECT * INTO STRICT it FROM telemetry.retired WHERE id = number;
    IF it.kind = 'events' THEN
        content := $json$json_build_object(
            'app', (SELECT a.org || '/' || a.name FROM telemetry.apps AS a WHERE a.id = e.app_id),
            'event_id', e.event_id, 'ts_us', e.ts_us, 'received_at_ms', e.received_at,
            'type', e.event_type, 'category', e.category, 'data', e.data,
            'context', (SELECT row_to_json(c) FROM (
                SELECT service, service_version, language, language_version, sdk_version, os,
                    os_version, arch, ci, shell, user_id, session_id
                FROM telemetry.contexts WHERE app_id = e.app_id AND id = e.context_id) AS c))$json$;
    END IF;
    FOR place, line IN EXECUTE
        format('SELECT e.ctid, (%s)::text FROM telemetry.%I AS e WHERE e.ctid > $1', content, it.relation)
        USING after
    LOOP
        IF place <= last THEN
            RAISE EXCEPTION 'rows of % do not come in their order', it.relation;
        END IF;
        last := place;
        taken := taken + octet_length(line);
        RETURN NEXT;
        EXIT WHEN taken >= bytes_max;
    END LOOP;
END $$;

-- Drops a retired table that is still in the hands of this claim: `dropped`. If it is said to be in
-- an archive but has not as many rows as were stored there, it is to be stored again: `changed`.
-- Anything else has happened meanwhile: `lost`.
CREATE FUNCTION telemetry.drop_retired(number bigint, holder uuid, is_archived boolean, at bigint)
    RETURNS text
    LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    it telemetry.retired;
    there bigint;
BEGIN
    SELECT * INTO it FROM telemetry.retired WHERE id = number FOR UPDATE;
    IF it.claim IS DISTINCT FROM holder OR it.state NOT IN ('retired', 'stored')
            OR is_archived AND it.state <> 'stored' THEN
        RETURN 'lost';
    END IF;
    EXECUTE format('LOCK TABLE telemetry.%I IN ACCESS EXCLUSIVE MODE', it.relation);
    EXECUTE format('SELECT count(*) FROM telemetry.%I', it.relation) INTO there;
    IF is_archived AND there <> it.rows THEN
        RETURN 'changed';
    END IF;
    EXECUTE format('DROP TABLE telemetry.%I', it.relation);
    UPDATE telemetry.retired
    SET state = 'dropped', rows = there, dropped_at = at, claim = NULL, claimed_until = NULL
    WHERE id = number;
    RETURN 'dropped';
END $$;

-- As before, but while jobs archive, days are taken away from the histories and wait to be stored.
CREATE OR REPLACE FUNCTION telemetry.drop_session_days(
    ten_seconds_before integer, minutes_before integer
) RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    archives CONSTANT boolean := EXISTS (SELECT FROM telemetry.archiving);
    parent text;
    partition text;
    relation text;
    is_any boolean;
    turned integer := 0;
BEGIN
    FOR parent, partition IN
        SELECT p.relname, c.relname
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
            JOIN pg_class AS p ON p.oid = i.inhparent
        WHERE (i.inhparent = 'telemetry.session_10s'::regclass AND c.relname < 'session_10s_'
                || to_char(date '1970-01-01' + ten_seconds_before, 'YYYYMMDD'))
            OR (i.inhparent = 'telemetry.session_1m'::regclass AND c.relname < 'session_1m_'
                || to_char(date '1970-01-01' + minutes_before, 'YYYYMMDD'))
        ORDER BY c.relname
    LOOP
        BEGIN
            is_any := false;
            IF archives THEN
                EXECUTE format('SELECT EXISTS (SELECT FROM telemetry.%I)', partition) INTO is_any;
            END IF;
            IF is_any THEN
                EXECUTE format('ALTER TABLE telemetry.%I DETACH PARTITION telemetry.%I',
                               parent, partition);
                relation := telemetry.register_retired(parent,
                    to_date(right(partition, 8), 'YYYYMMDD') - date '1970-01-01', 'retired',
                    (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
                EXECUTE format('ALTER TABLE telemetry.%I RENAME TO %I', partition, relation);
            ELSE
                EXECUTE format('DROP TABLE telemetry.%I', partition);
            END IF;
            turned := turned + 1;
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN turned;
END $$;
