"""The commands; the only file that reads argv."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import orjson

from tileserver import catalog, check, demo, filters, forget, indexer, infer, ingest, place, raster, revisions, styles
from tileserver.catalog import Catalog, Layer
from tileserver.catalog.schema import schema
from tileserver.downloads.spool import sweep
from tileserver.errors import ConfigError, TileserverError
from tileserver.server import serve
from tileserver.settings import Settings, load, shipped
from tileserver.stores import FolderStore, PostgisStore, Store, open_store

EXAMPLES = """examples:
  tileserver init city                    a folder for settings and layers of one's own
  tileserver new permits permits.csv      write layers/permits.toml from what the file holds
  tileserver demo                         make the made-up city in the folder data/
  tileserver serve                        serve what is in data/ at http://127.0.0.1:8000/
  tileserver serve postgresql://me@db/city --layers layers/ --port 9000
  tileserver ingest permits permits-2024.csv permits-2025.csv
  tileserver check                        are all layer files in order?

Every option has a setting: an environment variable such as TILESERVER_STORE, or a line in a file .env.
"""

NO_LAYERS = "there is no folder layers/ here; make a place of your own with tileserver init, or name one: --layers"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parse(argv)
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        return command(args)
    except TileserverError as error:
        print(f"tileserver: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except OSError as error:
        print(f"tileserver: {_in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _in_words(error: OSError, path: Path | None = None) -> str:
    """Its path, or else `path`, and the reason, which libraries tell without a number, in a text of their own."""
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
    unsaid = "no answer in time" if isinstance(error, TimeoutError) else "cannot be used"
    return f"{named or 'a file or a connection'}: {error.strerror or ' '.join(str(error).split()) or unsaid}"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; FROM and ID are taken after options too, which argparse alone does not do once LAYER is read."""
    top = parser()
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0].startswith("--") and given[0] not in ("--help", "--version"):
        top.error(f"the command comes first, then its options: tileserver COMMAND {given[0].partition('=')[0]} …")
    args, rest = top.parse_known_args(argv)
    if unknown := [each for each in rest if each.startswith("-") or "several" not in args]:
        top.error(f"{unknown[0]} is not understood here; tileserver {args.command} --help shows what is")
    if rest:
        setattr(args, args.several, [*getattr(args, args.several), *rest])
    return args


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "tileserver", description="A city's tables and files as vector tiles.", epilog=EXAMPLES, formatter_class=AS_WRITTEN
    )
    top.add_argument("--version", action="version", version=f"tileserver {version('tileserver')}", help="tell it and exit")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for add in (_add_init, _add_new, _add_serve, _add_ingest, _add_forget, _add_demo, _add_check):
        add(commands)
    return top


AS_WRITTEN = argparse.RawDescriptionHelpFormatter
Commands = argparse._SubParsersAction


def _add_init(commands: Commands[argparse.ArgumentParser]) -> None:
    help = "Make a folder with settings, layers/ and styles/ of one's own."
    epilog = "example:\n  tileserver init city && cd city"
    command = commands.add_parser("init", help=help, description=help, epilog=epilog, formatter_class=AS_WRITTEN)
    command.set_defaults(run=_init)
    command.add_argument("folder", type=Path, metavar="DIR", help="a folder, made if it is not there; no file in it is changed")


