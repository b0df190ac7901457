"""README.md and docs/ name everything there is, and nothing else: commands, settings, make targets, addresses, links."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Match, Mount, Route

from tileserver.app import create_app
from tileserver.cli import parser
from tileserver.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)

FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")

NOT_OURS = {"bin", "dev", "etc", "home", "lib", "opt", "path", "proc", "root", "run", "srv", "tmp", "usr", "var"}
"""First parts of paths that are files of a machine, not addresses of the server."""


def fenced() -> str:
    return "\n".join(found[1] for found in FENCED.findall(TEXT))


def spans() -> list[str]:
    return SPAN.findall(FENCED.sub("", TEXT))


def code() -> str:
    return "\n".join([fenced(), *spans()])


def commands() -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def settings() -> set[str]:
    return {f"TILESERVER_{name.upper()}" for name in Settings.model_fields}


def of_the_tests() -> set[str]:
    return set(re.findall(r"\bTILESERVER_TEST_[A-Z_]+", (ROOT / "tests" / "conftest.py").read_text()))


def add(missing: set[str], what: str) -> str:
    return f"Add to README.md or a page of docs/ {what}: {', '.join(sorted(missing))}"


def mend(unknown: set[str], what: str) -> str:
    return f"README.md or a page of docs/ names {what} that do not exist: {', '.join(sorted(unknown))}"


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    named = set(re.findall(r"(?<!from )(?<!import )\btileserver ([a-z][a-z-]*)", code()))
    assert commands().keys() - named == set(), add(commands().keys() - named, "the commands, as `tileserver <command>`")
    assert named - commands().keys() == set(), mend(named - commands().keys(), "commands of tileserver")


def test_every_option_is_documented_and_every_option_in_an_example_exists() -> None:
    options = {name: {o for action in command._actions for o in action.option_strings} for name, command in commands().items()}
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code()))
    every = {option for own in options.values() for option in own if option.startswith("--")} - {"--help"}
    assert every - documented == set(), add(every - documented, "the options")

    for name, rest in re.findall(r"\btileserver ([a-z][a-z-]*)((?:[^\n|&;#\\]|\\\n)*)", code()):
        unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest)) - options.get(name, set())
        assert unknown == set(), mend(unknown, f"options of tileserver {name}")


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    named = set(re.findall(r"\bTILESERVER_[A-Z_]*[A-Z]", TEXT))
    assert settings() - named == set(), add(settings() - named, "the settings")
    assert named - settings() - of_the_tests() == set(), mend(named - settings() - of_the_tests(), "settings")


def test_every_make_target_is_documented_and_every_documented_target_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code()))
    assert targets() - named == set(), add({f"make {target}" for target in targets() - named}, "the make targets")
    assert named - targets() == set(), mend({f"make {target}" for target in named - targets()}, "make targets")


def addresses() -> Iterator[str]:
    """The server's addresses in the pages: code that begins with "/", and URLs on 127.0.0.1; alternatives in braces one by one."""
    begun = [span.split()[0] for span in spans() if re.match(r"/(?!/)", span)]
    on_this_machine = re.findall(r"https?://(?:127\.0\.0\.1|localhost)(?::\d+)?(/[^\s\"'`<>)\\]*)", code())
    for address in begun + on_this_machine:
        path = address.split("?")[0].split("#")[0]
        if path.split("/")[1] not in NOT_OURS and "…" not in path and "..." not in path:
            yield from alternatives(path)


def alternatives(path: str) -> Iterator[str]:
    """`/downloads/{id}.{csv,geojson}` is two addresses."""
    choice = re.search(r"\{([^{}]*,[^{}]*)\}", path)
    if choice is None:
        yield path
        return
    for one in choice[1].split(","):
        yield from alternatives(path[: choice.start()] + one.strip() + path[choice.end() :])


def sample(path: str) -> str:
    """An address of a documented form: numbers for z, x and y, a word for anything else in braces."""
    return re.sub(r"\{[^{}]*\}", "a", re.sub(r"\{[zxy]\}", "0", path))


def routes(tmp_path: Path) -> list[Route | Mount]:
    app = create_app(Settings(store=str(tmp_path / "data"), snapshots=tmp_path / "snapshots"))
    return list(flat(app.routes))


def flat(several: Iterable[Any]) -> Iterator[Route | Mount]:
    """Routes one by one, those of an included router instead of the router; a mounted application stays whole."""
    for route in several:
        if isinstance(route, Route | Mount):
            yield route
        else:
            yield from flat(route.original_router.routes)


def answering(routes: list[Route | Mount], path: str) -> Route | Mount | None:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


def form(route: Route | Mount) -> str:
    return re.sub(r":\w+\}", "}", route.path).rstrip("/") or "/"


def test_every_address_is_documented_and_every_documented_address_answers(tmp_path: Path) -> None:
    there = routes(tmp_path)
    documented = {address: answering(there, sample(address)) for address in addresses()}
    beginnings = {form(route)[: slash.start()] for route in there for slash in re.finditer(r"(?<!^)/", form(route))}
    unknown = {address for address, route in documented.items() if route is None} - beginnings
    assert unknown == set(), mend(unknown, "addresses")

    named = {form(route) for route in documented.values() if route is not None}
    missing = {form(route) for route in there} - named
    assert missing == set(), add(missing, "the addresses, in `code`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_and_image_of_a_page_leads_somewhere(page: Path) -> None:
    prose = SPAN.sub("", FENCED.sub("", page.read_text()))
    links = re.findall(r"\]\(\s*<?([^)>\s]+)", prose) + re.findall(r"\b(?:src|href)=\"([^\"]+)\"", prose)
    links += re.findall(r"^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {link}: there is no such file"
        assert not heading or heading in anchors(target), f"{page.name} links to {link}: there is no such heading"


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+?)\s*$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
