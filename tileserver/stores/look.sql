-- name: comments
-- What was written about a table and its columns, by COMMENT ON. The table's own has no column.
SELECT NULL AS name, obj_description($1::regclass, 'pg_class') AS comment
UNION ALL
SELECT attname, col_description(attrelid, attnum)
FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped;

-- name: some_rows
SELECT {columns} FROM {table} LIMIT {most};
