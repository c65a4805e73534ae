"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
ROOMS = ("api", "worker", "shared", "standalone")
SOURCES = sorted(path for room in ROOMS for path in (HOUSE / room).rglob("*.py"))
IDS = [str(path.relative_to(HOUSE)) for path in SOURCES]
CLIENT = sorted((HOUSE / "client").rglob("*.py"))


def test_rooms_import_only_whom_they_may() -> None:
    # In a process of its own: it imports its plugins into whoever asks.
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_flask_stays_at_the_door(path: Path) -> None:
    api = HOUSE / "api"
    if path.parent != api / "routes" and path != api / "app.py":
        assert not any(name.split(".")[0] in {"flask", "werkzeug"} for name in imports_of(path))


def test_the_acts_do_not_load_flask_by_a_detour() -> None:
    door = {"api.__init__", "api.__main__", "api.app", "api.wsgi"}
    acts = {f"api.{path.stem}" for path in (HOUSE / "api").glob("*.py")} - door
    assert "api.batches" in acts
    asked = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    asked += "; print({'flask', 'werkzeug'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", asked, *sorted(acts)], cwd=HOUSE, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if path != HOUSE / "shared" / "settings.py":
        text = path.read_text()
        assert "os.environ" not in text
        assert "getenv" not in text


# What says what time it is, by the clock of whoever asks.
CLOCKS = {
    *("time.time", "time.time_ns", "time.clock_gettime", "time.clock_gettime_ns"),
    *("time.localtime", "time.gmtime", "time.ctime", "time.strftime", "time.asctime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}


def clocks_in(text: str) -> set[str]:
    """Which clocks are read there, by whichever name: `from time import time` counts as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            found.add(".".join(ast.unparse(node).split(".")[-2:]))
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            renamed = {alias.name for alias in node.names if alias.asname}
            # Under another name none would be known.
            found |= CLOCKS if renamed & {"time", "datetime", "date"} else set()
    return found & CLOCKS


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "from time import time_ns as now",
        "import time as clock\nclock.time()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime as moment\nmoment.now()",
    ],
)
def test_a_clock_is_seen(text: str) -> None:
    assert clocks_in(text)


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_what_time_it_is_says_the_database_alone(path: Path) -> None:
    # `time.monotonic` measures how long something takes, and is nobody's clock.
    if path.parent.name != "standalone":
        assert clocks_in(path.read_text()) == set()


@pytest.mark.parametrize("path", CLIENT, ids=lambda path: path.stem)
def test_the_client_knows_nobody_here_and_reads_files_only_when_asked(path: Path) -> None:
    names = {name.split(".")[0] for name in imports_of(path)}
    assert names.isdisjoint({*ROOMS, "flask", "celery", "sqlalchemy", "redis"})
    if path.parent.name != "formats":
        text = path.read_text()
        for name in ("numpy", "pandas", "wfdb", "edfio"):
            # Indented: for type checkers, or when it is needed.
            assert f"\nimport {name}" not in text


@pytest.mark.parametrize("path", [*SOURCES, *CLIENT], ids=[*IDS, *(path.stem for path in CLIENT)])
def test_no_room_is_too_large(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 280


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in SOURCES
        if path.parent.name in {"detection", "insights"} or path.stem == "intervals"
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_the_bench_has_no_door_to_the_outside(path: Path) -> None:
    third_party = {"numpy", "shared", "worker"}
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in third_party, name
        assert top != "shared" or name == "shared.errors", name


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    assert not {path.stem for path in SOURCES} & sys.stdlib_module_names
