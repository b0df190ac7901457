"""The commands; the only file that reads argv."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from tileserver import catalog, demo, indexer, ingest, revisions, styles
from tileserver.catalog import Catalog, Layer
from tileserver.errors import ConfigError, TileserverError
from tileserver.server import serve
from tileserver.settings import Settings, load
from tileserver.stores import open_store

EXAMPLES = """examples:
  tileserver demo                         make the made-up city in the folder data/
  tileserver serve                        serve what is in data/ at http://127.0.0.1:8000/
  tileserver serve postgresql://me@db/city --layers layers/ --port 9000
  tileserver ingest permits permits-2024.csv permits-2025.csv
  tileserver check                        are all layer files in order?

Every option has a setting: an environment variable such as TILESERVER_STORE, or a line in a file .env.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        return command(args)
    except TileserverError as error:
        print(f"tileserver: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "tileserver", description="A city's tables and files as vector tiles.", epilog=EXAMPLES, formatter_class=AS_WRITTEN
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_serve, _add_ingest, _add_demo, _add_check):
        add(commands)
    return top


AS_WRITTEN = argparse.RawDescriptionHelpFormatter
Commands = argparse._SubParsersAction


def _add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver serve postgresql://me@db/city --port 9000"
    command = _command(commands, "serve", _serve, "Serve tiles, counts, downloads and the web map.", example)
    command.add_argument("store", nargs="?", metavar="STORE", help="postgresql://… or a folder (default: data/)")
    _takes_styles(command)
    command.add_argument("--host", help="the address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", type=int, help="the port to listen on (default: 8000)")
    command.add_argument("--workers", type=int, help="web worker processes (default: 2)")


def _add_ingest(commands: Commands[argparse.ArgumentParser]) -> None:
    example = 'tileserver ingest incidents "incidents-*.csv" --replace'
    command = _command(commands, "ingest", _ingest, "Bring files into a layer.", example)
    command.add_argument("layer", metavar="LAYER", help="the layer's id: the name of its file without .toml")
    command.add_argument("sources", nargs="*", metavar="FROM", help="files or globs (default: from in the layer file)")
    _takes_store(command)
    how = command.add_mutually_exclusive_group()
    how.add_argument("--append", action="store_false", dest="replace", help="add rows, update those whose id is there (default)")
    how.add_argument("--replace", action="store_true", help="the same, and remove the rows that are not in the files")
    command.set_defaults(replace=False)


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver demo --events 300000 && tileserver serve"
    command = _command(commands, "demo", _demo, "Make a made-up city to look at.", example)
    _takes_store(command)
    command.add_argument("--events", type=int, default=300_000, metavar="N", help="events in all (default: %(default)s)")
    command.add_argument("--seed", type=int, default=1, metavar="S", help="another number, another city (default: %(default)s)")


def _add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    example = "tileserver check --layers layers/"
    _takes_styles(_command(commands, "check", _check, "Load every layer and style without serving.", example))


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


def _takes_styles(command: argparse.ArgumentParser) -> None:
    command.add_argument("--styles", type=Path, metavar="DIR", help="the map styles (default: styles/, else the demo city's)")


def _settings(args: argparse.Namespace) -> Settings:
    """The settings, those given on the command line first."""
    given = {name: value for name, value in vars(args).items() if name in Settings.model_fields}
    return load(**given)


def _serve(args: argparse.Namespace) -> int:
    settings = _settings(args)
    _checked(settings)
    serve(settings, announce=lambda text: print(text, flush=True))
    return 0


def _ingest(args: argparse.Namespace) -> int:
    settings = _settings(args)
    layer = _layer(settings, args.layer)
    home = settings.snapshots / layer.id
    home.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr.isatty()
    with open_store(settings.writing_store) as store:
        ledger = ingest.ingest(
            layer,
            store,
            args.sources,
            folder=Path.cwd() if args.sources else settings.layers,
            rejects=home / "rejects.csv",
            replace=args.replace,
            progress=terminal,
        )
        revisions.replace(home / "ledger.json", orjson.dumps(ledger.as_json()), mode=0o600)
        indexer.refresh(layer, store, settings, progress=terminal)
    print(ledger.in_words())
    if ledger.rejected:
        print(f"The rejected rows are listed in {home / 'rejects.csv'}.")
    return 0


def _demo(args: argparse.Namespace) -> int:
    if args.events < 0:
        raise ConfigError("--events: a number of rows, 0 or more")
    settings = _settings(args)
    made = [_layer(settings, id) for id in demo.LAYERS]
    with open_store(settings.writing_store) as store:
        for layer in made:
            published = store.publish(layer, demo.batches(layer.id, layer.schema, events=args.events, seed=args.seed), replace=True)
            indexer.refresh(layer, store, settings)
            rows = published.published + published.unchanged
            print(f"{layer.id}: {rows:,} rows{'' if published.published or published.removed else ', unchanged'}", flush=True)
    return 0


def _check(args: argparse.Namespace) -> int:
    settings = _settings(args)
    layers = _checked(settings)
    for id, layer in layers.items():
        if layer.privacy.address and not layer.addresses:
            print(f'{id}: privacy.address protects nothing: no field is named address or has role = "address"')
        for line in _withheld(settings, id):
            print(line)
    print(f"{len(layers)} layer files in {settings.layers} are in order.")
    return 0


def _checked(settings: Settings) -> Catalog:
    """Every layer and its style, or an error that names what is wrong."""
    layers = catalog.load(settings.layers)
    styles.check(settings.styles, layers)
    return layers


def _withheld(settings: Settings, id: str) -> list[str]:
    """The values that `[privacy] include` held back at the last ingest, for whoever decides whether they should be."""
    path = settings.snapshots / id / "ledger.json"
    if not path.exists():
        return []
    withheld = orjson.loads(path.read_bytes()).get("withheld", {})
    return [
        f"{id}: withheld by privacy.include: {name} = {value} ({n:,} rows)"
        for name, n_of in withheld.items()
        for value, n in n_of.items()
    ]


def _layer(settings: Settings, id: str) -> Layer:
    """One layer; what is wrong with other files is no matter here."""
    path = settings.layers / f"{id}.toml"
    if not path.is_file():
        there = ", ".join(sorted(each.stem for each in settings.layers.glob("*.toml"))) or "none"
        raise ConfigError(f"there is no layer {id} in {settings.layers}, which holds: {there}. A layer is a file <id>.toml there")
    return catalog.load_layer(path)


if __name__ == "__main__":
    sys.exit(main())
