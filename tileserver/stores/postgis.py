"""The store of a real city: tables in PostGIS, ours or those that others fill. asyncpg and ADBC have their one door here.

Rows go in by binary COPY into a staging table and from there, in one transaction, into the layer's own. They come out by one
binary COPY, which is one moment of the table. The class is for batch processes: it blocks, and runs in no event loop.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import adbc_driver_postgresql.dbapi as adbc
import asyncpg
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import ForeignRows, StoreError
from tileserver.stores import geometry
from tileserver.stores.look import Look, look
from tileserver.stores.rows import clean, cleaned
from tileserver.stores.sql import listed, quoted, statements
from tileserver.stores.store import Id, Published, State
from tileserver.stores.table import Column, Table, definitions, geometry_column, missing, outdated, selection
from tileserver.times import NO_TIME, from_wall

SMALL = 30
"""Seconds that a look at the catalog may take."""
BULK = 2 * 3600
"""Seconds that one statement of a publish, or the whole of a read, may take."""
LOCK_WAIT = 10
"""Seconds to wait for a lock, of a table or of another publish of the same layer."""
CONNECT_WAIT = 10

T = TypeVar("T")
Access = Literal["read", "write"]
_SQL = statements("tables.sql") | statements("publish.sql")
_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError, ConnectionError)
_REASONS = {
    "08": "the connection was lost",
    "25006": "it would change data, and may only read",
    "22": "a value does not fit the type of its column",
    "23": "a constraint of the table forbids one of the rows",
    "28": "the user or the password is wrong, or the user may not connect from here",
    "3D": "there is no such database",
    "40": "another transaction was in the way; try again",
    "42501": "the role lacks a right that this needs",
    "42704": "PostGIS is missing; a superuser brings it in with CREATE EXTENSION postgis",
    "42883": "PostGIS is missing; a superuser brings it in with CREATE EXTENSION postgis",
    "53": "the server is short of connections, memory or disk space",
    "55P03": "another session holds a lock on the table; try again",
    "57014": "it took longer than is allowed",
    "57P01": "the connection was ended by the server",
    "57": "the server is starting or stopping; try again",
}
"""What an SQLSTATE, or its class, means to who reads it (PostgreSQL's documentation, appendix A)."""


class PostgisStore:
    """The store in the database at `address`, `postgresql://…`; connects when it is first asked."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._place = _shown(address)
        self._runner = asyncio.Runner()
        self._connection: Any = None
        self._projections: dict[int, geometry.Projection | None] = {4326: None}

    def __repr__(self) -> str:
        return f"PostgisStore({self._place!r})"

    def publish(self, layer: Layer, batches: Iterable[pa.RecordBatch], *, replace: bool = False) -> Published:
        if layer.sql:
            raise StoreError(f"layer {layer.id}: its rows come from the query {layer.query}; nothing can be published into it")
        staging = f"staging_{secrets.token_hex(4)}_{layer.id[:46]}"
        self._ask(lambda connection: _make_room(connection, layer), "write")
        try:
            with self._locked(layer) as connection:
                table = self._run(_describe(connection, layer))
                state = self._run(_state(connection, layer))
                ours = state is not None and state.published_at is not None
                renewed = outdated(layer, table) if table and replace and ours else []
                lacking = missing(layer, table, renewed) if table else None
                given = self._load(layer, staging, self._run(_left_staging(connection, layer)), batches)
                for name in renewed:
                    drop = _SQL["drop_column"].format(table=quoted(*layer.table_name), column=quoted(name))
                    self._run(connection.execute(drop, timeout=BULK))
                return self._run(_merge(connection, layer, lacking, staging, given, replace=replace))
        except BaseException:
            with suppress(StoreError):
                self._ask(lambda connection: connection.execute(_drop(staging)), "write")
            raise

    def read(self, layer: Layer) -> Iterator[pa.RecordBatch]:
        table = self._ask(lambda connection: (_describe_query if layer.sql else _describe)(connection, layer))
        if table is None:
            name = ".".join(layer.table_name)
            raise StoreError(f"layer {layer.id}: {self._place} has no table {name}; correct the layer file, or ingest the layer")
        source = _SQL["subquery"].format(query=layer.sql) if layer.sql else quoted(*table.name)
        query = _SQL["read"].format(columns=selection(layer, table), table=source)
        with self._bulk() as bulk, bulk.cursor() as cursor:
            with self._explained():
                _limit(cursor, "read")
                cursor.execute(query)
                reader = cursor.fetch_record_batch()
            while (batch := self._next(reader)) is not None:
                yield self._rows(layer, batch)

    def look(self, layer: Layer, most: int) -> Look | None:
        """At the first `most` rows of the layer's table, whatever it declares of it; None if there is no such table.

        Raises:
            StoreError: the table cannot be read, or its rows are not for every reader.
        """
        table = self._ask(lambda connection: _describe(connection, layer))
        if table is None:
            return None
        geometry = geometry_column(layer, table)
        seen = self._ask(lambda connection: look(connection, table, geometry, most))
        return replace(seen, wkb=self._lonlat(layer, seen.wkb, seen.srids))

    def columns(self, layer: Layer) -> frozenset[str]:
        table = self._ask(lambda connection: _describe(connection, layer))
        return frozenset(table.columns if table else ())

    def forget(self, layer: Layer, ids: Sequence[Id]) -> set[Id]:
        self._ask(lambda connection: _own(connection, layer))
        with self._locked(layer) as connection:
            return self._run(_forget(connection, layer, ids))

    def expire(self, layer: Layer, before: datetime) -> None:
        """Nothing that was replaced is kept here, but for what the database's own cleaning has yet to do."""

    def state(self, layer: Layer) -> State | None:
        if layer.sql:
            return State(0, None)
        return self._ask(lambda connection: _state(connection, layer))

    def close(self) -> None:
        if self._connection is not None:
            with suppress(*_LOST, TimeoutError):
                self._runner.run(self._connection.close(timeout=CONNECT_WAIT))
            self._connection = None
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, work: Callable[[Any], Awaitable[T]], access: Access = "read") -> T:
        """A short transaction; once more on a new connection where the kept one turns out to be lost."""
        try:
            return self._run(self._short(work, access), expected=_LOST)
        except _LOST:
            self._connection = None
            return self._run(self._short(work, access))

    async def _short(self, work: Callable[[Any], Awaitable[T]], access: Access) -> T:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        async with self._connection.transaction():
            await self._connection.fetch(_SQL["session"], *_limits(SMALL, access))
            return await work(self._connection)

    async def _connect(self) -> Any:
        # No statement cache: poolers hand each transaction to another connection, and tables change under us.
        try:
            return await asyncpg.connect(self._address, timeout=CONNECT_WAIT, command_timeout=SMALL + 5, statement_cache_size=0)
        except (ValueError, OverflowError):  # a port that is no number, or too large
            raise StoreError(
                f"{self._place}: the address is not of the form postgresql://user:password@host:port/database"
            ) from None

    def _run(self, work: Coroutine[Any, Any, T], expected: tuple[type[Exception], ...] = ()) -> T:
        with self._explained(expected):
            return self._runner.run(work)

    @contextmanager
    def _explained(self, expected: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Database errors as sentences. Their own texts can hold SQL and values of rows, so they go no further."""
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, adbc.Error, pa.ArrowException, OSError) as error:
            if isinstance(error, expected):
                raise
            raise StoreError(f"{self._place}: {_reason(error)}") from None

    @contextmanager
    def _locked(self, layer: Layer) -> Iterator[Any]:
        """A connection in a transaction that holds the layer's publish lock and, until it writes, nothing that others wait for."""
        connection = self._run(self._connect())
        try:
            transaction = connection.transaction()
            self._run(transaction.start())
            self._run(_lock(connection, layer))
            yield connection
            self._run(transaction.commit())
        finally:
            with suppress(StoreError):  # without a commit the server rolls back
                self._run(connection.close(timeout=CONNECT_WAIT))

    @contextmanager
    def _bulk(self) -> Iterator[adbc.Connection]:
        with self._explained():
            connection = adbc.connect(self._address)
        try:
            yield connection
        finally:
            connection.close()

    def _next(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        with self._explained():
            return next(reader, None)

    @contextmanager
    def _step(self, bulk: adbc.Connection) -> Iterator[adbc.Cursor]:
        """One writing transaction of a bulk connection."""
        with self._explained(), bulk.cursor() as cursor:
            _limit(cursor, "write")
            yield cursor
            bulk.commit()

    def _load(self, layer: Layer, staging: str, left: list[str], batches: Iterable[pa.RecordBatch]) -> int:
        """COPY the batches into a new staging table, each in a transaction of its own; the number of rows.

        While one goes in, the next one is read.
        """
        given = 0
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in definitions(layer).items())
        with self._bulk() as bulk, ThreadPoolExecutor(1) as loader:
            with self._step(bulk) as cursor:
                for name in left:
                    cursor.execute(_drop(name))
                cursor.execute(_SQL["make_staging"].format(staging=quoted("tileserver", staging), definitions=columns))
            loading: Future[None] | None = None
            for batch in batches:
                rows = clean(layer, batch)
                if loading:
                    loading.result()
                loading = loader.submit(self._append, bulk, staging, rows)
                given += len(rows)
            if loading:
                loading.result()
        return given

    def _append(self, bulk: adbc.Connection, staging: str, rows: pa.RecordBatch) -> None:
        # PostGIS takes plain WKB for a geometry in binary COPY and gives it the SRID of its column.
        with self._step(bulk) as cursor:
            cursor.adbc_ingest(staging, rows, mode="append", db_schema_name="tileserver")

    def _rows(self, layer: Layer, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of what `selection` selects as a batch of the layer."""
        *columns, wkb, srids = batch.columns
        columns = [_instants(layer, column) if pa.types.is_timestamp(column.type) else column for column in columns]
        return cleaned(layer, [*columns, self._lonlat(layer, wkb, srids)])

    def _lonlat(self, layer: Layer, wkb: pa.Array, srids: pa.Array) -> pa.Array:
        """Geometries in the reference systems that `srids` name, each row its own, as plain ones in longitude and latitude."""
        result = pa.nulls(len(wkb), pa.binary())
        found = pc.unique(srids.drop_null()).to_pylist()
        if len(found) == 1:  # as in nearly all tables; a row without geometry has no SRID either
            return geometry.plain(wkb, points=layer.is_points, project=self._projection(layer, found[0]))[0]
        for srid in found:
            some = pc.if_else(pc.equal(srids, srid), wkb, pa.scalar(None, pa.binary()))
            result = pc.coalesce(result, geometry.plain(some, points=layer.is_points, project=self._projection(layer, srid))[0])
        return result

    def _projection(self, layer: Layer, srid: int) -> geometry.Projection | None:
        if srid == 0:
            raise StoreError(
                f"layer {layer.id}: geometries of {layer.query or '.'.join(layer.table_name)} do not say their reference system "
                "(SRID 0); give them the one they were surveyed in, with PostGIS's UpdateGeometrySRID or, in a query, ST_SetSRID"
            )
        if srid not in self._projections:
            entry = self._ask(lambda connection: connection.fetchrow(_SQL["spatial_reference"], srid))
            projection = geometry.projection(entry["auth_name"], entry["auth_srid"], entry["srtext"]) if entry else None
            if projection is None:
                raise StoreError(f"layer {layer.id}: spatial_ref_sys does not say, or not well, what the SRID {srid} stands for")
            self._projections[srid] = projection
        return self._projections[srid]


async def _describe(connection: Any, layer: Layer) -> Table | None:
    relation = await connection.fetchrow(_SQL["relation"], *layer.table_name)
    if relation is None:
        return None
    name = ".".join(layer.table_name)
    if not relation["is_reachable"]:
        raise StoreError(f"layer {layer.id}: this role may not look into the schema of {name}; grant it USAGE")
    if relation["has_row_security"]:
        raise StoreError(
            f"layer {layer.id}: {name} has row-level security, so its rows are not for every reader and are not copied"
        )
    columns = [Column(**dict(column)) for column in await connection.fetch(_SQL["columns"], relation["oid"])]
    return Table(layer.table_name, relation["is_table"], {column.name: column for column in columns})


async def _describe_query(connection: Any, layer: Layer) -> Table:
    """What the layer's query gives."""
    query = _SQL["subquery"].format(query=layer.sql)
    try:
        prepared = await connection.prepare(_SQL["probe"].format(table=query))
        [[plan]] = await connection.fetch(_SQL["plan"].format(table=query))
    except asyncpg.FeatureNotSupportedError:
        raise StoreError(f"layer {layer.id}: {layer.query} would change data; a query only reads") from None
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
        raise StoreError(f"layer {layer.id}: {layer.query}: {_reason(error)}") from None
    relations = sorted(_relations(orjson.loads(plan)))
    secured = await connection.fetch(_SQL["secured"], [schema for schema, _ in relations], [name for _, name in relations])
    if secured:
        names = ", ".join(row["name"] for row in secured)
        raise StoreError(
            f"layer {layer.id}: {layer.query} reads {names}, which has row-level security, so its rows are not for every reader "
            "and are not copied"
        )
    columns = prepared.get_attributes()
    repeated = sorted(name for name, count in Counter(column.name for column in columns).items() if count > 1)
    if repeated:
        raise StoreError(f"layer {layer.id}: {layer.query} gives several columns of one name: {', '.join(repeated)}")
    known = {c.name: Column(c.name, c.type.name, c.type.name, is_readable=True, is_primary=False, is_key=False) for c in columns}
    return Table(("", str(layer.query)), is_table=False, columns=known)


def _relations(plan: Any) -> set[tuple[str, str]]:
    """(schema, name) of every table that a plan (EXPLAIN's JSON) names, at any depth."""
    if isinstance(plan, list):
        return set().union(*map(_relations, plan))
    if not isinstance(plan, dict):
        return set()
    own = {(plan["Schema"], plan["Relation Name"])} if "Schema" in plan and "Relation Name" in plan else set()
    return own.union(*map(_relations, plan.values()))


async def _own(connection: Any, layer: Layer) -> None:
    """Raises ForeignRows unless our publishes fill the layer's table, or there is none."""
    if layer.sql:
        raise ForeignRows(f"the rows come from the query {layer.query}; delete the records in the tables that it reads")
    state = await _state(connection, layer)
    if state is not None and state.published_at is None:
        raise ForeignRows(f"the table {'.'.join(layer.table_name)} is filled by others; delete the records there")


async def _forget(connection: Any, layer: Layer, ids: Sequence[Id]) -> set[Id]:
    for staging in await _left_staging(connection, layer):
        await connection.execute(_drop(staging))
    if await _state(connection, layer) is None:
        return set()
    kind = definitions(layer)[layer.id_name]
    statement = _SQL["forget"].format(table=quoted(*layer.table_name), id=quoted(layer.id_name), kind=kind)
    removed = {row[0] for row in await connection.fetch(statement, ids, timeout=BULK)}
    if removed:
        await connection.execute(_SQL["forgotten"], layer.id)
    return removed


async def _state(connection: Any, layer: Layer) -> State | None:
    presence = await connection.fetchrow(_SQL["presence"], *layer.table_name)
    if not presence["has_table"]:
        return None
    ours = await connection.fetchrow(_SQL["state"], layer.id) if presence["is_readable"] else None
    return State(ours["revision"], ours["published_at"]) if ours else State(0, None)


async def _make_room(connection: Any, layer: Layer) -> None:
    """The schemas of the layer and of our own, for good: they hold nothing yet."""
    await connection.execute(_SQL["lock"], "")
    for schema in ("tileserver", layer.table_name[0]):
        if not await connection.fetchval(_SQL["has_schema"], schema):
            await connection.execute(_SQL["make_schema"].format(schema=quoted(schema)))
    if not (await connection.fetchrow(_SQL["presence"], *layer.table_name))["has_house"]:
        await connection.execute(_SQL["make_house"])


async def _lock(connection: Any, layer: Layer) -> None:
    await connection.fetch(_SQL["session"], *_limits(BULK, "write"))
    # The transaction waits while files are read, for as long as that takes.
    await connection.fetch(_SQL["stay"])
    try:
        await connection.execute(_SQL["lock"], layer.id)
    except asyncpg.LockNotAvailableError:
        raise StoreError(f"layer {layer.id} is being published by another process; try again later") from None


async def _left_staging(connection: Any, layer: Layer) -> list[str]:
    return [row["relname"] for row in await connection.fetch(_SQL["left_staging"], layer.id[:46])]


async def _merge(connection: Any, layer: Layer, lacking: list[str] | None, staging: str, given: int, *, replace: bool) -> Published:
    """From the staging table into the layer's own, which is made, or gets the columns it is lacking."""
    names = _names(layer, staging)
    types = {name: f"{quoted(name)} {kind}" for name, kind in definitions(layer).items()}

    async def execute(statement: str, **more: str) -> int:
        status = await connection.execute(_SQL[statement].format(**names, **more), timeout=BULK)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    if lacking is None:
        await execute("make_table", definitions=", ".join(types.values()))
    for name in lacking or ():
        await execute("add_column", definition=types[name])
    waiting = await _drop_indexes(connection, names) if given and lacking is not None else []
    await execute("analyze_staging")
    repeated = await connection.fetchval(_SQL["has_repeated"].format(**names), timeout=BULK)
    superseded = await execute("supersede") if repeated else 0
    published = await execute("update")
    try:
        async with connection.transaction():
            published += await execute("insert")
    except asyncpg.UniqueViolationError:
        # Somebody else has just brought in a row with one of these ids, or another column must be unique too.
        published += await execute("upsert")
    removed = await execute("remove") if replace else 0
    # Indexes of all rows at once are made much faster than row by row.
    if lacking is None:
        await execute("make_key")
    if lacking is None or GEOMETRY in lacking:
        await execute("make_index")
    for definition in waiting:
        await connection.execute(definition, timeout=BULK)
    moved = lacking is None or published + removed > 0
    state = State(*await connection.fetchrow(_SQL["revise"], layer.id, int(moved)))
    await execute("drop_staging")
    return Published(published, given - superseded - published, superseded, removed, state)


async def _drop_indexes(connection: Any, names: dict[str, str]) -> list[str]:
    """The statements that make the spatial indexes of an empty table anew, which are dropped; none of a table with rows.

    Whoever reads the empty table waits until its rows are there. Where somebody just does, or the table is not this role's,
    its indexes stay.
    """
    if await connection.fetchval(_SQL["has_rows"].format(**names)):
        return []
    indexes = await connection.fetch(_SQL["spatial_indexes"], names["table"])
    try:
        async with connection.transaction():
            await connection.execute(_SQL["lock_empty"].format(**names))
            for index in indexes:
                await connection.execute(_SQL["drop_index"].format(index=index["name"]))
    except (asyncpg.LockNotAvailableError, asyncpg.InsufficientPrivilegeError):
        return []
    return [index["definition"] for index in indexes]


def _names(layer: Layer, staging: str) -> dict[str, str]:
    """What the statements of a merge are filled in with."""
    columns = layer.schema.names
    fields = [name for name in columns if name != GEOMETRY]
    return {
        "table": quoted(*layer.table_name),
        "staging": quoted("tileserver", staging),
        "id": quoted(layer.id_name),
        "geometry": quoted(GEOMETRY),
        "columns": listed(columns),
        "given_columns": listed(columns, "given"),
        "excluded_columns": listed(columns, "excluded"),
        "given_fields": listed(fields, "given"),
        "old_fields": listed(fields, "old"),
    }


def _drop(staging: str) -> str:
    return _SQL["drop_staging"].format(staging=quoted("tileserver", staging))


def _limit(cursor: adbc.Cursor, access: Access) -> None:
    cursor.execute(_SQL["session"], _limits(BULK, access))
    cursor.fetchall()


def _limits(seconds: int, access: Access) -> tuple[str, str, str]:
    return f"{seconds}s", f"{LOCK_WAIT}s", access


def _instants(layer: Layer, column: pa.Array) -> pa.Array:
    """Times as instants; those without zone are what a clock in the layer's zone showed."""
    if column.type.tz:
        return column.cast(pa.timestamp("us", tz="UTC"))
    instants = from_wall(pc.fill_null(column.cast(pa.int64()), NO_TIME).to_numpy(), layer.zone)
    return pa.array(instants, mask=instants == NO_TIME).cast(pa.timestamp("us", tz="UTC"))


def _reason(error: Exception) -> str:
    state: str | None = getattr(error, "sqlstate", None)
    if state:
        known = _REASONS.get(state) or _REASONS.get(state[:2]) or "the database refused it"
        where = [f"{kind} {name}" for kind in ("table", "column", "constraint") if (name := getattr(error, f"{kind}_name", None))]
        return f"{known} ({', '.join([*where, f'SQLSTATE {state}'])})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be reached: {error.strerror or 'unknown host'}"
    return "the connection was lost, or what was asked took too long, would change data, or does not fit the declared types"


def _shown(address: str) -> str:
    """The address without user and password, and without parameters, which can hold them too."""
    place = address.partition("://")[2].rpartition("@")[2].partition("?")[0]
    return f"postgresql://{place}" if re.fullmatch(r"[\w.:,%/\[\]-]*", place) else "postgresql://…"
