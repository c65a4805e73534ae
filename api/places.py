"""Places for exports: as many as there are threads for, and of these no user may take them all."""

from __future__ import annotations

import threading
from collections import Counter

from shared.errors import Overloaded

ALL_TAKEN = "Too many exports are on their way out; try again in a moment."
YOURS_TAKEN = "You take {} exports at a time already; try again when one of them has come."


class Places:
    """Who has exports on their way out, and how many."""

    def __init__(self, of_all: int, of_one: int) -> None:
        self._of_all = of_all
        self._of_one = of_one
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()

    def take(self, user_id: int) -> None:
        """Take a place; raises `Overloaded` when there is none, or none for this user."""
        with self._lock:
            if self._taken[user_id] >= self._of_one:
                raise Overloaded(YOURS_TAKEN.format(self._of_one))
            if self._taken.total() >= self._of_all:
                raise Overloaded(ALL_TAKEN)
            self._taken[user_id] += 1

    def give_back(self, user_id: int) -> None:
        """Leave a place that was taken."""
        with self._lock:
            self._taken[user_id] -= 1
            # Of whoever comes once in a while nothing stays.
            self._taken += Counter()
