-- What sessions and their links did, in steps of ten seconds and of a minute, for as long as
-- the gateway is told to keep them. Days are partitions, so that nothing is ever deleted.
CREATE SCHEMA IF NOT EXISTS telemetry;

CREATE TABLE telemetry.session_10s (
    session_id    text     NOT NULL,
    -- The number of a link; -1: the session as a whole.
    link          bigint   NOT NULL,
    -- The beginning of the step, Unix milliseconds of the node's clock.
    at            bigint   NOT NULL,
    -- Which process wrote it: a step that two took part in has a row of each, and a row that is
    -- written again changes nothing.
    part          bigint   NOT NULL,
    node_id       text     NOT NULL,
    -- Seconds that were seen, and those of them with a publisher (of a link: with data).
    samples       integer  NOT NULL,
    live_samples  integer  NOT NULL,
    bytes         bigint   NOT NULL,
    egress_bytes  bigint   NOT NULL,
    packets       bigint   NOT NULL,
    -- Seen missing; given up; sent again.
    lost          bigint   NOT NULL,
    dropped       bigint   NOT NULL,
    retransmitted bigint   NOT NULL,
    -- Means and the most, microseconds; null when nobody measured.
    rtt_us        integer,
    rtt_us_max    integer,
    jitter_us     integer,
    players_max   integer  NOT NULL,
    -- Of a link.
    carrier       text,
    link_type     text,
    PRIMARY KEY (session_id, link, at, part)
) PARTITION BY RANGE (at);

CREATE TABLE telemetry.session_1m (LIKE telemetry.session_10s INCLUDING ALL) PARTITION BY RANGE (at);

-- Makes the partitions of these days (since 1970, UTC) that are missing; says how many. Attaching
-- a table waits for nobody who reads or writes, as creating one in place would.
CREATE FUNCTION telemetry.make_session_days(first_day integer, last_day integer) RETURNS integer
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
            CONTINUE WHEN to_regclass('telemetry.' || partition) IS NOT NULL;
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

-- Drops the partitions of days before these; says how many. It does not wait for those who read
-- them: then it is done another time.
CREATE FUNCTION telemetry.drop_session_days(ten_seconds_before integer, minutes_before integer)
    RETURNS integer
    LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    partition text;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE (i.inhparent = 'telemetry.session_10s'::regclass AND c.relname < 'session_10s_'
                || to_char(date '1970-01-01' + ten_seconds_before, 'YYYYMMDD'))
            OR (i.inhparent = 'telemetry.session_1m'::regclass AND c.relname < 'session_1m_'
                || to_char(date '1970-01-01' + minutes_before, 'YYYYMMDD'))
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE telemetry.%I', partition);
            dropped := dropped + 1;
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN dropped;
END $$;
