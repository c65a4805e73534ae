"""Trying again: what may pass by itself, with pauses that grow, and as the server asks."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import TypeVar

import httpx

from isoline.errors import TakenOver, Unavailable, Unreachable

# What may pass by itself.
PASSING = (Unreachable, Unavailable, TakenOver)
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A server that asks for more than that, in all, is not waited for: whoever called hears of it.
LONGEST_ASKED_S = 300.0
# The longest that a server holds an answer back.
LONGEST_WAIT_S = 20
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{0,9})?", re.ASCII)

T = TypeVar("T")


class Patience:
    """How often, and for how long, one thing is tried again.

    Parameters
    ----------
    most_attempts : how often it is tried.
    patience_s : how long it is tried at least, however often that is.
    on_retry : is told what went wrong, and in how many seconds it is tried again.
    """

    def __init__(
        self,
        most_attempts: int,
        patience_s: float = 0.0,
        on_retry: Callable[[Exception, float], None] | None = None,
    ) -> None:
        self._most_attempts = most_attempts
        self._patience_s = patience_s
        self._on_retry = on_retry
        self._attempts, self._since_s = 0, 0.0

    def begin_anew(self) -> None:
        """What went wrong before counts no more: it has got further."""
        self._attempts = 0

    def pause(self, error: Unreachable | Unavailable | TakenOver) -> None:
        """Sleep before it is tried again; raises the error when there is no patience left."""
        now_s = monotonic()
        if self._attempts == 0:
            self._since_s = now_s
        self._attempts += 1
        asked_s = _asked_s(error)
        if now_s + asked_s > self._since_s + max(self._patience_s, LONGEST_ASKED_S):
            said = str(error.args[0]).rstrip(".")
            error.args = (f"{said}; it asks not to be tried again for {asked_s:.0f} seconds.",)
            raise error
        wait_s = pause_s(self._attempts, error)
        if self._attempts >= self._most_attempts:
            end_s = self._since_s + self._patience_s
            if now_s >= end_s:
                raise error
            wait_s = max(asked_s, min(wait_s, end_s - now_s))
        if self._on_retry is not None:
            self._on_retry(error, wait_s)
        sleep(wait_s)


def insist(
    act: Callable[[], T], patience: Patience, has_got_further: Callable[[], bool] = lambda: False
) -> T:
    """Do something again when the server cannot be reached or is not available at the moment.

    Parameters
    ----------
    has_got_further : whether the last attempt did more than any before; then patience begins anew.

    Raises
    ------
    Unreachable, Unavailable, TakenOver : what the last attempt met with.
    """
    while True:
        try:
            return act()
        except PASSING as error:
            if has_got_further():
                patience.begin_anew()
            patience.pause(error)


def wait_until_ended(
    look: Callable[[int], T], has_ended: Callable[[T], bool], timeout_s: float
) -> T:
    """Look again and again, with the seconds for which the server may hold its answer back.

    Raises
    ------
    TimeoutError : it has not ended within that time.
    """
    end_s = monotonic() + timeout_s
    while True:
        left_s = end_s - monotonic()
        found = look(max(0, min(LONGEST_WAIT_S, int(left_s))))
        if has_ended(found):
            return found
        if left_s <= 0:
            raise TimeoutError(f"It has not ended within {timeout_s:g} seconds.")
        # Where every chair is taken, the server answers at once.
        sleep(min(0.2, max(left_s, 0.0)))


def pause_s(attempt: int, error: Exception) -> float:
    """How long to wait after this many attempts: doubling, but never less than the server asks."""
    doubled = min(FIRST_PAUSE_S * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)
    jittered = doubled * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    return max(jittered, _asked_s(error))


def _asked_s(error: Exception) -> float:
    return error.retry_after_s if isinstance(error, Unavailable) else 0.0


def retry_after_s(response: httpx.Response) -> float:
    """The seconds in Retry-After, or until the date in it; 0 when there is neither."""
    text = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    then = _date(text)
    if then is None:
        return 0.0
    # By the server's own clock, if it tells the time: ours may be another.
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
