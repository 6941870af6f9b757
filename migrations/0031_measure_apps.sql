-- Whether what an app's clients measure counts for the service level indicators: nobody's does
-- unless an operator said so, since anybody who has an app's secret can claim anything.
ALTER TABLE telemetry.apps ADD COLUMN counts_for_slis boolean NOT NULL DEFAULT false;

-- How the tables of events are: how much of each is dead, when it was vacuumed and analyzed, how
-- large it is, and how far its oldest row is from the end of the transaction numbers.
CREATE VIEW telemetry.table_health AS
SELECT t.relname AS table_name,
       t.n_live_tup AS live_rows,
       t.n_dead_tup AS dead_rows,
       round(t.n_dead_tup::numeric / greatest(t.n_live_tup + t.n_dead_tup, 1), 4) AS dead_ratio,
       greatest(t.last_vacuum, t.last_autovacuum) AS vacuumed_at,
       greatest(t.last_analyze, t.last_autoanalyze) AS analyzed_at,
       pg_total_relation_size(t.relid) AS total_bytes,
       pg_indexes_size(t.relid) AS index_bytes,
       age(c.relfrozenxid) AS frozen_age
FROM pg_stat_user_tables AS t JOIN pg_class AS c ON c.oid = t.relid
WHERE t.schemaname = 'telemetry';
