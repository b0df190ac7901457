-- name: session
-- The limits of one transaction, bound to it so that they hold, and leave nothing behind, behind a connection pooler too
-- (poolers know application_name). PostGIS may live in a schema of its own, which not every role has in its search path.
SELECT set_config('application_name', 'tileserver', false),
       set_config('statement_timeout', $1, true),
       set_config('lock_timeout', $2, true),
       set_config('transaction_read_only', CASE $3 WHEN 'read' THEN 'on' ELSE current_setting('transaction_read_only') END, true),
       set_config('jit', 'off', true),
       set_config('TimeZone', 'UTC', true),
       set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), (
           SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'postgis'
       )), true);

-- name: relation
-- What a table or view is. Row security counts wherever a view finds it: what a reader may see then depends on the reader.
WITH RECURSIVE relation AS (
    SELECT pg_class.oid, relkind, relnamespace
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = $1 AND relname = $2 AND relkind IN ('r', 'p', 'v', 'm', 'f')
), source (oid) AS (
    SELECT oid FROM relation
    UNION
    SELECT refobjid
    FROM source
    JOIN pg_rewrite ON ev_class = source.oid
    JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
)
SELECT oid,
       relkind IN ('r', 'p') AS is_table,
       has_schema_privilege(relnamespace, 'USAGE') AS is_reachable,
       EXISTS (SELECT FROM source JOIN pg_class USING (oid) WHERE relrowsecurity) AS has_row_security
FROM relation;

-- name: secured
-- Which of the tables that a query's plan names have row security, themselves, as partitions of others, or as copies of others
-- in a materialized view. (A plan names what is behind views.)
WITH RECURSIVE source (oid) AS (
    SELECT pg_class.oid
    FROM unnest($1::text[], $2::text[]) AS named (schema, name)
    JOIN pg_namespace ON nspname = named.schema
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = named.name
    UNION
    SELECT found.oid
    FROM source, LATERAL (
        SELECT inhparent AS oid FROM pg_inherits WHERE inhrelid = source.oid
        UNION ALL
        SELECT refobjid
        FROM pg_rewrite
        JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
        WHERE ev_class = source.oid
    ) AS found
)
SELECT nspname || '.' || relname AS name
FROM source JOIN pg_class USING (oid) JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relrowsecurity
ORDER BY 1;

-- name: columns
-- A key is a unique index of this column alone that an upsert can rely on.
SELECT attname AS name,
       format_type(atttypid, atttypmod) AS type,
       coalesce(base.typname, own.typname) AS base,
       has_column_privilege(attrelid, attnum, 'SELECT') AS is_readable,
       coalesce(bool_or(indisprimary), false) AS is_primary,
       count(indexrelid) > 0 AS is_key
FROM pg_attribute
JOIN pg_type AS own ON own.oid = atttypid
LEFT JOIN pg_type AS base ON base.oid = own.typbasetype
LEFT JOIN pg_index ON indrelid = attrelid AND indkey[0] = attnum AND indnkeyatts = 1
                  AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL
WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
GROUP BY attrelid, attnum, attname, atttypid, atttypmod, own.typname, base.typname
ORDER BY attnum;

-- name: presence
-- Is the layer's table here, is our own schema, and may this role read there which revision each layer has?
SELECT EXISTS (
           SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
           WHERE nspname = $1 AND relname = $2 AND relkind IN ('r', 'p', 'v', 'm', 'f')
       ) AS has_table,
       house.oid IS NOT NULL AS has_house,
       coalesce(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(house.oid, 'SELECT'), false) AS is_readable
FROM (SELECT) AS always
LEFT JOIN (
    SELECT pg_class.oid, relnamespace
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'tileserver' AND relname = 'layers'
) AS house ON true;

-- name: state
SELECT revision, published_at FROM tileserver.layers WHERE layer = $1;

-- name: subquery
-- The last line of a query may be a comment.
({query}
) AS query;

-- name: probe
SELECT * FROM {table} LIMIT 0;

-- name: plan
EXPLAIN (FORMAT JSON, VERBOSE) SELECT * FROM {table};

-- name: read
SELECT {columns} FROM {table};

-- name: spatial_reference
SELECT auth_name, auth_srid, srtext FROM spatial_ref_sys WHERE srid = $1;