def _add_new(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver new potholes ~/Downloads/potholes.csv && tileserver ingest potholes"
    command = _command(commands, "new", _new, "Write a layer file from what a file or a table holds, with comments.", example)
    command.add_argument("layer", metavar="LAYER", help="the id of the new layer: small letters, digits and _")
    command.add_argument("data", metavar="FILE|TABLE", help="a file, or schema.table of a store that is PostGIS")
    command.add_argument("--part", help="the sheet of a workbook, or the layer of a GeoPackage that holds several")
    command.add_argument("--near", type=_place, metavar="LON,LAT", help="a place in the city, which tells the coordinate system")
    command._negative_number_matcher = re.compile(r"-\d")  # --near -90.2,38.6: a value, though it begins with a dash
    _takes_store(command)


def _add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver serve postgresql://me@db/city --port 9000"
    command = _command(commands, "serve", _serve, "Serve tiles, counts, downloads and the web map.", example)
    command.add_argument("store", nargs="?", metavar="STORE", help="postgresql://… or a folder (default: data/)")
    _takes_styles(command)
    _takes_rasters(command)
    command.add_argument("--host", help="the address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="the port to listen on (default: 8000)")
    command.add_argument("--workers", type=int, help="web worker processes (default: 2)")


def _add_ingest(commands: Commands[argparse.ArgumentParser]) -> None:
    example = 'tileserver ingest incidents "incidents-*.csv" --replace'
    command = _command(commands, "ingest", _ingest, "Bring files into a layer.", example)
    command.add_argument("layer", metavar="LAYER", help="the layer's id: the name of its file without .toml")
    command.add_argument(
        "sources",
        nargs="*",
        default=[],
        metavar="FROM",
        help="files, globs or addresses on the web (default: from in the layer file)",
    )
    _takes_store(command)
    how = command.add_mutually_exclusive_group()
    how.add_argument("--append", action="store_false", dest="replace", help="add rows, update those whose id is there (default)")
    how.add_argument("--replace", action="store_true", help="the same, and remove the rows that are not in the files")
    command.set_defaults(replace=False, several="sources")


def _add_forget(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver forget incidents 2024-001377 2024-001402"
    command = _command(commands, "forget", _forget, "Remove records for good, and keep them from coming back.", example)
    command.add_argument("layer", metavar="LAYER", help="the layer's id: the name of its file without .toml")
    command.add_argument("ids", nargs="+", metavar="ID", help="the records' ids, as downloads show them")
    command.add_argument("--undo", action="store_true", help="keep these ids out no longer; an ingest can bring their records back")
    command.set_defaults(several="ids")
    _takes_store(command)


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver demo --events 300000 && tileserver serve"
    command = _command(commands, "demo", _demo, "Make a made-up city to look at.", example)
    _takes_store(command)
    _takes_rasters(command)
    command.add_argument("--events", type=int, default=300_000, metavar="N", help="events in all (default: %(default)s)")
    command.add_argument("--seed", type=int, default=1, metavar="S", help="another number, another city (default: %(default)s)")


def _add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver check --layers layers/"
    command = _command(
        commands, "check", _check, "Load every layer and style, and tell what looks wrong, without serving.", example
    )
    _takes_styles(command)
    _takes_rasters(command)
    command.add_argument("--schema", action="store_true", help="print the JSON Schema of a layer file, and do nothing else")


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int], help: str, example: str
) -> argparse.ArgumentParser:
    """A command with what every command takes."""
    epilog = f"example:\n  {example}"
    command = commands.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=AS_WRITTEN)
    command.set_defaults(run=run)
    command.add_argument("--layers", type=Path, metavar="DIR", help="the layer files (default: layers/, else the demo city's)")
    command.add_argument("--snapshots", type=Path, metavar="DIR", help="the snapshots that requests read (default: snapshots/)")
    return command


