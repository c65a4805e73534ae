"""Scores of beat detectors in the form of ANSI/AAMI EC57: beat by beat, within 150 ms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import Record

WINDOW_S = 0.15


@dataclass(frozen=True)
class Score:
    """What was found, missed and invented; how far off (s, signed) what was found is."""

    found: int = 0
    missed: int = 0
    invented: int = 0
    off_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __add__(self, other: Score) -> Score:
        return Score(
            self.found + other.found,
            self.missed + other.missed,
            self.invented + other.invented,
            np.concatenate([self.off_s, other.off_s]),
        )

    @property
    def errors(self) -> int:
        """Missed and invented."""
        return self.missed + self.invented

    def row(self) -> dict[str, Any]:
        """As columns of a table; shares in percent, times in ms."""
        off_ms = 1e3 * np.abs(self.off_s) if self.off_s.size else np.full(1, np.nan)
        return {
            "TP": self.found,
            "FN": self.missed,
            "FP": self.invented,
            "Se %": f"{100 * self.found / max(1, self.found + self.missed):.2f}",
            "+P %": f"{100 * self.found / max(1, self.found + self.invented):.2f}",
            "median ms": f"{np.median(off_ms):.1f}",
            "95 % ms": f"{np.percentile(off_ms, 95):.1f}",
        }


@dataclass(frozen=True)
class Pairs:
    """Which of the reference's beats is which of the found ones; both as indices."""

    reference: NDArray[np.intp]
    found: NDArray[np.intp]


def pair(reference: NDArray[np.int64], found: NDArray[np.int64], window: float) -> Pairs:
    """Pair each beat with at most one, both in their order, and of two with the nearer one."""
    pairs: list[tuple[int, int]] = []
    expected, seen = reference.tolist(), found.tolist()
    i = j = 0
    while i < len(expected) and j < len(seen):
        apart = seen[j] - expected[i]
        if apart < -window or (j + 1 < len(seen) and abs(seen[j + 1] - expected[i]) < abs(apart)):
            j += 1
        elif apart > window or (
            i + 1 < len(expected) and abs(seen[j] - expected[i + 1]) < abs(apart)
        ):
            i += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    both = np.array(pairs, np.intp).reshape(-1, 2)
    return Pairs(both[:, 0], both[:, 1])


def score(record: Record, found: NDArray[np.int64]) -> Score:
    """Score one record as a whole, ventricular flutter left out."""
    reference = record.beats[record.counts_at(record.beats)]
    found = found[record.counts_at(found)]
    pairs = pair(reference, found, WINDOW_S * record.sampling_rate_hz)
    off_s = (found[pairs.found] - reference[pairs.reference]) / record.sampling_rate_hz
    number = pairs.found.size
    return Score(number, reference.size - number, found.size - number, off_s)


def gross(scores: Iterable[Score]) -> Score:
    """All beats of all records together."""
    return sum(scores, Score())
