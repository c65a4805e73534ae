"""The Makefile, as far as it goes without installing anything or starting Docker."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


class Checkout:
    """A copy of what the Makefile needs, in a path with spaces, and commands that it will find."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a check out"
        self.folder.mkdir()
        self.bin = folder / "commands"
        self.bin.mkdir()
        for name in ("Makefile", ".env.example", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(HOUSE / name, self.folder)
        for name in ("sh", "awk", "od", "tr", "mv", "touch", "mkdir", "rm", "find"):
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def command(self, name: str, script: str) -> None:
        """Have a command of this name do this."""
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def make(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """Run make with these commands and no others."""
        environ = {"PATH": str(self.bin), "HOME": str(self.folder)}
        return subprocess.run(
            [str(MAKE), *targets], cwd=self.folder, env=environ, capture_output=True, text=True
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_make_alone_is_the_help(checkout: Checkout) -> None:
    done = checkout.make()
    assert done.returncode == 0
    listed = set(re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.+)$", (HOUSE / "Makefile").read_text(), re.MULTILINE)
    assert listed == set(phony.split()) - {"help"}
    # Of a terminal as it opens, with room for the prompt.
    lines = done.stdout.splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= 80


def test_without_a_python_that_is_new_enough_a_sentence_says_so(checkout: Checkout) -> None:
    checkout.command("python3", "exit 1")
    done = checkout.make("run")
    assert done.returncode != 0
    assert "Isoline needs Python 3.11 or newer, and found none." in done.stderr


def test_without_the_venv_module_a_sentence_says_so(checkout: Checkout) -> None:
    checkout.command("python3", "exit 1")
    checkout.command("python3.12", 'case "$2" in *venv*) exit 1;; esac')
    done = checkout.make("run")
    assert done.returncode != 0
    assert "python3.12 lacks its venv module" in done.stderr


def test_the_first_python_that_will_do_makes_the_environment_once(checkout: Checkout) -> None:
    # A Python that says what it was asked, and whose virtual environment is itself.
    checkout.command(
        "python3.13",
        'echo "$@" >> asked\n'
        'case "$*" in "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;; esac',
    )
    (checkout.bin / "cp").symlink_to(str(shutil.which("cp")))
    asked = checkout.folder / "asked"

    assert checkout.make("run").returncode == 0
    first = asked.read_text()
    assert "-m venv --clear .venv" in first
    assert "install --require-hashes -r requirements.txt" in first
    assert first.splitlines()[-1] == "-m standalone --leashed"

    asked.unlink()
    assert checkout.make("run").returncode == 0
    assert asked.read_text() == "-m standalone --leashed\n"

    asked.unlink()
    later = (checkout.folder / ".venv/run.stamp").stat().st_mtime + 1
    os.utime(checkout.folder / "requirements.txt", (later, later))
    assert checkout.make("run").returncode == 0
    assert "install --require-hashes -r requirements.txt" in asked.read_text()
    assert "venv --clear" not in asked.read_text()


@pytest.mark.parametrize("has_plugin", [True, False])
def test_up_makes_random_secrets_once_and_starts_compose(
    checkout: Checkout, has_plugin: bool
) -> None:
    checkout.command("docker", 'echo docker "$@" >> asked' if has_plugin else "exit 1")
    checkout.command("docker-compose", 'echo docker-compose "$@" >> asked')
    assert checkout.make("up").returncode == 0
    file = checkout.folder / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = re.findall(r"^([A-Z_]+)=(.+)$", file.read_text(), re.MULTILINE)
    no_secrets = ("_PORT", "_WORKERS", "_MEMORY")
    secrets = {name: value for name, value in lines if not name.endswith(no_secrets)}
    assert set(secrets) == {
        "ISOLINE_ADMIN_TOKEN",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "FLOWER_BASIC_AUTH",
    }
    assert secrets["FLOWER_BASIC_AUTH"].startswith("isoline:")
    plain = {value.removeprefix("isoline:") for value in secrets.values()}
    assert len(plain) == 4
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in plain)

    before = file.read_text()
    assert checkout.make("up").returncode == 0
    assert checkout.make("down").returncode == 0
    assert file.read_text() == before
    compose = "docker compose" if has_plugin else "docker-compose"
    asked = (checkout.folder / "asked").read_text().splitlines()
    up = f"{compose} up --build -d"
    assert [line for line in asked if "version" not in line] == [up, up, f"{compose} down"]


def test_without_docker_a_sentence_says_so(checkout: Checkout) -> None:
    done = checkout.make("up")
    assert done.returncode != 0
    assert "This needs Docker" in done.stderr
