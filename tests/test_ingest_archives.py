"""ZIP archives: what may be in them, and that nothing of a hostile one is ever written."""

from __future__ import annotations

import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_ingest import HEADER, STOP, STOPS, held, layer_of, rejects
from test_ingest_formats import TREES, write

from tileserver.errors import IngestError
from tileserver.ingest import Ledger, archives, ingest
from tileserver.stores import FolderStore

GOOD = HEADER + STOP.format(number=1)


def bring(path: Path, **changes: Any) -> Ledger:
    folder = path.parent
    return ingest(layer_of(STOPS, **changes), FolderStore(folder / "store"), [path.name], folder=folder, home=folder)


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def left() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("tileserver-ingest-*"))


# What may be in one


@pytest.mark.parametrize("name", ["stops.csv", "year/2024/stops.CSV", "büro stops.csv"])
def test_the_one_file_of_an_archive_is_read(name: str, tmp_path: Path) -> None:
    before = left()
    path = zipped(tmp_path / "stops.zip", (name, GOOD + "2,never,WARNING,2,-92.3,34.7\n"), ("readme.pdf", b"%PDF"), ("year/", b""))
    ledger = bring(path)
    assert (ledger.published, ledger.files) == (1, {"stops.zip": 2})
    assert rejects(tmp_path) == [("stops.zip", 3, "at cannot be read")]
    assert left() == before


def test_of_several_files_one_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "stops.zip", ("a/one.csv", GOOD), ("b/two.csv", GOOD + STOP.format(number=2)))
    with pytest.raises(
        IngestError, match=r"stops\.zip: holds several files: a/one\.csv, b/two\.csv\. Say which under \[ingest\] part"
    ):
        bring(path)
    for part in ("two", "two.csv", "b/two.csv"):
        assert bring(path, ingest={"part": part}).read == 2
    with pytest.raises(IngestError, match=r"three, under .* must be one of its files: a/one"):
        bring(path, ingest={"part": "three"})


def test_an_archive_of_nothing_that_can_be_read_says_so(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "stops.zip", ("a.pdf", b""), ("inner.zip", b"PK"), ("__MACOSX/stops.csv", GOOD), ("a/.stops.csv", GOOD)
    )
    with pytest.raises(IngestError, match=r"stops\.zip: holds no file that can be read"):
        bring(path)


def test_an_error_in_a_member_names_the_archive_alone(tmp_path: Path) -> None:
    path = zipped(tmp_path / "stops.zip", ("stops.geojson", b"{"))
    with pytest.raises(IngestError, match=r"^stops\.zip: not valid JSON: line 1"):
        bring(path)


# What may not


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("stops.csv")
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


HOSTILE = {
    "../stops.csv": "a name that leads out of the archive",
    "a/../../stops.csv": "a name that leads out of the archive",
    "/etc/stops.csv": "a name that leads out of the archive",
    "..\\stops.csv": "a name that leads out of the archive",
    "C:/stops.csv": "a name that leads out of the archive",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_out_is_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    before = left()
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    path = zipped(folder / "stops.zip", ("good.csv", GOOD), (name, GOOD))
    with pytest.raises(IngestError, match=rf"stops\.zip: holds .*, {HOSTILE[name]}; nothing was read"):
        bring(path, ingest={"part": "good"})
    assert [each.name for each in tmp_path.rglob("*.csv") if each.name != "rejects.csv"] == []
    assert left() == before


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "stops.zip", (link(), "/etc/passwd"))
    with pytest.raises(IngestError, match=r"'stops\.csv', a link or a device; nothing was read"):
        bring(path)


