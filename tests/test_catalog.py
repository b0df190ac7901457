"""Layer files become frozen objects; what is wrong is told with file and key."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tileserver import catalog
from tileserver.errors import ConfigError

CONTRACT = Path(__file__).parents[1].parent / "shared" / "CONTRACT.md"

MINIMAL = 'title = "Trees"\nkind = "places"\n'


def written(folder: Path, text: str, name: str = "trees.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_the_documented_example_loads_unchanged(tmp_path: Path) -> None:
    documented = Path(__file__).parents[1] / "layers" / "README.md"
    example = documented.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    layer = catalog.load_layer(written(tmp_path, example, "police_incidents.toml"))
    assert layer.time_field is not None
    assert [field.name for field in layer.categories] == ["offense"]
    assert layer.table_name == ("city", "police_incidents")
    if CONTRACT.exists():
        assert CONTRACT.read_text("utf-8").split("```toml\n")[1].split("```")[0] == example
    else:
        print("The contract is not beside this checkout; only the copy of its example in layers/README.md was loaded.")


def test_a_layer_is_frozen(tmp_path: Path) -> None:
    layer = catalog.load_layer(written(tmp_path, MINIMAL))
    with pytest.raises(ValidationError):
        setattr(layer, "title", "Shrubs")  # noqa: B010 - what mypy would refuse
    assert layer.id == "trees"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MINIMAL + "colour = 1", "trees.toml: colour: unknown key"),
        ('kind = "places"', "trees.toml: title: this key is needed"),
        (MINIMAL + 'follow = "trigger"', 'trees.toml: follow: "trigger" cannot act yet'),
        (MINIMAL + 'function = "f"', "trees.toml: function: this key cannot act yet"),
        (MINIMAL + 'raster = "/vsicurl/http://a/b.tif"', "trees.toml: raster: must be the name of a file on this machine"),
        (MINIMAL + 'query = "gone.sql"', "gone.sql cannot be read"),
        (MINIMAL + 'sql = "SELECT 1"', "trees.toml: sql: unknown key"),
        (MINIMAL + "[translations.spanish]", "trees.toml: translations.spanish: a language is named by its tag, such as es"),
        (MINIMAL + '[privacy]\nsnap_meters = "100"', "trees.toml: privacy.snap_meters: Input should be a valid number"),
        (MINIMAL + "min_count = 5", 'trees.toml: min_count: needs publish = "counts"'),
        (MINIMAL + "[fields]\na = { breaks = [1] }", "trees.toml: fields.a: a field with breaks has type"),
        (MINIMAL + "[fields]\na = { type = 'number', breaks = [2, 1] }", "trees.toml: fields.a.breaks: must be one to six numbers"),
        (MINIMAL + "[fields]\na = { type = 'integer', per = 1000 }", 'trees.toml: fields.a.per: only a layer of kind "areas"'),
        (MINIMAL + "[fields]\na = { labels = { x = 'X' } }", "trees.toml: fields.a: labels and descriptions of values"),
        (MINIMAL + "[ingest]\nx = 'X'\ny = 'Y'\ngeometry = 'g'", "trees.toml: ingest.geometry: a position is in x and y"),
        (MINIMAL + "[ingest.join]\nlayer = 'b'\nby = 'a'", "trees.toml: ingest.join.layer: there is no other layer b"),
        (MINIMAL + "[translations.es.fields.a]\ntitle = 'A'", "trees.toml: translations.es.fields.a: not a field"),
        (MINIMAL + 'timezone = "Mars/Olympus"', "trees.toml: timezone: "),
        (MINIMAL + "[fields]\na = { role = 'time', type = 'text' }", 'trees.toml: fields.a: a field with role = "time"'),
        (MINIMAL + "[fields]\nid = { }", "trees.toml: fields.id: this name is taken"),
        (MINIMAL + "[fields]\nsum_x = { }", "trees.toml: fields.sum_x: this name is taken"),
        (MINIMAL + "[privacy]\ninclude = { kind = ['a'] }", "trees.toml: privacy.include.kind: not a category"),
        (MINIMAL + "[ingest]\nx = 'X'", "trees.toml: ingest: x and y are given together"),
        (MINIMAL + "[ingest]\nencoding = 'klingon'", 'trees.toml: ingest.encoding: "klingon" is not a known encoding'),
        (MINIMAL + "[ingest]\nencoding = 'base64'", "trees.toml: ingest.encoding: "),
        (MINIMAL + "[ingest]\ndates = ['%m/%d/%Y', '%Q']", 'trees.toml: ingest.dates.1: "%Q" is not a format of dates'),
        (MINIMAL + "[ingest]\ndates = ['%Y %Y']", 'trees.toml: ingest.dates.0: "%Y %Y" is not a format of dates'),
        (MINIMAL + "[privacy]\nsnap_meters = 0.001", "trees.toml: privacy.snap_meters: "),
        (MINIMAL + "[ingest]\nrename = { A = 'a' }", "trees.toml: ingest.rename.A: a is not a field"),
        ('title = "T"\nkind = "events"', 'trees.toml: fields: a layer of kind "events" has a field'),
        (MINIMAL + "bounds = [1, 2, 0, 3]", "trees.toml: bounds: must be"),
        ("title = ", "trees.toml: not valid TOML"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        catalog.load(tmp_path)
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_every_wrong_file_is_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, "a = 1", "one.toml")
    written(tmp_path, MINIMAL, "Two Words.toml")
    with pytest.raises(ConfigError) as caught:
        catalog.load(tmp_path)
    assert "one.toml" in str(caught.value)
    assert "Two Words.toml: a layer's id is its file's name" in str(caught.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder of layer files"):
        catalog.load(tmp_path / "nowhere")


def test_a_raster_stands_beside_the_layers_of_rows(tmp_path: Path) -> None:
    written(tmp_path, 'title = "Elevation"\nraster = "elevation.tif"\nunit = "m"', "elevation.toml")
    written(tmp_path, MINIMAL)
    known = catalog.load(tmp_path)
    assert list(known) == ["trees"]
    assert known.rasters["elevation"].unit == "m"
    with pytest.raises(ConfigError, match="is a raster, which has no rows"):
        catalog.load_layer(tmp_path / "elevation.toml")


def test_a_query_is_the_text_of_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "trees.sql").write_text("-- all of them\nSELECT * FROM trees;\n")
    written(tmp_path, MINIMAL + 'query = "trees.sql"')
    assert catalog.load(tmp_path)["trees"].sql == "-- all of them\nSELECT * FROM trees"
    (tmp_path / "trees.sql").write_text("DELETE FROM trees")
    with pytest.raises(ConfigError, match="must hold one SELECT"):
        catalog.load(tmp_path)
