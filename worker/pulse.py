"""The relay's sign of life, apart from its work: a database that is locked does not silence it."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Self

import redis

from shared.broker import Broker

BEAT_S = 1.0
# Longer than a round takes in which all is waited for in vain: who does not come to its end within
# that hangs, and is to fall silent.
LONGEST_ROUND_S = 60.0


class Pulse:
    """Beats inside its `with` block, for as long as somebody goes round there."""

    def __init__(self, broker: Broker, *, longest_round_s: float = LONGEST_ROUND_S) -> None:
        self._broker = broker
        self._longest_round_s = longest_round_s
        self._name = f"{os.getpid()}@{socket.gethostname()}"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.went_round()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        with suppress(redis.RedisError):
            self._broker.say_goodbye("relay", self._name)

    def went_round(self) -> None:
        """A round has come to its end, in vain or not."""
        self._went_round_s = time.monotonic()

    def _beat(self) -> None:
        is_over = False
        while not is_over:
            if time.monotonic() - self._went_round_s < self._longest_round_s:
                # Without a broker nobody hears; that it is away, the rounds tell.
                with suppress(redis.RedisError):
                    self._broker.beat("relay", self._name)
            is_over = self._is_over.wait(BEAT_S)
