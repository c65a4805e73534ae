"""The README's batch section, typed as it is written into a terminal, in a fresh checkout."""

from __future__ import annotations

import csv
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_make_run import Run
from tests.parts import HOUSE, wait_until

pytestmark = [
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
    # All of it is installed, first.
    pytest.mark.timeout(300),
]

SECTION = (
    (HOUSE / "README.md")
    .read_text()
    .partition("\n## An archive in, a table out\n")[2]
    .partition("\n## ")[0]
)
*PREPARING, SUBMITTING = [
    line.partition(" #")[0].strip()
    for line in re.findall("```sh\n(.*?)```", SECTION, re.DOTALL)[0]
    # A command may go on in the next line.
    .replace("&&\n", "&&")
    .splitlines()
]
# What the terminal says once a command has ended, with its exit code.
ENDED = r"\[ended (\d+)\]"
RESULTS = "isoline batch results [0-9a-f-]{36} --csv > table.csv"


class Terminal:
    """A shell in a terminal of 80 columns, into which is typed what a person would type."""

    def __init__(self, place: Path, environ: dict[str, str]) -> None:
        self._screen, theirs = pty.openpty()
        # Opened by the first of its session, it is the terminal whose Ctrl-C they all hear.
        shell = f"exec bash --norc --noprofile -i <>{os.ttyname(theirs)} >&0 2>&0"
        self._process = subprocess.Popen(
            ["bash", "-c", shell],
            cwd=place,
            env={
                **environ,
                "TERM": "xterm-256color",
                "COLUMNS": "80",
                "PROMPT_COMMAND": 'echo "[ended $?]"',
            },
            start_new_session=True,
        )
        self._shown = ""
        self.read_until(ENDED)
        os.close(theirs)

    def type(self, text: str) -> None:
        """Press keys; what was shown before is forgotten."""
        self._shown = ""
        os.write(self._screen, text.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """Wait until this is shown, without what gives colours and moves the cursor."""
        return wait_until(lambda: self._look_for(pattern), 90, f"for {pattern}")  # type: ignore[no-any-return]

    def _look_for(self, pattern: str) -> re.Match[str] | None:
        while select.select([self._screen], [], [], 0)[0]:
            self._shown += os.read(self._screen, 4096).decode(errors="replace")
        return re.search(pattern, self.shown())

    def shown(self) -> str:
        """What was shown since something was typed."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown).replace("\r", "")

    def run(self, command: str) -> str:
        """Type a command that ends well; return what it shows."""
        self.type(f"{command}\n")
        assert self.read_until(ENDED)[1] == "0", self.shown()
        return self.shown()

    def close(self) -> None:
        """Close the window."""
        os.killpg(self._process.pid, signal.SIGHUP)
        self._process.wait(10)
        os.close(self._screen)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has cloned, and an environment in which pip finds what it would fetch."""
    folder = tmp_path_factory.mktemp("fresh") / "isoline"
    shutil.copytree(HOUSE, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "archive"))
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=60)
    [site] = environment.glob("lib/python*/site-packages")
    (site / "fetched.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture(scope="module")
def terminal(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """After `make run`, all that goes before the batch; the port is one that is free."""
    run = Run(
        tmp_path_factory.mktemp("run"),
        ["make", "run"],
        checkout,
        ISOLINE_DATA_DIR=str(checkout / ".isoline"),
        ISOLINE_FLOWER_PORT="0",
        PIP_NO_INDEX="1",
    )
    environ = {name: text for name, text in run.environ.items() if "ISOLINE_" not in name}
    try:
        run.wait_for("Isoline is running")
        terminal = Terminal(
            checkout, {**environ, "XDG_CONFIG_HOME": str(checkout.parent / "config")}
        )
        for command in PREPARING:
            terminal.run(command.replace(":8000", f":{run.port}"))
        yield terminal
        terminal.close()
    finally:
        run.end(signal.SIGTERM)


def take_the_table(terminal: Terminal, checkout: Path, shown: str) -> list[dict[str, str]]:
    """Type what the command says it takes; what was folded on the screen is one command."""
    [command] = re.findall(RESULTS, shown)
    terminal.run(command)
    with (checkout / "table.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def test_typed_as_written_it_ends_with_the_table_in_hand(
    terminal: Terminal, checkout: Path
) -> None:
    shown = terminal.run(SUBMITTING)
    table = take_the_table(terminal, checkout, shown)
    assert len(table) == 100 * 12
    assert [row["name"] for row in table[:3]] == ["I", "II", "III"]
    # It begins as it is printed there, but for ids.
    [printed] = re.findall("```\n(line,custom_id.*?)```", SECTION, re.DOTALL)
    for row, expected in zip(table, csv.DictReader(printed.splitlines()), strict=False):
        for name in expected.keys() - {"…", "ecg_id"}:
            assert row[name] == expected[name], name
    # Typed once more, it finds the batch that there is.
    assert re.findall(RESULTS, terminal.run(SUBMITTING)) == re.findall(RESULTS, shown)


def test_interrupted_in_the_middle_the_same_command_goes_on(
    terminal: Terminal, checkout: Path
) -> None:
    for file in (checkout / "archive").iterdir():
        # Touched, they are another batch.
        os.utime(file)
    terminal.type(f"{SUBMITTING}\n")
    terminal.read_until(r"sending .* [2-8]\d/100 ")
    terminal.type("\x03")
    assert terminal.read_until(ENDED)[1] == "130", terminal.shown()
    assert "type the same command again" in " ".join(terminal.shown().split())
    shown = terminal.run(SUBMITTING)
    assert re.search(r"\d+ of 100 had come before\.", shown)
    table = take_the_table(terminal, checkout, shown)
    assert len(table) == 100 * 12
    assert len({row["ecg_id"] for row in table}) == 100