def patched(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """The archive of one member, after a change of its bytes, given where its two headers begin."""
    data = bytearray(path.read_bytes())
    change(data, data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    return path


def encrypt(data: bytearray, local: int, central: int) -> None:
    data[local + 6] |= 1
    data[central + 8] |= 1


def compress_strangely(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<H", data, local + 8, 97)
    struct.pack_into("<H", data, central + 10, 97)


def declare_less(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<I", data, local + 22, 20)
    struct.pack_into("<I", data, central + 24, 20)


def declare_more(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<I", data, central + 24, 0xFFFFFFF0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (encrypt, "'stops.csv', an encrypted file; nothing was read"),
        (compress_strangely, "'stops.csv', compressed in a way that cannot be read; nothing was read"),
        (declare_less, r"stops\.zip: not a ZIP archive, or a damaged one"),
        (declare_more, "would expand to 4,294,967,280 bytes; 67,108,864 are allowed for an archive of its size"),
    ],
)
def test_headers_that_lie_are_noticed(change: Any, message: str, tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "stops.zip", ("stops.csv", GOOD)), change)
    with pytest.raises(IngestError, match=message):
        bring(path)
    assert not (tmp_path / "store" / "stops" / "current.json").exists()


def bomb(path: Path, name: str) -> Path:
    """65 MiB of zeros in 65 kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(65):
            member.write(bytes(2**20))
    return path


@pytest.mark.parametrize(("name", "member"), [("stops.zip", "stops.csv"), ("stops.xlsx", "xl/worksheets/sheet1.xml")])
def test_a_bomb_is_refused_before_it_is_expanded(name: str, member: str, tmp_path: Path) -> None:
    before = left()
    with pytest.raises(IngestError, match=rf"{name}: would expand to 68,157,440 bytes; 67,108,864 are allowed"):
        bring(bomb(tmp_path / name, member))
    assert left() == before


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "stops.zip", *((f"{number}.txt", b"") for number in range(archives.MOST_MEMBERS + 1)))
    with pytest.raises(IngestError, match=r"holds 10,001 files; an archive may hold 10,000"):
        bring(path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "stops.zip", ("stops.csv", GOOD), ("stops.csv", GOOD))
    with pytest.raises(IngestError, match="holds two files of the same name"):
        bring(path)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_truncated_archive_is_refused(share: float, tmp_path: Path) -> None:
    path = zipped(tmp_path / "stops.zip", ("stops.csv", GOOD * 100))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(IngestError, match=r"stops\.zip: not a ZIP archive, or a damaged one"):
        bring(path)


def test_a_workbook_of_entities_in_entities_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "trees.xlsx", pa.table({"tag": ["1"]}))
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom" * 10}">' for n in range(12))
    members = []
    with zipfile.ZipFile(tmp_path / "trees.xlsx") as book:
        for each in book.infolist():
            content = book.read(each).decode()
            if each.filename.endswith(("sharedStrings.xml", "sheet1.xml")):
                head, _, body = content.partition("?>")
                content = f"{head}?><!DOCTYPE a [{entities}]>{body.replace('>tag<', '>&e11;<').replace('>0<', '>&e11;<')}"
            members.append((each.filename, content))
    (tmp_path / "hostile").mkdir()
    path = zipped(tmp_path / "hostile" / "trees.xlsx", *members)
    with pytest.raises(IngestError, match=r"^trees\.xlsx: "):
        ingest(
            layer_of(TREES, position="optional"), FolderStore(tmp_path / "store"), [path.name], folder=path.parent, home=path.parent
        )


def test_a_workbook_in_an_archive_is_read(tmp_path: Path) -> None:
    write(tmp_path / "trees.xlsx", pa.table({"tag": ["1", "2"], "kind": ["oak", "elm"]}))
    path = zipped(tmp_path / "trees.zip", ("trees.xlsx", (tmp_path / "trees.xlsx").read_bytes()))
    layer = layer_of(TREES, position="optional")
    assert ingest(layer, FolderStore(tmp_path / "store"), [path.name], folder=tmp_path, home=tmp_path).published == 2
    assert [row["kind"] for row in held(tmp_path, layer)] == ["oak", "elm"]
