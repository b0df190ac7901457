"""A layer whose rows come from a query: one SELECT in a file beside the layer file, asked of a real database."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import shapely

from tileserver import catalog
from tileserver.catalog import Layer
from tileserver.cli import main
from tileserver.errors import ConfigError, StoreError
from tileserver.stores import State, open_store

LAYER = """
    title = "Visits"
    kind = "places"
    query = "visits.sql"
    [fields]
    visit = {{ role = "id", type = "integer" }}
    name = {{}}
    {more}
"""


class Town:
    """A schema with houses, their owners and visits, and a folder for the layer file."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.schema = f"test_{secrets.token_hex(4)}"
        self.run(
            f"""
            CREATE SCHEMA {self.schema};
            SET search_path = {self.schema}, public;
            CREATE TABLE houses (house int PRIMARY KEY, name varchar(40), place geometry(Point, 3857));
            CREATE TABLE visits (visit int PRIMARY KEY, house int REFERENCES houses, guest text);
            INSERT INTO houses
            VALUES (1, 'Oak; "Hall" -- not a comment', ST_Transform(ST_SetSRID(ST_Point(-92.3, 34.7), 4326), 3857));
            INSERT INTO visits VALUES (10, 1, 'private'), (11, 1, 'private');
            CREATE FUNCTION purge() RETURNS int LANGUAGE sql AS 'DELETE FROM {self.schema}.visits RETURNING visit';
            """
        )

    def run(self, sql: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.address)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        asyncio.run(run())

    def layer(self, sql: str, more: str = "") -> Layer:
        (self.folder / "visits.toml").write_text(LAYER.format(more=more))
        (self.folder / "visits.sql").write_text(sql.replace("{city}", self.schema))
        return catalog.load_layer(self.folder / "visits.toml")

    def read(self, sql: str, more: str = "") -> list[dict[str, Any]]:
        layer = self.layer(sql, more)
        with open_store(self.address) as store:
            return sorted((row for batch in store.read(layer) for row in batch.to_pylist()), key=lambda row: row["visit"])

    def refusal(self, sql: str, more: str = "") -> str:
        with pytest.raises(StoreError) as caught:
            self.read(sql, more)
        return str(caught.value)


@pytest.fixture
def town(postgres: str, tmp_path: Path) -> Iterator[Town]:
    town = Town(postgres, tmp_path)
    yield town
    town.run(f"DROP SCHEMA {town.schema} CASCADE")


JOIN = "SELECT visit, name, place AS geom, guest FROM {city}.visits JOIN {city}.houses USING (house)"


@pytest.mark.parametrize(
    "sql",
    [
        JOIN,
        f"{JOIN};",
        f"{JOIN} -- the last line",
        f"-- the first line\n{JOIN}; -- all of them;\n/* and; that is it */\n",
        f"WITH all_of_them AS ({JOIN}) SELECT * FROM all_of_them WHERE name LIKE 'Oak;%' AND name <> $$a;b$$ AND guest <> E'\\';'",
    ],
)
def test_a_query_gives_the_declared_columns_of_its_rows(town: Town, sql: str) -> None:
    first, second = town.read(sql)
    assert (first["visit"], second["visit"]) == (10, 11)
    assert first.keys() == {"visit", "name", "geometry"}
    assert first["name"] == 'Oak; "Hall" -- not a comment'
    assert shapely.from_wkb(first["geometry"]).distance(shapely.Point(-92.3, 34.7)) < 1e-9


