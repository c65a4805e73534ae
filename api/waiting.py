"""Holding an answer back until there is news: `Prefer: wait=N` (RFC 7240)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

LONGEST_S = 20
# Most analyses take milliseconds; who waits for longer ones notices news a share of that later, and
# spares the database.
SHORTEST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.1
PAUSE_SHARE = 0.12

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

    def __init__(self, chairs: int) -> None:
        self._chairs = threading.BoundedSemaphore(chairs)
        self._is_closing = threading.Event()

    def close(self) -> None:
        """Send everybody home, and let nobody wait any more: the process is about to end."""
        self._is_closing.set()

    def wait(self, look: Callable[[], N], seconds: int) -> N | None:
        """Look until that was the last news or the time is over; None when every chair is taken."""
        if not self._chairs.acquire(blocking=False):
            return None
        try:
            began_s = time.monotonic()
            while True:
                news = look()
                waited_s = time.monotonic() - began_s
                left_s = seconds - waited_s
                if news.has_ended or left_s <= 0:
                    return news
                pause_s = max(SHORTEST_PAUSE_S, min(PAUSE_SHARE * waited_s, LONGEST_PAUSE_S))
                if self._is_closing.wait(min(pause_s, left_s)):
                    return news
        finally:
            self._chairs.release()
