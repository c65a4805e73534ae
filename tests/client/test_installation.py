"""`pip install .` as others type it: the client and the command, and nothing of the server."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

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


def copy_distribution(name: str, site: Path) -> None:
    """Have what is installed here installed there too, byte for byte, without any index."""
    for file in metadata.files(name) or []:
        # Not the commands in bin: each begins with the path of the Python it is for.
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_bytes(Path(file.locate()).read_bytes())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with what the package says it needs, and then the package itself."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=60)
    [site] = folder.glob("lib/python*/site-packages")
    declared: list[str] = PROJECT["project"]["dependencies"]
    for name in closure([*declared, *PROJECT["dependency-groups"]["build"]]):
        copy_distribution(name, site)
    # No index: whatever else it needed would be missed, and the installation would fail.
    command = [*("-m", "pip", "install", "--no-index", "--no-build-isolation"), str(HOUSE)]
    done = subprocess.run(
        [str(folder / "bin" / "python"), *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin"


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
