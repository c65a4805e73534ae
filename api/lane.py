"""Where lines of batches queue: one at a time, and single uploads overtake them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# How long an upload is ahead at most: what takes longer does not wait for this process.
AHEAD_S = 0.1
# How long a line lets uploads go ahead at most. Lines are then worked on for as long as was waited
# before another one waits: however many uploads come, batches have half of the time.
PATIENCE_S = 0.02


class Lane:
    """Is held while a line is worked on: single uploads compete with one batch, not with all."""

    def __init__(self) -> None:
        self._lane = threading.Lock()
        self._news = threading.Condition()
        # Until when each upload is ahead that is not answered yet.
        self._ahead: dict[object, float] = {}
        self._patient_from_s = 0.0

    @contextmanager
    def overtaking(self) -> Iterator[None]:
        """Go ahead of all lines that are still to be worked on."""
        upload = object()
        with self._news:
            self._ahead[upload] = time.monotonic() + AHEAD_S
        try:
            yield
        finally:
            with self._news:
                del self._ahead[upload]
                self._news.notify_all()

    def __enter__(self) -> None:
        """Wait for the line before, and a moment for those who are ahead."""
        self._lane.acquire()
        began_s = time.monotonic()
        if began_s < self._patient_from_s:
            return
        with self._news:
            self._news.wait_for(self._is_clear, PATIENCE_S)
        now_s = time.monotonic()
        self._patient_from_s = now_s + (now_s - began_s)

    def __exit__(self, *_: object) -> None:
        """Let the next one go on."""
        self._lane.release()

    def _is_clear(self) -> bool:
        now_s = time.monotonic()
        return all(until_s < now_s for until_s in self._ahead.values())
