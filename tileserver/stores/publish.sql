-- name: lock
-- Held to the end of the transaction: by the layer's publish, and for a moment by whoever makes our schema.
SELECT pg_advisory_xact_lock(hashtextextended('tileserver ' || $1, 0));

-- name: stay
-- What would end a transaction that waits, in the versions that have it.
SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout');

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1);

-- name: make_schema
CREATE SCHEMA {schema};

-- name: make_house
CREATE TABLE IF NOT EXISTS tileserver.layers (
    layer text PRIMARY KEY,
    revision bigint NOT NULL,
    published_at timestamptz NOT NULL
);

-- name: left_staging
-- Whoever holds the layer's lock is its only live publisher: any staging table of the layer is a dead one's, and goes if
-- it is this role's to drop.
SELECT relname
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'tileserver' AND relname ~ '^staging_[0-9a-f]{8}_' AND substr(relname, 18) = $1 AND pg_has_role(relowner, 'USAGE');

-- name: make_staging
CREATE UNLOGGED TABLE {staging} ("row number" bigint GENERATED ALWAYS AS IDENTITY, {definitions});

-- name: drop_staging
DROP TABLE IF EXISTS {staging};

-- name: analyze_staging
ANALYZE {staging} ({id});

-- name: make_table
CREATE TABLE {table} ({definitions});

-- name: make_key
ALTER TABLE {table} ADD PRIMARY KEY ({id});

-- name: add_column
ALTER TABLE {table} ADD COLUMN {definition};

-- name: drop_column
ALTER TABLE {table} DROP COLUMN {column};

-- name: make_index
CREATE INDEX ON {table} USING gist ({geometry});

-- name: has_rows
SELECT EXISTS (SELECT FROM {table});

-- name: spatial_indexes
-- Those that can be dropped and made again exactly: they serve nothing but look-ups, and are no part of another index.
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_am ON pg_am.oid = relam
LEFT JOIN pg_description ON objoid = indexrelid AND classoid = 'pg_class'::regclass
WHERE indrelid = $1::regclass AND amname = 'gist' AND relkind = 'i' AND NOT relispartition AND reltablespace = 0
  AND NOT indisexclusion AND NOT indisclustered AND description IS NULL;

-- name: lock_empty
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT;

-- name: drop_index
DROP INDEX {index};

-- name: has_repeated
-- Sorted hashes tell it soonest, whatever the type and the collation; two ids of one hash cost only a look for what is not there.
SELECT count(*) > count(DISTINCT hashtextextended({id}::text, 0)) FROM {staging};

-- name: supersede
-- Of the rows with one id the last one given counts.
DELETE FROM {staging} AS given
USING (SELECT {id}, max("row number") AS last FROM {staging} GROUP BY {id} HAVING count(*) > 1) AS repeated
WHERE given.{id} = repeated.{id} AND given."row number" < repeated.last;

-- name: update
-- Rows that are held as given are not touched: no new row version, no lock, nothing for triggers to see.
UPDATE {table} AS old SET ({columns}) = ROW ({given_columns})
FROM {staging} AS given
WHERE old.{id} = given.{id}
  AND ROW ({given_fields}, ST_AsBinary(given.{geometry})) IS DISTINCT FROM ROW ({old_fields}, ST_AsBinary(old.{geometry}));

-- name: insert
-- A plain INSERT takes half the time of one that is prepared for conflicts.
INSERT INTO {table} ({columns})
SELECT {given_columns}
FROM {staging} AS given
WHERE NOT EXISTS (SELECT FROM {table} AS old WHERE old.{id} = given.{id});

-- name: upsert
-- What is left to update and to insert, also where others insert the same ids meanwhile.
INSERT INTO {table} AS held ({columns})
SELECT {given_columns}
FROM {staging} AS given LEFT JOIN {table} AS old ON old.{id} = given.{id}
WHERE old.{id} IS NULL
   OR ROW ({given_fields}, ST_AsBinary(given.{geometry})) IS DISTINCT FROM ROW ({old_fields}, ST_AsBinary(old.{geometry}))
ON CONFLICT ({id}) DO UPDATE SET ({columns}) = ROW ({excluded_columns});

-- name: remove
DELETE FROM {table} AS held
WHERE NOT EXISTS (SELECT FROM {staging} AS given WHERE given.{id} = held.{id});

-- name: forget
DELETE FROM {table} WHERE {id} = ANY ($1::{kind}[]) RETURNING {id};

-- name: forgotten
UPDATE tileserver.layers SET revision = revision + 1 WHERE layer = $1;

-- name: revise
INSERT INTO tileserver.layers AS held (layer, revision, published_at)
VALUES ($1, 1, clock_timestamp())
ON CONFLICT (layer) DO UPDATE SET revision = held.revision + $2::int, published_at = excluded.published_at
RETURNING revision, published_at;
