"""API, workers, relay and broker, started as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
import psutil
import redis

from shared.database import connect
from shared.migrations import schema
from tests.contract import checked_client
from tests.parts import ADMIN, ADMIN_TOKEN, HOUSE, free_port, wait_until


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