def _takes_store(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", help="postgresql://… or a folder (default: data/)")


def _takes_rasters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rasters", type=Path, metavar="DIR", help="rasters not beside their layer file (default: rasters/)")


def _takes_styles(command: argparse.ArgumentParser) -> None:
    command.add_argument("--styles", type=Path, metavar="DIR", help="the map styles (default: styles/, else the demo city's)")


def _settings(args: argparse.Namespace) -> Settings:
    """The settings, those given on the command line first."""
    given = {name: value for name, value in vars(args).items() if name in Settings.model_fields}
    return load(**given)


def _init(args: argparse.Namespace) -> int:
    for path in place.init(args.folder):
        print(f"made {path}")
    enter = "" if args.folder.resolve() == Path.cwd() else f"\n  cd {shlex.quote(str(args.folder))}"
    print(f"""
Next:{enter}
  tileserver new LAYER FILE       writes layers/LAYER.toml from a file; then look it over
  tileserver ingest LAYER         brings the rows in
  tileserver serve                shows the map at http://127.0.0.1:8000/
All keys of a layer file are in {args.folder / "layers" / "README.md"}, all settings in {args.folder / ".env"}.""")
    return 0


def _place(text: str) -> tuple[float, float]:
    try:
        longitude, latitude = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("longitude and latitude in degrees, such as -90.2,38.6") from None
    if not (abs(longitude) <= 180 and abs(latitude) <= 90):
        raise argparse.ArgumentTypeError("the longitude comes first, from -180 to 180; then the latitude, from -90 to 90")
    return longitude, latitude


def _new(args: argparse.Namespace) -> int:
    settings = _settings(args)
    if settings.layers == shipped("layers"):
        raise ConfigError(NO_LAYERS)
    with open_store(settings.store) as store:
        if isinstance(store, PostgisStore) and not infer.is_file(args.data):
            made = infer.new_from_table(args.layer, args.data, store, settings.layers)
        else:
            made = infer.new_from_file(args.layer, args.data, settings.layers, args.part, args.near)
    print(f"wrote {made.path}")
    for line in made.told:
        print(f"  {infer.plain(line)}")
    print(f"Look it over, then: {made.next_step}")
    return 0


def _serve(args: argparse.Namespace) -> int:
    settings = _settings(args)
    _refuse_nowhere(args, settings)
    layers = _checked(settings)
    if not layers and not layers.rasters:
        print(f"There are no layer files in {settings.layers} yet: tileserver new LAYER FILE writes one.", file=sys.stderr)
    if not args.layers and settings.layers == shipped("layers"):
        print("There is no folder layers/ here: serving the demo city's layer files.", file=sys.stderr)
    try:
        raster.check(settings, layers)
    except ConfigError as error:  # its file may still be on its way; everything else can be served
        print(f"tileserver: {error}", file=sys.stderr)
    serve(settings, announce=lambda text: print(text, flush=True))
    return 0


def _ingest(args: argparse.Namespace) -> int:
    settings = _settings(args)
    layer = _layer(settings, args.layer)
    home = revisions.home(settings.snapshots, layer.id)
    terminal = sys.stderr.isatty()
    with open_store(settings.writing_store) as store:
        ledger = ingest.ingest(
            layer,
            store,
            args.sources,
            folder=Path.cwd() if args.sources else settings.layers,
            home=home,
            replace=args.replace,
            progress=terminal,
            web=ingest.Web(settings.socrata_token),
            other=_layer(settings, layer.ingest.join.layer) if layer.ingest.join else None,
        )
        trouble = _show(layer, store, settings, ledger)
        if not trouble:
            indexer.expire(layer, store, settings)
    print(ledger.in_words())
    if ledger.rejected:
        where = home / ingest.REJECTS
        print(f"{where} has file, line and reason of each rejected row; its values, which may be personal, are in the file alone.")
    if trouble:
        print(f"tileserver: {trouble}", file=sys.stderr)
        print(f"The rows of {layer.id} are stored, but not yet shown: the indexer or the next ingest shows them.", file=sys.stderr)
    return 1 if trouble else 0


def _show(layer: Layer, store: Store, settings: Settings, ledger: ingest.Ledger) -> str:
    """Keep the ledger and bring the snapshot up to the store; why that failed, in words, or nothing."""
    home = revisions.home(settings.snapshots, layer.id)
    try:
        if ledger.files:
            revisions.replace(home / revisions.LEDGER, orjson.dumps(ledger.as_json()), mode=0o600)
        indexer.refresh(layer, store, settings, progress=sys.stderr.isatty())
    except TileserverError as error:
        return str(error)
    except OSError as error:
        return _in_words(error, home)
    return ""


def _forget(args: argparse.Namespace) -> int:
    settings = _settings(args)
    layer = _layer(settings, args.layer)
    ids = forget.ids_of(layer, args.ids)
    if args.undo:
        print(forget.undo(layer, ids, settings))
        return 0
    with open_store(settings.writing_store) as store:
        outcome = forget.forget(layer, ids, store, settings)
    sweep()
    print(outcome.in_words(layer))
    return 1 if outcome.unknown or outcome.kept_by else 0


def _demo(args: argparse.Namespace) -> int:
    if args.events < 0:
        raise ConfigError("--events: a number of rows, 0 or more")
    settings = _settings(args)
    if not all((settings.layers / f"{id}.toml").is_file() for id in demo.LAYERS):
        raise ConfigError(
            f"{settings.layers}: lacks the demo city's layer files, which are taken where there is no layers/: "
            "run tileserver demo, then tileserver serve, in an empty folder"
        )
    made = [_layer(settings, id) for id in demo.LAYERS]
    width, height = demo.write_elevation(settings.rasters, seed=args.seed)
    print(f"{settings.rasters / demo.ELEVATION}: {width} × {height} values", flush=True)
    with open_store(settings.writing_store) as store:
        for layer in made:
            published = store.publish(layer, demo.batches(layer.id, layer.schema, events=args.events, seed=args.seed), replace=True)
            indexer.refresh(layer, store, settings)
            rows = published.published + published.unchanged
            print(f"{layer.id}: {rows:,} rows{'' if published.published or published.removed else ', unchanged'}", flush=True)
    options = any((args.store, args.layers, args.snapshots, args.rasters))
    print(f"Next: tileserver serve{' with the same options' if options else ''}")
    return 0


def _check(args: argparse.Namespace) -> int:
    if args.schema:
        print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())
        return 0
    settings = _settings(args)
    _refuse_nowhere(args, settings)
    layers = _checked(settings)
    raster.check(settings, layers)
    told = [line for layer in layers.values() for line in check.remarks(layer, settings)]
    if settings.styles != shipped("styles"):
        strays = styles.strays(settings.styles, layers)
        told += [f"{path}: there is no layer {path.stem}, so this style is not used" for path in strays]
    for line in told:
        print(line)
    count = len(layers) + len(layers.rasters)
    are = f"can be served; see {len(told):,} remark{'s' if len(told) > 1 else ''} above" if told else "are in order"
    print(f"{count} layer files in {settings.layers} {are}.")
    return 0


