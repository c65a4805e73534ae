"""The bell of the API: rings for what was uploaded, and keeps nobody waiting for the broker."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

import redis
import structlog
from celery import Celery

from shared.broker import Broker
from shared.jobs import IDS_PER_MESSAGE, INTERACTIVE, enqueue

# While a message is on its way there is work, and another one would cost more than it brings: what
# comes meanwhile travels together. So often one looks whether it has ended, and so long at most.
LOOK_AGAIN_S = 0.004
HELD_BACK_S = 0.02
# After a failed ring, how long the bell is left alone; the relay makes up for what is not rung.
BREAK_S = 2.0

log = structlog.get_logger(__name__)


class Bell:
    """Rings for ecgs from a thread of its own, so that no request ever waits for the broker.

    To a worker without work it rings at once. What cannot be rung is dropped here: the row says
    that it waits, and the relay rings again.
    """

    def __init__(self, app: Celery, broker: Broker) -> None:
        self._app = app
        self._broker = broker
        self._waiting: queue.SimpleQueue[tuple[Sequence[str], str]] = queue.SimpleQueue()
        self._held_back: list[str] = []
        self._held_since_s = 0.0
        self._silent_until_s = 0.0
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, ecg_ids: Sequence[str], queue_name: str = INTERACTIVE) -> None:
        """Note that these ecgs wait, and return at once."""
        self._waiting.put((ecg_ids, queue_name))
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._receive(wait_s=LOOK_AGAIN_S if self._held_back else None)
            # Whatever else has come by now.
            while not self._waiting.empty():
                self._receive(wait_s=None)
            if self._held_back and self._is_time():
                self._send(self._held_back[:IDS_PER_MESSAGE], INTERACTIVE)
                del self._held_back[:IDS_PER_MESSAGE]

    def _receive(self, wait_s: float | None) -> None:
        try:
            ecg_ids, queue_name = self._waiting.get(timeout=wait_s)
        except queue.Empty:
            return
        if queue_name != INTERACTIVE:
            # The lines of a batch are as many as belong together already.
            self._send(ecg_ids, queue_name)
            return
        if not self._held_back:
            self._held_since_s = time.monotonic()
        self._held_back += ecg_ids

    def _is_time(self) -> bool:
        if len(self._held_back) >= IDS_PER_MESSAGE:
            return True
        if time.monotonic() > self._held_since_s + HELD_BACK_S:
            return True
        if time.monotonic() < self._silent_until_s:
            return True
        try:
            return self._broker.on_its_way(INTERACTIVE) == 0
        except redis.RedisError:
            # Ringing will say what is wrong.
            return True

    def _send(self, ecg_ids: Sequence[str], queue_name: str) -> None:
        if time.monotonic() < self._silent_until_s:
            return
        try:
            enqueue(self._app, ecg_ids, queue_name)
        # Whatever the client raises, the rows are safe and this thread must live on.
        except Exception as error:  # noqa: BLE001
            self._silent_until_s = time.monotonic() + BREAK_S
            log.warning("bell not rung", ecgs=len(ecg_ids), error=type(error).__name__)
