"""`make doctor`: what it asks where the stack of this machine runs, and where it does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import redis

from shared import doctor
from shared.settings import Settings
from standalone.data_folder import API_URL, BROKER_URL, FLOWER_URL, is_occupied, occupy
from standalone.doctor import parts_of
from tests.parts import HOUSE, free_port

DOORS = {
    "API address": (API_URL, "/health/ping", b'"pong"'),
    "Flower": (FLOWER_URL, "/healthcheck", b"OK"),
}


def page(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    settings = Settings.from_environ({"ISOLINE_DATA_DIR": str(folder)})
    code = doctor.main(settings, [], parts_of(settings))
    return code, capsys.readouterr().out


def test_where_nothing_runs_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "never was", tmp_path / "was"):
        code, said = page(folder, capsys)
        assert code == 1
        first, advice, _, last = said.splitlines()
        assert first == f"!!  Isoline        does not run on {folder}"
        assert "make run; or set ISOLINE_DATA_DIR" in advice
        assert last == "1 of 1 need somebody."
        with occupy(tmp_path / "was"):
            pass
    assert not (tmp_path / "never was").exists()


def test_where_it_runs_nobody_is_told_to_start_what_comes_back_by_itself(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.zadd("isoline:heartbeats", {"worker:somebody": client.time()[0] - 60})
    with occupy(tmp_path):
        assert is_occupied(tmp_path)
        (tmp_path / BROKER_URL).write_text(redis_url)
        code, said = page(tmp_path, capsys)
    assert code == 1
    assert "!!  workers        0 online (somebody 6" in said
    assert "`make run` brings it back by itself" in said
    assert "python -m worker" not in said
    assert not is_occupied(tmp_path)


@contextmanager
def somebody(status: int, path: str, body: bytes) -> Iterator[int]:
    """Whoever answers what is asked under this path so, on a port of their own."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@contextmanager
def nobody_awake() -> Iterator[int]:
    """Whoever is frozen: the kernel still takes connections, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        yield frozen.getsockname()[1]


def said_of(folder: Path, name: str, port: int) -> tuple[str, bool]:
    """What the doctor says of a door that was opened there, and whether it is well."""
    (folder / DOORS[name][0]).write_text(f"http://127.0.0.1:{port}\n")
    with occupy(folder):
        settings = Settings.from_environ({"ISOLINE_DATA_DIR": str(folder)})
        [finding] = [
            one for one in doctor.examine(settings, parts_of(settings)) if one.what == name
        ]
    return finding.says, finding.is_well


@pytest.mark.parametrize("name", DOORS)
def test_a_door_answers_when_somebody_behind_it_does(tmp_path: Path, name: str) -> None:
    _, path, body = DOORS[name]
    with somebody(200, path, body) as port:
        assert said_of(tmp_path, name, port) == (f"http://127.0.0.1:{port} answers", True)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_that_only_takes_connections_does_not_answer(tmp_path: Path, name: str) -> None:
    _, path, body = DOORS[name]
    for who in (nobody_awake(), somebody(500, path, body), somebody(200, path, b"another")):
        with who as port:
            said = said_of(tmp_path, name, port)
        assert said == (f"http://127.0.0.1:{port} does not answer", False)
    refused = free_port()
    said = said_of(tmp_path, name, refused)
    assert said == (f"http://127.0.0.1:{refused} does not answer", False)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_whose_address_cannot_be_read_is_not_passed_over(tmp_path: Path, name: str) -> None:
    noted = tmp_path / DOORS[name][0]
    settings = Settings.from_environ({"ISOLINE_DATA_DIR": str(tmp_path)})

    def said() -> tuple[str, bool]:
        [finding] = [
            one for one in doctor.examine(settings, parts_of(settings)) if one.what == name
        ]
        return finding.says, finding.is_well

    says = "cannot be examined: what is noted of it cannot be read"
    with occupy(tmp_path):
        noted.write_bytes(b"http://127.0.0.1:none")
        assert said() == (f"{says} (ValueError)", False)
        noted.write_bytes(b"\xff")
        assert said() == (f"{says} (UnicodeDecodeError)", False)
        noted.unlink()
        noted.mkdir()
        assert said() == (f"{says} (IsADirectoryError)", False)


def test_the_audit_trail_is_to_be_had_before_the_first_start_as_a_sentence(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "standalone.doctor", "--audit"],
        env={**os.environ, "ISOLINE_DATA_DIR": str(tmp_path)},
        cwd=HOUSE,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'isoline.db'} is not there.\n"
    assert not list(tmp_path.iterdir())
