"""Holding an answer back until there is news: `Prefer: wait=N` (RFC 7240)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import redis

LONGEST_S = 20
# Whoever waits for an ECG is called when there is news, and looks by himself as well: a call may
# get lost. He then notices it a share of what he has waited later, and spares the database. Whoever
# waits for a batch only looks: he would be called for each of its messages.
SHORTEST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.1
PAUSE_SHARE = 0.12
# How long nobody listens after the broker was found to be away.
DEAF_S = 1.0

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)


class News(Protocol):
    """What somebody waits for."""

    @property
    def has_ended(self) -> bool:
        """Whether there will be no further news."""
        ...


N = TypeVar("N", bound=News)


def parse_wait(prefer: str | None) -> int | None:
    """The seconds in a Prefer header, at most `LONGEST_S`; None when it does not ask to wait."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), LONGEST_S) if match else None


class WaitingRoom:
    """A bounded number of chairs: whoever finds none is answered at once."""

    def __init__(self, chairs: int, listen: Callable[[], Iterator[Sequence[str]]]) -> None:
        """Set up the chairs; nobody listens before somebody waits.

        Parameters
        ----------
        listen : what there is news of, as it comes; raises `redis.RedisError`.
        """
        self._chairs = threading.BoundedSemaphore(chairs)
        self._listen = listen
        self._lock = threading.Lock()
        # Of everybody who waits: for what, and how to call them.
        self._waiting: dict[threading.Event, str] = {}
        self._listener: threading.Thread | None = None
        self._is_closing = False

    def close(self) -> None:
        """Send everybody home, and let nobody wait any more: the process is about to end."""
        self._is_closing = True
        self._call(None)

    def wait(self, of: str, look: Callable[[], N], seconds: int) -> N | None:
        """Look until that was the last news or the time is over; None when every chair is taken.

        Parameters
        ----------
        of : the id of what is waited for.
        """
        if not self._chairs.acquire(blocking=False):
            return None
        called = threading.Event()
        try:
            with self._lock:
                self._waiting[called] = of
                self._be_all_ears()
            began_s = time.monotonic()
            while True:
                called.clear()
                news = look()
                waited_s = time.monotonic() - began_s
                left_s = seconds - waited_s
                if news.has_ended or left_s <= 0 or self._is_closing:
                    return news
                pause_s = max(SHORTEST_PAUSE_S, min(PAUSE_SHARE * waited_s, LONGEST_PAUSE_S))
                called.wait(min(pause_s, left_s))
        finally:
            with self._lock:
                del self._waiting[called]
            self._chairs.release()

    def _call(self, ids: Sequence[str] | None) -> None:
        """Call those who wait for these, or everybody."""
        with self._lock:
            for called, of in self._waiting.items():
                if ids is None or of in ids:
                    called.set()

    def _be_all_ears(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._hear, name="news", daemon=True)
            self._listener.start()

    def _hear(self) -> None:
        while True:
            try:
                for ids in self._listen():
                    self._call(ids)
            except (redis.RedisError, ValueError):
                # It is away, or somebody sent what is no text.
                time.sleep(DEAF_S)
