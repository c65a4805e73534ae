"""From each lead with a gain and a zero of its own to one recording with one of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead


@dataclass(frozen=True)
class Channel:
    """One lead as its file has it.

    counts : ndarray of integers, shape (number_of_samples,)
        What the ADC gave.
    gain : counts per millivolt, or None when unknown.
    zero : the count that stands for zero, exact.
    """

    name: str
    counts: NDArray[np.integer[Any]]
    gain: float | None
    zero: float


def as_ecg(
    channels: Sequence[Channel], *, sampling_rate_hz: float | None, date: datetime | None
) -> Ecg:
    """Make a recording whose samples are counts still.

    Where the zeros of the leads differ, each lead's own is subtracted from it, and the recording's
    is 0. Where the gains differ, none is given: the counts have no common unit then.
    """
    gains = {channel.gain for channel in channels}
    zero_of = [_nearest_count(channel) for channel in channels]
    zeros = set(zero_of)
    gain = gains.pop() if len(gains) == 1 else None
    baseline = zeros.pop() if len(zeros) == 1 else None
    leads = [
        Lead(
            channel.name,
            channel.counts if baseline is not None else channel.counts.astype(np.int64) - zero,
        )
        for channel, zero in zip(channels, zero_of, strict=True)
    ]
    return Ecg(
        leads,
        date=date,
        sampling_rate=sampling_rate_hz,
        unit="adc",
        gain=gain,
        baseline=baseline or 0,
    )


def _nearest_count(channel: Channel) -> int:
    """The count at which samples of zero stand, when the zero itself lies between two.

    Some writers round to the nearer one, others cut off. Where only one of the two occurs in the
    lead, as in a recording that was coarser before it was converted, it is that one.
    """
    below, above = math.floor(channel.zero), math.ceil(channel.zero)
    occurs = [count for count in (below, above) if (channel.counts == count).any()]
    return occurs[0] if len(occurs) == 1 else round(channel.zero)
