"""Uploads of which it is known what must come of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import httpx

from tests.poison.insights.poison import KINDS, MAGIC

# What ends failed, first what takes long to get there; and what only asks for too much or raises.
DEADLY = ("sleeps", "segfault", "killed", "exits", "hangs")
HARMLESS = ("memory", "raises")


@dataclass(frozen=True)
class Sample:
    """One upload by its number: what it consists of, and what must come of it."""

    number: int
    signal: list[int]
    crossings: int
    is_deadly: bool

    @property
    def leads(self) -> list[dict[str, Any]]:
        """What is sent of it."""
        return [{"name": "I", "signal": self.signal}]

    @property
    def key(self) -> str:
        """Its Idempotency-Key."""
        return f"upload-{self.number}"

    def post(self, client: httpx.Client) -> httpx.Response:
        """Upload it."""
        body, headers = {"leads": self.leads}, {"Idempotency-Key": self.key}
        return client.post("/ecgs", json=body, headers=headers)


def make(number: int, seed: int, poison_every: int) -> Sample:
    """Make an upload: the same one for the same number and seed; one in so many is poison."""
    if number % poison_every == poison_every // 2:
        kinds = (*DEADLY, *HARMLESS)
        kind = kinds[number // poison_every % len(kinds)]
        return Sample(number, [MAGIC, KINDS.index(kind)], 0, kind in DEADLY)
    return make_harmless(number, seed)


def make_harmless(number: int, seed: int) -> Sample:
    """Make one that is no poison, whatever its number."""
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
