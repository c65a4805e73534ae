"""From each lead with a gain and a baseline of its own to one recording with one of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile

_PER_MILLIVOLT = {"v": 1e-3, "mv": 1.0, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}
# What an upload can carry, less what a subtraction may add.
_LARGEST = 2**30
# What is worked out from the decimals of a header is a little off: whatever lies as near to a count
# is that count.
_NEAR = 0.05


def per_millivolt(unit: str) -> float | None:
    """How many of the unit a millivolt is, or None when it is no unit of voltage."""
    return _PER_MILLIVOLT.get(unit.strip().lower())


@dataclass(frozen=True)
class Channel:
    """One lead as its file has it.

    counts : ndarray of integers, shape (number_of_samples,)
        What the ADC gave.
    gain : counts per millivolt, or None when unknown; negative when the lead is upside down.
    baseline : the count that stands for zero, exact.
    is_voltage : whether its unit is one of voltage.
    is_within : by how many counts the baseline may be off, because its file says it with few
        digits.
    """

    name: str
    counts: NDArray[np.integer[Any]]
    gain: float | None
    baseline: float
    is_voltage: bool
    is_within: float = 0.0


def as_ecg(
    channels: Sequence[Channel], *, sampling_rate_hz: float | None, date: datetime | None
) -> Ecg:
    """Make one recording of the leads in volts, or of all when none is; samples are counts still.

    Where the baselines of the leads differ, each lead's own is subtracted from it, and that of the
    recording is 0. Where the gains differ, the samples are millivolts, as decimals: the counts have
    no unit in common then. A lead whose gain is negative is turned over.

    Raises
    ------
    UnreadableFile : a gain or a baseline is no number to count with, or of differing gains one is
        not known.
    """
    channels = [_turned(one) for one in channels if one.is_voltage] or [
        _turned(one) for one in channels
    ]
    baselines = [_nearest_count(channel) for channel in channels]
    gains = [channel.gain for channel in channels]
    # One that was divided out is not to the last bit what another is.
    if len({gain and f"{gain:.9g}" for gain in gains}) > 1:
        return Ecg(
            [
                Lead(one.name, _millivolts(one, baseline))
                for one, baseline in zip(channels, baselines, strict=True)
            ],
            date=date,
            sampling_rate=sampling_rate_hz,
            unit="mV",
        )
    if len(set(baselines)) > 1:
        channels = [
            replace(one, counts=one.counts.astype(np.int64) - baseline, baseline=0)
            for one, baseline in zip(channels, baselines, strict=True)
        ]
        baselines = [0]
    return Ecg(
        [Lead(one.name, one.counts) for one in channels],
        date=date,
        sampling_rate=sampling_rate_hz,
        unit="adc",
        gain=gains[0],
        baseline=baselines[0],
    )


def _turned(channel: Channel) -> Channel:
    """The same lead with a gain above zero, if it has one, and a baseline that can be counted."""
    gain = channel.gain
    if not abs(channel.baseline) < _LARGEST or (gain is not None and not 1e-9 < abs(gain) < 1e15):
        raise UnreadableFile(f"Gain or baseline of lead {channel.name} cannot be true.")
    if gain is None or gain > 0:
        return channel
    turned = -channel.counts.astype(np.int64)
    return replace(channel, counts=turned, gain=-gain, baseline=-channel.baseline)


def _millivolts(channel: Channel, baseline: int) -> NDArray[np.float64]:
    if channel.gain is None:
        raise UnreadableFile(f"Lead {channel.name} has no gain, other leads have one.")
    # Integers first: what is zero, and on which side of it the others are, stays exact.
    return (channel.counts.astype(np.int64) - baseline) / channel.gain


def _nearest_count(channel: Channel) -> int:
    """The count at which samples of zero stand.

    When the baseline itself lies between two, some writers round to the nearer one, others cut off.
    Where only one of the two occurs in the lead, as in a recording that was coarser before it was
    converted, it is that one.
    """
    nearest = round(channel.baseline)
    if abs(channel.baseline - nearest) < max(_NEAR, channel.is_within):
        return nearest
    below, above = math.floor(channel.baseline), math.ceil(channel.baseline)
    occurs = [count for count in (below, above) if (channel.counts == count).any()]
    return occurs[0] if len(occurs) == 1 else nearest
