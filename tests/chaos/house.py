"""A private stack with a broker of its own, which may be maltreated."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Self

from sqlalchemy import create_engine, text

from tests.brokers import open_valkey
from tests.databases import PostgreSql
from tests.parts import free_port
from tests.stack import Stack

# So much of the log of a process that ended by itself is shown: its folder will be gone.
LAST_WORDS = 20_000


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
        self.ended_by_themselves: Counter[str] = Counter()
        self._warden = threading.Thread(target=self._bring_back)
        self._warden.start()
        return self

    def _bring_back(self) -> None:
        """Start again whoever has ended, as a supervisor would, and count whom nobody killed."""
        while not self._is_over.wait(0.5):
            for name, process in list(self._processes.items()):
                code = process.poll()
                if code is not None and self._processes.get(name) is process:
                    if code != -signal.SIGKILL:
                        self.ended_by_themselves[f"{name} with {code}"] += 1
                        last_words = self.log(name)[-LAST_WORDS:]
                        print(f"{name} ended with {code}:\n{last_words}", file=sys.stderr)
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
