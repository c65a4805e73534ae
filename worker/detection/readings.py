"""What is seen in the leads of an ECG; those of one length are looked at together."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.beats import Beats, find_beats
from worker.detection.decisions import RULE, Rule
from worker.detection.quality import Quality, assess_quality, credible
from worker.detection.traces import Trace, condition

# Of short leads most of the time is what numpy costs a call, and many are looked at together: so
# many samples. Longer leads are looked at one by one, or memory would grow with their number.
_TOGETHER = 1 << 17

NO_BEATS = "needs a lead whose quality allows to see beats"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What is seen in one lead: its trace, its beats (None where it is flat), and its quality."""

    trace: Trace
    beats: Beats | None
    quality: Quality

    @property
    def shows_beats(self) -> bool:
        """Whether there is a moment at which they can be seen."""
        return self.beats is not None and self.quality.is_usable

    def credible_beats(self) -> Beats:
        """The beats that are more than a guess; raises `NotComputable` where none can be seen."""
        if self.beats is None or not self.shows_beats:
            raise NotComputable(NO_BEATS)
        return credible(self.beats, self.trace, self.quality)


def readers_of(
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
    readers: dict[int, Callable[[], Reading]] = {}
    for numbers in _groups([lead.size for lead in leads]):
        group = _Group([leads[number] for number in numbers], sampling_rate_hz)
        for place, number in enumerate(numbers):
            readers[number] = functools.partial(group.reading, place)
    return [readers[number] for number in range(len(leads))]


def look_at(trace: Trace, rule: Rule = RULE) -> list[Reading]:
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
    def _together(self) -> list[Reading] | None:
        """None where one of several breaks it: a fault of ours takes no other lead along."""
        try:
            return look_at(condition(self._leads, self._sampling_rate_hz))
        except NotComputable:
            raise
        except Exception:
            if len(self._leads) == 1:
                raise
            # What only happens to leads beside others would be seen nowhere else.
            log.exception("%d leads are read one by one", len(self._leads))
            return None

    @functools.cached_property
    def _alone(self) -> list[_Group]:
        return [_Group([lead], self._sampling_rate_hz) for lead in self._leads]

    def reading(self, lead: int) -> Reading:
        together = self._together
        return self._alone[lead].reading(0) if together is None else together[lead]


def _groups(sizes: Sequence[int]) -> list[list[int]]:
    """Put leads of one size together, by their numbers, as many as may be."""
    groups: list[list[int]] = []
    for size in set(sizes):
        alike = [number for number, one in enumerate(sizes) if one == size]
        most = max(1, _TOGETHER // max(1, size))
        groups += [alike[begin : begin + most] for begin in range(0, len(alike), most)]
    return groups
