"""What is shipped: the wheel, the sdist, the locks and the container image."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOR_DEVELOPMENT = re.compile(
    r"node_modules|__pycache__|\.pyc$|\.test\.js$|(^|/)tests?/|package(-lock)?\.json$|(vendor|glyphs)\.mjs$"
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip_wheel(source: Path, into: Path) -> Path:
    run("-m", "pip", "--quiet", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", into, source)
    (wheel,) = into.glob("tileserver-*.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run("-m", "hatchling", "build", "--target", "sdist", "--directory", folder)
    (archive,) = folder.glob("tileserver-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as the users of an index without wheels do, so that it shows that the sdist is complete."""
    return pip_wheel(sdist, tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files(folder: str) -> Iterator[str]:
    """What is below a folder of the clone and meant for users, as paths from the root."""
    for path in (ROOT / folder).rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and not FOR_DEVELOPMENT.search(name):
            yield name


def test_the_wheel_has_the_package_the_layers_the_styles_and_the_viewer_with_its_modules(wheel: Path) -> None:
    shared = {f"tileserver/share/{name}" for folder in ("layers", "styles", "viewer") for name in files(folder)}
    expected = set(files("tileserver")) | shared

    inside = {name for name in names(wheel) if ".dist-info/" not in name}
    assert inside == expected
    assert "tileserver/share/viewer/vendor/maplibre-gl/maplibre-gl.mjs" in inside
    assert {"LICENSE.txt", "Noto Sans Regular/0-255.pbf"} <= {
        name.removeprefix("tileserver/share/viewer/vendor/fonts/") for name in inside
    }
    assert "tileserver/py.typed" in inside


def test_the_wheel_has_nothing_that_only_development_needs(wheel: Path) -> None:
    assert [name for name in names(wheel) if FOR_DEVELOPMENT.search(name)] == []
    assert {name.split("/")[0] for name in names(wheel)} == {"tileserver", f"tileserver-{PROJECT['project']['version']}.dist-info"}


def test_the_wheel_declares_the_command_the_licence_and_no_development_dependency(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"tileserver-{PROJECT['project']['version']}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "tileserver = tileserver.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)", metadata, re.MULTILINE))
    assert required == {Requirement(text).name for text in PROJECT["project"]["dependencies"]}


def test_an_installed_package_finds_its_layers_styles_and_viewer(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tileserver.settings import Settings, shipped; s = Settings(); "
        "print(s.layers, s.styles, shipped('viewer'), sep='\\n')"
    )
    layers, styles, viewer = run("-I", "-c", program, tmp_path / "installed", cwd=elsewhere).splitlines()

    share = tmp_path / "installed" / "tileserver" / "share"
    assert (Path(layers), Path(styles), Path(viewer)) == (share / "layers", share / "styles", share / "viewer")
    assert list(Path(layers).glob("*.toml"))
    assert (Path(viewer) / "index.html").is_file()


def test_the_sdist_has_what_a_build_without_node_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "hatch_build.py", "viewer/vendor/maplibre-gl/maplibre-gl.mjs"} <= inside
    assert not [name for name in inside if "node_modules" in name or name.startswith((".venv", "data/", "snapshots/"))]


def test_a_wheel_without_the_viewers_modules_is_not_built(sdist: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", sdist, "-C", tmp_path], check=True)
    (source,) = tmp_path.iterdir()
    for module in (source / "viewer" / "vendor").rglob("*.mjs"):
        module.unlink()

    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "make viewer" in done.stderr


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-build.lock", PROJECT["dependency-groups"]["build"]),
        ("requirements-dev.lock", [text for text in PROJECT["dependency-groups"]["dev"] if isinstance(text, str)]),
    ],
)
def test_a_lock_pins_each_declared_dependency_with_hashes_and_names_no_index(lock: str, declared: list[str]) -> None:
    for requirement in map(Requirement, declared):
        pin = pins(lock).get(requirement.name)
        assert pin is not None, f"{lock} lacks {requirement.name}: run `make lock`"
        assert requirement.specifier.contains(pin, prereleases=True), f"{lock} pins {requirement.name} {pin}: run `make lock`"

    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text.strip()))


def test_the_locks_agree_on_every_version() -> None:
    installed = pins("requirements.lock").items() | pins("requirements-build.lock").items()
    assert installed <= pins("requirements-dev.lock").items()
    assert len(installed) == len(dict(installed))


def test_the_versions_of_the_package_the_viewer_and_the_changelog_are_one() -> None:
    newest = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == PROJECT["project"]["version"]
    assert orjson.loads((ROOT / "viewer" / "package.json").read_bytes())["version"] == newest


def copied_from_here() -> Iterator[str]:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            yield from line.split()[1:-1]


def test_what_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    for source in copied_from_here():
        assert (ROOT / source).exists(), f"Dockerfile copies {source}, which does not exist"
        assert any(source == name or source.startswith(f"{name}/") for name in sent), f".dockerignore holds {source} back"
    assert {"viewer/node_modules", "viewer/vendor"} <= set(rules)


def test_the_image_builds_with_what_the_project_asks_for_and_runs_without_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    pythons = set(re.findall(r"^FROM python:([\d.]+)-slim", dockerfile, re.MULTILINE))
    (node,) = re.findall(r"^FROM node:(\d+)-slim", dockerfile, re.MULTILINE)
    engines = orjson.loads((ROOT / "viewer" / "package.json").read_bytes())["engines"]["node"]

    assert len(pythons) == 1
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(pythons.pop())
    assert SpecifierSet(engines).contains(node)
    assert re.findall(r"^USER (\w+)", dockerfile, re.MULTILINE) == ["tileserver"]
    assert "/health/live" in dockerfile


def test_the_composition_holds_no_password() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    passwords = re.findall(r"POSTGRES_PASSWORD: (.+)", compose) + re.findall(r"postgresql://\w+:(.+)@", compose)
    assert len(passwords) == 2
    assert all(re.fullmatch(r"\$\{POSTGRES_PASSWORD(:\?[^}]+)?\}", password) for password in passwords)
