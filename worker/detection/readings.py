"""What is seen in the leads of an ECG; those of one length are looked at together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.beats import Beats, find_beats
from worker.detection.decisions import RULE, Rule
from worker.detection.quality import Quality, assess_quality
from worker.detection.traces import Trace, condition

# Of short leads most of the time is what numpy costs a call, and many are looked at together: so
# many samples. Longer leads are looked at one by one, or memory would grow with their number.
_TOGETHER = 1 << 17


@dataclass(frozen=True)
class Reading:
    """What is seen in one lead: its trace, its beats (None where it is flat), and its quality."""

    trace: Trace
    beats: Beats | None
    quality: Quality


def readings_of(
    leads: Sequence[NDArray[Any]], sampling_rate_hz: float | None
) -> list[Callable[[], Reading]]:
    """Give for each lead what reads it: the same as would be read of it without the others.

    Nothing is read before the first of them is called, and nothing twice.

    Parameters
    ----------
    leads : sequence of ndarray, each of shape (number_of_samples,)
        int8, int16, int32, int64 or finite float64, of whatever lengths. Left alone.
    sampling_rate_hz : float or None
        None when unknown.

    Returns
    -------
    list of functions
        In the order of the leads; each raises `NotComputable` where its lead cannot be read.
    """
    readings: dict[int, Callable[[], Reading]] = {}
    for numbers in _groups([lead.size for lead in leads]):
        group = _Group([leads[number] for number in numbers], sampling_rate_hz)
        for place, number in enumerate(numbers):
            readings[number] = functools.partial(group.reading, place)
    return [readings[number] for number in range(len(leads))]


def read(trace: Trace, rule: Rule = RULE) -> list[Reading]:
    """Find the beats of each lead of a trace, and say how far it can be trusted."""
    beats = find_beats(trace, rule)
    qualities = assess_quality(trace, beats)
    return [
        Reading(trace.of(lead), *seen)
        for lead, seen in enumerate(zip(beats, qualities, strict=True))
    ]


class _Group:
    """Leads of one length, which are read when one of them is asked for."""

    def __init__(self, leads: Sequence[NDArray[Any]], sampling_rate_hz: float | None) -> None:
        self._leads = leads
        self._sampling_rate_hz = sampling_rate_hz

    @functools.cached_property
    def _readings(self) -> list[Reading]:
        return read(condition(self._leads, self._sampling_rate_hz))

    def reading(self, lead: int) -> Reading:
        try:
            return self._readings[lead]
        except NotComputable:
            raise
        except Exception:
            if len(self._leads) == 1:
                raise
            # A fault of ours in one lead takes no other along.
            return _Group([self._leads[lead]], self._sampling_rate_hz).reading(0)


def _groups(sizes: Sequence[int]) -> list[list[int]]:
    """Put leads of one size together, by their numbers, as many as may be."""
    groups: list[list[int]] = []
    for size in set(sizes):
        alike = [number for number, one in enumerate(sizes) if one == size]
        most = max(1, _TOGETHER // max(1, size))
        groups += [alike[begin : begin + most] for begin in range(0, len(alike), most)]
    return groups
