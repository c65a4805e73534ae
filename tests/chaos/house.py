"""A private stack with a broker of its own, and all the ways to maltreat it."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self, cast

import psutil
from sqlalchemy import create_engine, text

from shared.jobs import INTERACTIVE
from tests.parts import PostgreSql, Stack, free_port, open_valkey, wait_until


class House(Stack):
    """API, workers, relay and a Valkey; whatever is killed is started again, as one would."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        poisoned: bool = False,
        postgresql: PostgreSql | None = None,
    ) -> None:
        self.database_url = database_url
        # The server behind that URL, when it is this house's own.
        self.postgresql = postgresql
        self._port_of_broker = free_port()
        self.broker, self.redis_url = open_valkey(folder, self._port_of_broker)
        super().__init__(
            folder, database_url=database_url, redis_url=self.redis_url, poisoned=poisoned
        )

    def __enter__(self) -> Self:
        try:
            super().__enter__()
        except BaseException:
            self.broker.kill()
            self.broker.wait()
            raise
        self._is_over = threading.Event()
        self._warden = threading.Thread(target=self._bring_back)
        self._warden.start()
        return self

    def _bring_back(self) -> None:
        """Start again whoever has ended, as a supervisor would."""
        while not self._is_over.wait(0.5):
            for name, process in list(self._processes.items()):
                if process.poll() is not None and self._processes.get(name) is process:
                    self.start(name)

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._warden.join()
        try:
            super().__exit__()
        finally:
            self.broker.kill()
            self.broker.wait()

    def kill_the_broker(self) -> None:
        """Kill it, and with it all that it knew."""
        self.broker.kill()
        self.broker.wait()

    def bring_back_the_broker(self) -> None:
        """Start another one, with nothing in it, where the first one was."""
        self.broker, _ = open_valkey(self.folder, self._port_of_broker)

    def lock_the_database(self, seconds: float) -> None:
        """Keep everybody from writing for a while."""
        if self.database_url.startswith("sqlite"):
            path = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
                connection.execute("ROLLBACK")
            return
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE ecgs IN ACCESS EXCLUSIVE MODE"))
            time.sleep(seconds)
        engine.dispose()


class Chaos:
    """The faults, by name; each returns when it is over and everything has been started again."""

    def __init__(self, house: House, seed: int, scale: float) -> None:
        self._house = house
        self._chance = random.Random(seed)
        self._scale = scale

    def faults(self) -> dict[str, Callable[[], object]]:
        """What there is, in the order of the report."""
        faults: dict[str, Callable[[], object]] = {
            "worker child killed": self._kill_a_child,
            "worker's parent killed": self._behead_the_worker,
            "worker killed": lambda: self._kill("worker"),
            "relay killed": lambda: self._kill("relay"),
            "API killed": self._kill_the_api,
            "broker killed, data gone": self._kill_the_broker,
            "FLUSHALL": self._house.redis.flushall,
            "broker stopped 25 s": self._stop_the_broker,
            "worker stopped 25 s": self._stop_the_worker,
            "broker down 10 s": self._take_the_broker_away,
            "database locked 8 s": lambda: self._house.lock_the_database(8 * self._scale),
            "messages doubled": lambda: self._rearrange(lambda messages: messages * 2),
            "messages reordered": lambda: self._rearrange(self._shuffled),
        }
        if self._house.postgresql is not None:
            faults["database killed, back after 5 s"] = self._crash_the_database
        return faults

    def _kill_a_child(self) -> None:
        children = psutil.Process(self._house.process("worker").pid).children()
        if children:
            self._chance.choice(children).kill()

    def _behead_the_worker(self) -> None:
        # Its children go on with what they have begun while another worker is there already.
        self._house.behead("worker")
        self._house.start("worker")

    def _crash_the_database(self) -> None:
        postgresql = self._house.postgresql
        assert postgresql is not None
        postgresql.crash()
        time.sleep(5 * self._scale)
        postgresql.start()

    def _kill(self, name: str) -> None:
        self._house.kill(name)
        self._house.start(name)

    def _kill_the_api(self) -> None:
        self._kill("api")
        wait_until(self._house.answers, 30, "for the API")

    def _kill_the_broker(self) -> None:
        self._house.kill_the_broker()
        self._house.bring_back_the_broker()

    def _take_the_broker_away(self) -> None:
        self._house.kill_the_broker()
        time.sleep(10 * self._scale)
        self._house.bring_back_the_broker()

    def _stop_the_broker(self) -> None:
        self._house.broker.send_signal(signal.SIGSTOP)
        time.sleep(25 * self._scale)
        self._house.broker.send_signal(signal.SIGCONT)

    def _stop_the_worker(self) -> None:
        parent = psutil.Process(self._house.process("worker").pid)
        stopped = [parent, *parent.children(recursive=True)]
        for process in stopped:
            process.suspend()
        time.sleep(25 * self._scale)
        for process in stopped:
            process.resume()

    def _rearrange(self, how: Callable[[list[bytes]], list[bytes]]) -> None:
        # While nobody takes any, so that there are some.
        worker = psutil.Process(self._house.process("worker").pid)
        worker.suspend()
        time.sleep(2 * self._scale)
        broker = self._house.redis
        messages = cast(list[bytes], broker.lrange(INTERACTIVE, 0, -1))
        if messages:
            broker.delete(INTERACTIVE)
            broker.rpush(INTERACTIVE, *how(messages))
        worker.resume()

    def _shuffled(self, messages: list[bytes]) -> list[bytes]:
        return self._chance.sample(messages, len(messages))
