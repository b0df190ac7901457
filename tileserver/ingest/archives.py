"""ZIP archives: checked before anything of them is written, then taken apart in a folder that goes.

Nothing in an archive decides where a file is written: what is taken out gets a name of ours.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.rows import Rows
from tileserver.ingest.shown import listed
from tileserver.ingest.sources import FORMATS, Format, Source

MOST_MEMBERS = 10_000
MOST_BYTES = 8 * 2**30
"""Of all members together, expanded."""
MOST_EXPANSION = 200
"""How many times its own size an archive may expand to; tables of a city reach 50."""
ALWAYS_ALLOWED = 64 * 2**20
"""Bytes to which any archive may expand."""

SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

Reader = Callable[[Layer, Source], Iterator[Rows]]


def read_zip(layer: Layer, source: Source, readers: Mapping[Format, Reader]) -> Iterator[Rows]:
    """The rows of the one file of an archive that can be read; of several, of the one that `[ingest] part` names.

    Raises:
        IngestError: the archive is damaged or unsafe, it does not say which file to read, or that cannot be read.
    """
    with _opened(source) as archive, tempfile.TemporaryDirectory(prefix="tileserver-ingest-") as folder:
        member = _wanted(layer, source, archive)
        path = _taken_out(archive, member, Path(folder))
        inner = replace(source, path=path, format=FORMATS[path.suffix], size=path.stat().st_size)
        for rows in readers[inner.format](layer, inner):
            yield replace(rows, end=source.size * rows.end // max(inner.size, 1))


def repacked(source: Source, path: Path) -> Path:
    """A copy of an archive at `path` whose members are what Python reads of them: for programs that check less.

    Raises:
        IngestError: the archive is damaged or unsafe.
    """
    with _opened(source) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as copy:
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as read, copy.open(member.filename, "w", force_zip64=True) as write:
                    shutil.copyfileobj(read, write)
    return path


@contextmanager
def _opened(source: Source) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source.path) as archive:
            _check(source, archive)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise IngestError(f"{source.name}: not a ZIP archive, or a damaged one") from error
    except OSError as error:
        raise IngestError(f"{source.name}: {error.strerror or 'a damaged ZIP archive'}") from error


def _check(source: Source, archive: zipfile.ZipFile) -> None:
    """Raises IngestError for what an archive of data never holds. Python reads no more of a member than its declared size."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise IngestError(f"{source.name}: holds {len(members):,} files; an archive may hold {MOST_MEMBERS:,}")
    expanded = sum(member.file_size for member in members)
    most = min(MOST_BYTES, max(ALWAYS_ALLOWED, MOST_EXPANSION * source.size))
    if expanded > most:
        raise IngestError(f"{source.name}: would expand to {expanded:,} bytes; {most:,} are allowed for an archive of its size")
    if expanded > shutil.disk_usage(tempfile.gettempdir()).free:
        raise IngestError(f"{source.name}: would expand to {expanded:,} bytes, more than {tempfile.gettempdir()} has room for")
    if len({member.filename for member in members}) < len(members):
        raise IngestError(f"{source.name}: holds two files of the same name")
    for member in members:
        if why := _unsafe(member):
            raise IngestError(f"{source.name}: holds {member.filename!r}, {why}; nothing was read")


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Why a member is refused, in words; the empty text if it is not."""
    path = PurePosixPath(member.orig_filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in str(path)[:2]:
        return "a name that leads out of the archive"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if member.flag_bits & 0x1:
        return "an encrypted file"
    if member.compress_type not in _METHODS:
        return "compressed in a way that cannot be read"
    return ""


def _wanted(layer: Layer, source: Source, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    readable = [member for member in archive.infolist() if _is_readable(PurePosixPath(member.filename))]
    names = [PurePosixPath(member.filename) for member in readable]
    there = listed([str(name) for name in names])
    if not readable:
        raise IngestError(f"{source.name}: holds no file that can be read")
    if len(readable) == 1:
        return readable[0]
    part = layer.ingest.part
    if part is None:
        raise IngestError(f"{source.name}: holds several files: {there}. Say which under [ingest] part in the layer file")
    found = [member for member, name in zip(readable, names, strict=True) if part in (str(name), name.name, name.stem)]
    if len(found) != 1:
        raise IngestError(f"{source.name}: {part}, under [ingest] part in the layer file, must be one of its files: {there}")
    return found[0]


def _is_readable(path: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and FORMATS.get(path.suffix.lower(), "zip") != "zip"


def _taken_out(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    """The member as a file of the folder, with what belongs to it beside it."""
    path = PurePosixPath(member.filename)
    wanted = {path.suffix.lower(): member}
    if path.suffix.lower() == ".shp":
        base = str(path.with_suffix("")).lower()
        for other in archive.infolist():
            beside = PurePosixPath(other.filename)
            if beside.suffix.lower() in SHAPEFILE and str(beside.with_suffix("")).lower() == base:
                wanted.setdefault(beside.suffix.lower(), other)
    for suffix, each in wanted.items():
        with archive.open(each) as read, (folder / f"data{suffix}").open("xb") as write:
            shutil.copyfileobj(read, write)
    return folder / f"data{path.suffix.lower()}"