def test_nothing_is_known_of_its_changes_and_nothing_can_be_published_into_it(town: Town) -> None:
    layer = town.layer(JOIN)
    with open_store(town.address) as store:
        assert store.state(layer) == State(0, None)
        with pytest.raises(StoreError, match=r"its rows come from the query visits\.sql; nothing can be published into it"):
            store.publish(layer, [])
        with pytest.raises(StoreError, match=r"the rows come from the query visits\.sql; delete the records in the tables"):
            store.forget(layer, [10])
    assert len(town.read(JOIN)) == 2


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("WITH gone AS (DELETE FROM {city}.visits RETURNING visit) SELECT visit, '' AS name FROM gone", "would change data"),
        ("SELECT {city}.purge() AS visit, '' AS name", "would change data"),
        ("SELECT nextval('{city}.counter')::int AS visit, '' AS name", "would change data"),
        ("SELECT visit, guest, guest FROM {city}.visits", "gives several columns of one name: guest"),
        ("SELECT visit FROM {city}.visits", "lacks columns that the layer declares: name; correct the layer file"),
        ("SELECT visit, nobody AS name FROM {city}.visits", "visits.sql: "),
        ("SELECT visit, name FROM {city}.visits) AS q; DROP TABLE {city}.visits; SELECT * FROM (SELECT 1", "visits.sql"),
    ],
)
def test_what_is_no_query_of_these_columns_is_refused_and_changes_nothing(town: Town, sql: str, why: str) -> None:
    town.run(f"CREATE SEQUENCE {town.schema}.counter")
    try:
        refusal = town.refusal(sql)
    except ConfigError as error:
        refusal = str(error)
    assert why in refusal
    assert "SELECT visit" not in refusal
    assert len(town.read(JOIN)) == 2


def test_a_query_may_take_only_so_long(town: Town) -> None:
    [row] = town.read("SELECT 1 AS visit, current_setting('statement_timeout') || current_setting('transaction_read_only') AS name")
    assert row["name"] == "2hon"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT visit, guest AS name FROM {city}.visits",
        "SELECT visit, guest AS name FROM {city}.seen",
        "SELECT visit, guest AS name FROM {city}.copied",
        "WITH v AS (SELECT * FROM {city}.seen) SELECT house AS visit, name FROM {city}.houses WHERE house IN (SELECT house FROM v)",
        "SELECT house AS visit, (SELECT max(guest) FROM {city}.visits) AS name FROM {city}.houses",
    ],
)
def test_no_table_with_row_security_is_read_by_any_way(town: Town, sql: str) -> None:
    town.run(
        f"""
        CREATE VIEW {town.schema}.seen AS SELECT * FROM {town.schema}.visits;
        CREATE MATERIALIZED VIEW {town.schema}.copied AS SELECT * FROM {town.schema}.visits;
        """
    )
    assert town.read(sql)
    town.run(f"ALTER TABLE {town.schema}.visits ENABLE ROW LEVEL SECURITY")
    assert f"visits.sql reads {town.schema}.visits, which has row-level security" in town.refusal(sql)


def test_row_security_of_a_partitioned_table_counts_for_its_partitions(town: Town) -> None:
    town.run(
        f"""
        CREATE TABLE {town.schema}.calls (visit int, name text) PARTITION BY RANGE (visit);
        CREATE TABLE {town.schema}.calls_1 PARTITION OF {town.schema}.calls FOR VALUES FROM (0) TO (100);
        INSERT INTO {town.schema}.calls VALUES (1, 'x');
        """
    )
    assert len(town.read("SELECT * FROM {city}.calls")) == 1
    town.run(f"ALTER TABLE {town.schema}.calls ENABLE ROW LEVEL SECURITY")
    assert f"reads {town.schema}.calls, which has" in town.refusal("SELECT * FROM {city}.calls")


def test_a_folder_cannot_be_asked_a_query(town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = town.layer(JOIN)
    places = ["--layers", str(tmp_path), "--snapshots", str(tmp_path / "snapshots")]
    with open_store(str(tmp_path / "data")) as store:
        for work in (lambda: store.state(layer), lambda: list(store.read(layer)), lambda: store.forget(layer, [1])):
            with pytest.raises(StoreError, match="a query is asked of a database"):
                work()
    (tmp_path / "rows.csv").write_text("visit,name,lon,lat\n1,a,-92,34\n")
    assert main(["ingest", "visits", str(tmp_path / "rows.csv"), "--store", str(tmp_path / "data"), *places]) == 1
    assert main(["ingest", "visits", str(tmp_path / "rows.csv"), "--store", town.address, *places]) == 1
    assert "nothing can be published into it" in capsys.readouterr().err
