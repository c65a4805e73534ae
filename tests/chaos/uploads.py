"""Clients that upload what they know the answer to, and do not give up as long as there is hope."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import httpx

from tests.poison.insights.poison import KINDS, MAGIC

# What ends failed, first what takes long to get there; and what only asks for too much or raises.
DEADLY = ("sleeps", "segfault", "killed", "exits", "hangs")
HARMLESS = ("memory", "raises")
# Later than anybody may be kept waiting, so that it shows when somebody is.
GIVE_UP_AFTER_S = 60.0
# An API that takes nothing for so long, however often it is asked, is not coming back.
HOPELESS_AFTER_S = 180.0


@dataclass(frozen=True)
class Sample:
    """One upload by its number: what it consists of, and what must come of it."""

    number: int
    signal: list[int]
    crossings: int
    is_deadly: bool

    @property
    def key(self) -> str:
        """Its Idempotency-Key."""
        return f"upload-{self.number}"


def make(number: int, seed: int, poison_every: int) -> Sample:
    """Make an upload: the same one for the same number and seed; one in so many is poison."""
    if number % poison_every == poison_every // 2:
        kinds = (*DEADLY, *HARMLESS)
        kind = kinds[number // poison_every % len(kinds)]
        return Sample(number, [MAGIC, KINDS.index(kind)], 0, kind in DEADLY)
    chance = random.Random(f"{seed} {number}")
    signal = [chance.choice((-3, -1, 0, 0, 2, 5)) for _ in range(chance.randrange(2, 60))]
    return Sample(number, signal, slow_count(signal), False)


def slow_count(signal: list[int]) -> int:
    """Count zero crossings as one would explain it."""
    count, last = 0, 0
    for sample in signal:
        if sample == 0:
            continue
        if last and (sample > 0) != (last > 0):
            count += 1
        last = sample
    return count


@dataclass
class Clients:
    """Some threads that upload numbers as they are given out, each until it is answered 201.

    They end with their `with` block, and by themselves once there is no hope: what was not accepted
    by then is missing from `accepted`.
    """

    url: str
    token: str
    seed: int
    poison_every: int = 500
    threads: int = 8
    hopeless_after_s: float = HOPELESS_AFTER_S
    accepted: dict[int, str] = field(default_factory=dict)
    # When each request that was answered, or waited for in vain, began, and how long it took.
    answered: list[tuple[float, float]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    is_hopeless: bool = False

    def __enter__(self) -> Self:
        self._numbers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(self.threads)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.finish()

    def give(self, numbers: Iterable[int]) -> None:
        """Have these uploaded."""
        for number in numbers:
            self._numbers.put(number)

    def finish(self) -> None:
        """Wait until everything given has been accepted, or there is no hope for it."""
        for _ in self._threads:
            self._numbers.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        headers = {"x-user-token": self.token}
        with httpx.Client(base_url=self.url, headers=headers, timeout=GIVE_UP_AFTER_S) as client:
            while (number := self._numbers.get()) is not None:
                self._upload(client, make(number, self.seed, self.poison_every))

    def _upload(self, client: httpx.Client, sample: Sample) -> None:
        body = {"leads": [{"name": "I", "signal": sample.signal}]}
        end_s = time.monotonic() + self.hopeless_after_s
        while not self._is_over.is_set():
            began_s = time.monotonic()
            try:
                answer = client.post("/ecgs", json=body, headers={"Idempotency-Key": sample.key})
            except httpx.TransportError as error:
                if isinstance(error, httpx.TimeoutException):
                    self.answered.append((began_s, time.monotonic() - began_s))
                self._refuse(type(error).__name__)
            else:
                self.answered.append((began_s, time.monotonic() - began_s))
                if answer.status_code == 201:
                    self.accepted[sample.number] = answer.json()["id"]
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
