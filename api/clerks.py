"""Who works on single uploads that have come: a clerk for the small ones, and one for the large.

Reading JSON, checking and compressing hold Python's lock for half of their time or more. All at
once, each would take longer; and whoever is only to be told that there is no place would wait for
the lock with all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# What takes more is large: a few hundredths of a second, or a second. Nobody else waits for it.
LARGE_BYTES = 2**20


@dataclass
class _Queue:
    """One user's uploads of one kind, of which the first stands at the counter."""

    members: int = 0
    front: threading.Lock = field(default_factory=threading.Lock)


class Clerks:
    """Two, of whom each works on one upload at a time.

    Of one user only one waits for each of them: however many somebody sends, and however long they
    take, others compete with one of these, not with all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[tuple[int, bool], _Queue] = {}
        self._counters = {is_large: threading.Lock() for is_large in (False, True)}

    @contextmanager
    def one_for(self, user_id: int, body: bytes) -> Iterator[None]:
        """The clerk for this body, until the block ends."""
        is_large = len(body) > LARGE_BYTES
        with self._lock:
            queue = self._queues.setdefault((user_id, is_large), _Queue())
            queue.members += 1
        try:
            with queue.front, self._counters[is_large]:
                yield
        finally:
            with self._lock:
                queue.members -= 1
                if not queue.members:
                    del self._queues[user_id, is_large]
