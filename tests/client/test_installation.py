"""`pip install .` as others type it: the client and the command, and nothing of the server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import edfio
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.parts import HOUSE

PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())
SERVER = {"flask", "celery", "sqlalchemy", "redis", "granian", "psycopg"}


def closure(requirements: list[str]) -> set[str]:
    """The distributions that must be there for these, and for what they need in turn."""
    names: set[str] = set()
    coming = list(requirements)
    while coming:
        requirement = Requirement(coming.pop())
        name = canonicalize_name(requirement.name)
        is_meant = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_meant and name not in names:
            names.add(name)
            coming += metadata.requires(name) or []
    return names


def link_distribution(name: str, site: Path) -> None:
    """Have what is installed here installed there too, without any index."""
    for file in metadata.files(name) or []:
        # Not the commands in bin: each begins with the path of the Python it is for.
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).symlink_to(Path(file.locate()).resolve())


def install(folder: Path, extra: str = "") -> Path:
    """Make a fresh environment with what the package says it needs, and then the package itself."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=60)
    [site] = folder.glob("lib/python*/site-packages")
    declared: list[str] = PROJECT["project"]["dependencies"]
    more: list[str] = PROJECT["project"]["optional-dependencies"][extra] if extra else []
    for name in closure([*declared, *more, *PROJECT["dependency-groups"]["build"]]):
        link_distribution(name, site)
    what = f"{HOUSE}[{extra}]" if extra else str(HOUSE)
    # No index: whatever else it needed would be missed, and the installation would fail.
    command = [*("-m", "pip", "install", "--no-index", "--no-build-isolation"), what]
    done = subprocess.run(
        [str(folder / "bin" / "python"), *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pip install .` has put the client."""
    return install(tmp_path_factory.mktemp("fresh") / "venv")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A recording in each of the formats that need a library."""
    folder = tmp_path_factory.mktemp("files")
    np.array([1, -1], "<i2").tofile(folder / "r.dat")
    (folder / "r.hea").write_text("r 1 250 2\nr.dat 16 200 16 0 1 0 0 I\n")
    edf = edfio.Edf([edfio.EdfSignal(np.array([1.0, -1.0]), 2, label="I", physical_dimension="mV")])
    edf.write(folder / "r.edf")
    (folder / "r.csv").write_text("I\n1\n-1\n")
    np.save(folder / "r.npy", np.array([1, -1]))
    return sorted(folder.glob("r.[!d]*"))


def read_in(environment: Path, files: list[Path]) -> dict[str, str]:
    """What the reader of that environment finds in each of the files, or says of it."""
    program = """
import json, sys
from pathlib import Path
from isoline.formats import read
found = {Path(file).suffix: [one for _, one in read(Path(file))] for file in sys.argv[1:]}
names = {suffix: [getattr(one, "leads", one) for one in ones] for suffix, ones in found.items()}
print(json.dumps({suffix: str(*ones) for suffix, ones in names.items()}))
"""
    done = subprocess.run(
        [str(environment / "python"), "-c", program, *map(str, files)],
        cwd=files[0].parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_with_the_extra_every_format_is_read(
    tmp_path_factory: pytest.TempPathFactory, files: list[Path]
) -> None:
    found = read_in(install(tmp_path_factory.mktemp("extra") / "venv", "formats"), files)
    assert found.keys() == {".csv", ".edf", ".hea", ".npy"}
    assert all(said.startswith("[Lead(name=") for said in found.values()), found


def test_without_the_extra_it_is_named(environment: Path, files: list[Path]) -> None:
    found = read_in(environment, files)
    assert found.keys() == {".csv", ".edf", ".hea", ".npy"}
    for said in found.values():
        assert re.fullmatch(r"To read it \w+ is needed: pip install 'isoline\[formats\]'", said)


def test_the_command_is_there_and_works(environment: Path, tmp_path: Path) -> None:
    for argument, expected in (
        ("--version", f"isoline, version {PROJECT['project']['version']}\n"),
        ("--help", "Upload electrocardiograms, get measurements."),
    ):
        done = subprocess.run(
            [str(environment / "isoline"), argument],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout


def test_nothing_of_the_server_came_along(environment: Path, tmp_path: Path) -> None:
    program = """
import importlib.util, json
from importlib import metadata
from isoline import Client, Ecg, Lead

print(json.dumps([
    [found.name.lower() for found in metadata.distributions()],
    [name for name in {names} if importlib.util.find_spec(name)],
]))
"""
    asked = [*SERVER, "api", "worker", "shared", "standalone"]
    done = subprocess.run(
        [str(environment / "python"), "-c", program.replace("{names}", repr(asked))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    installed, importable = json.loads(done.stdout)
    assert "isoline" in installed
    assert SERVER.isdisjoint(installed)
    assert importable == []
