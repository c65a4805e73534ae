"""Batches whose lines come in pieces, for so long that something breaks meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from tests.chaos.uploads import Sample, make_harmless

PIECES = 4
# A fault falls into it: longer than what is waited before each.
PAUSE_S = 1.0


@dataclass(frozen=True)
class Batch:
    """One batch by its number: its lines, and how long is waited before the next piece of them."""

    number: int
    lines: list[Sample]
    pause_s: float

    def post(self, client: httpx.Client) -> httpx.Response:
        """Send it from its first line on: what has come already is known by its name."""
        headers = {
            "Idempotency-Key": f"batch-{self.number}",
            "Content-Type": "application/x-ndjson",
        }
        return client.post("/batches", content=self._pieces(), headers=headers)

    def _pieces(self) -> Iterator[bytes]:
        size = -(-len(self.lines) // PIECES)
        for start in range(0, len(self.lines), size):
            if start:
                time.sleep(self.pause_s)
            for line in self.lines[start : start + size]:
                yield json.dumps({"custom_id": line.key, "leads": line.leads}).encode() + b"\n"


def spread(lines: int, batches: int, *, seed: int, scale: float) -> list[Batch]:
    """Make so many batches of so many lines in all; none of them is poison."""
    samples = [make_harmless(number, seed) for number in range(lines)]
    return [Batch(number, samples[number::batches], PAUSE_S * scale) for number in range(batches)]
