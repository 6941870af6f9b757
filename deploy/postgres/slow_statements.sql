-- The statements on which PostgreSQL spends the most time, of this database. Wants
-- shared_preload_libraries = 'pg_stat_statements' and, once in the database,
-- CREATE EXTENSION pg_stat_statements; PostgreSQL 13 or newer.
SELECT round(s.total_exec_time::numeric, 1) AS total_ms,
       s.calls,
       round(s.mean_exec_time::numeric, 3) AS mean_ms,
       round(s.max_exec_time::numeric, 3) AS max_ms,
       s.rows,
       round(100 * s.shared_blks_hit::numeric
             / greatest(s.shared_blks_hit + s.shared_blks_read, 1), 2) AS cache_hit_pct,
       s.wal_bytes,
       left(regexp_replace(s.query, '\s+', ' ', 'g'), 200) AS statement
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid AND d.datname = current_database()
ORDER BY s.total_exec_time DESC
LIMIT 20
