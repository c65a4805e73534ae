"""Clients that do not give up as long as there is hope."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

import httpx

# Later than anybody may be kept waiting, so that it shows when somebody is.
GIVE_UP_AFTER_S = 60.0
# An API that takes nothing for so long, however often it is asked, is not coming back.
HOPELESS_AFTER_S = 180.0


class Sendable(Protocol):
    """What may be sent as often as it takes, and is accepted once."""

    @property
    def number(self) -> int:
        """Which one it is."""
        ...

    def post(self, client: httpx.Client) -> httpx.Response:
        """Send it."""
        ...


@dataclass
class Clients:
    """Some threads that send things as they are given out, each until it is accepted.

    They end with their `with` block, and by themselves once there is no hope: what was not accepted
    by then is missing from `accepted`.
    """

    url: str
    token: str
    threads: int = 8
    hopeless_after_s: float = HOPELESS_AFTER_S
    # The id of each, by its number.
    accepted: dict[int, str] = field(default_factory=dict)
    # When each request that was answered, or waited for in vain, began, and how long it took.
    answered: list[tuple[float, float]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    is_hopeless: bool = False

    def __enter__(self) -> Self:
        self._given: queue.SimpleQueue[Sendable | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(self.threads)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.finish()

    def give(self, things: Iterable[Sendable]) -> None:
        """Have these sent."""
        for thing in things:
            self._given.put(thing)

    def finish(self) -> None:
        """Wait until everything given has been accepted, or there is no hope for it."""
        for _ in self._threads:
            self._given.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        headers = {"x-user-token": self.token}
        with httpx.Client(base_url=self.url, headers=headers, timeout=GIVE_UP_AFTER_S) as client:
            while (thing := self._given.get()) is not None:
                self._send(client, thing)

    def _send(self, client: httpx.Client, thing: Sendable) -> None:
        end_s = time.monotonic() + self.hopeless_after_s
        while not self._is_over.is_set():
            began_s = time.monotonic()
            try:
                answer = thing.post(client)
            except httpx.TransportError as error:
                if isinstance(error, httpx.TimeoutException):
                    self.answered.append((began_s, time.monotonic() - began_s))
                self._refuse(type(error).__name__)
            else:
                self.answered.append((began_s, time.monotonic() - began_s))
                if answer.is_success:
                    self.accepted[thing.number] = answer.json()["id"]
                    return
                assert answer.status_code == 503, answer.text
                self._refuse("503")
            if time.monotonic() > end_s:
                # For the others neither.
                self.is_hopeless = True
                self._is_over.set()
            self._is_over.wait(0.2)

    def _refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1