def _checked(settings: Settings) -> Catalog:
    """Every layer and its style, or an error that names what is wrong."""
    layers = catalog.load(settings.layers)
    styles.check(settings.styles, layers)
    for layer in layers.values():
        filters.check_default(layer)
    return layers


def _refuse_nowhere(args: argparse.Namespace, settings: Settings) -> None:
    """Without layer files of one's own the demo city's are taken; but not in a folder that has nothing of the demo city either.

    Raises:
        ConfigError: this is no place to serve anything from.
    """
    is_demo = not args.layers and settings.layers == shipped("layers")
    if is_demo and isinstance(store := open_store(settings.store), FolderStore) and not store.exists:
        raise ConfigError(f"{NO_LAYERS}. To look at the made-up city: tileserver demo")


def _layer(settings: Settings, id: str) -> Layer:
    """One layer; what is wrong with other files is no matter here."""
    path = settings.layers / f"{id}.toml"
    if not path.is_file():
        if settings.layers == shipped("layers") and not Path("layers").is_dir():
            raise ConfigError(NO_LAYERS)
        there = ", ".join(sorted(each.stem for each in settings.layers.glob("*.toml"))) or "none"
        raise ConfigError(f"there is no layer {id} in {settings.layers}, which holds: {there}. A layer is a file <id>.toml there")
    return catalog.load_layer(path)


if __name__ == "__main__":
    sys.exit(main())
