"""Trying again: what may pass by itself, with pauses that grow, and as the server asks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from isoline.errors import TakenOver, Unavailable, Unreachable

# What may pass by itself.
PASSING = (Unreachable, Unavailable, TakenOver)
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# The longest that a server holds an answer back.
LONGEST_WAIT_S = 20

T = TypeVar("T")


def insist(
    act: Callable[[], T],
    *,
    most_attempts: int,
    patience_s: float = 0.0,
    has_got_further: Callable[[], bool] = lambda: False,
    on_retry: Callable[[Exception, float], None] | None = None,
) -> T:
    """Do something again when the server cannot be reached or is not available at the moment.

    Parameters
    ----------
    most_attempts : how often it is tried.
    patience_s : how long it is tried at least, however often that is.
    has_got_further : whether the last attempt did more than any before; both then begin anew.

    Raises
    ------
    Unreachable, Unavailable, TakenOver : what the last attempt met with.
    """
    attempt, end_s = 0, 0.0
    while True:
        try:
            return act()
        except PASSING as error:
            now_s = time.monotonic()
            if attempt == 0 or has_got_further():
                attempt, end_s = 0, now_s + patience_s
            attempt += 1
            wait_s = pause_s(attempt, error)
            if attempt >= most_attempts:
                if now_s >= end_s:
                    raise
                wait_s = min(wait_s, end_s - now_s)
            if on_retry is not None:
                on_retry(error, wait_s)
            time.sleep(wait_s)


def wait_until_ended(
    look: Callable[[int], T], has_ended: Callable[[T], bool], timeout_s: float
) -> T:
    """Look again and again, with the seconds for which the server may hold its answer back.

    Raises
    ------
    TimeoutError : it has not ended within that time.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        left_s = end_s - time.monotonic()
        found = look(max(0, min(LONGEST_WAIT_S, int(left_s))))
        if has_ended(found):
            return found
        if left_s <= 0:
            raise TimeoutError(f"It has not ended within {timeout_s:g} seconds.")
        # Where every chair is taken, the server answers at once.
        time.sleep(min(0.2, max(left_s, 0.0)))


def pause_s(attempt: int, error: Exception) -> float:
    """How long to wait after this many attempts: doubling, but never less than the server asks."""
    doubled = min(FIRST_PAUSE_S * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)
    jittered = doubled * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else 0.0
    return max(jittered, min(asked_s, LONGEST_PAUSE_S))


def retry_after_s(response: httpx.Response) -> float:
    """The seconds in Retry-After; 0 when there are none."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
