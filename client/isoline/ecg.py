"""What is uploaded: one recording with its leads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = Sequence[float] | NDArray[np.integer[Any]] | NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Lead:
    """One lead: its name, and its samples in the order of time.

    signal : sequence of numbers or ndarray, shape (number_of_samples,)
        Integers are ADC counts and stay integers; anything else is sent as decimals.
    """

    name: str
    signal: Samples


@dataclass(frozen=True)
class Ecg:
    """One recording; only the leads are required.

    Parameters
    ----------
    leads : the leads, in order.
    date : when it was recorded, with its time zone; the server takes now when there is none.
    sampling_rate : in Hz.
    unit : of the samples as they are, such as "adc" or "mV".
    gain : ADC counts per millivolt.
    baseline : the ADC value of zero.
    """

    leads: Sequence[Lead]
    date: datetime | None = None
    sampling_rate: float | None = None
    unit: str | None = None
    gain: float | None = None
    baseline: float | None = None


def encode(ecg: Ecg, custom_id: str | None = None) -> bytes:
    """Write an ecg as the JSON that is uploaded: one line, without a newline.

    Parameters
    ----------
    custom_id : what you call it, as a line of a batch.

    Raises
    ------
    TypeError : a signal holds something that is not a number.
    ValueError : a signal has more than one dimension, or holds NaN or infinity; the message says
        which lead.
    """
    described: dict[str, Any] = {
        "custom_id": custom_id,
        "date": ecg.date,
        "sampling_rate": ecg.sampling_rate,
        "unit": ecg.unit,
        "gain": ecg.gain,
        "baseline": ecg.baseline,
    }
    known = {name: value for name, value in described.items() if value is not None}
    # As text a lead takes far less memory than as a list: of those there is one at a time.
    leads = [
        {"name": lead.name, "signal": msgspec.Raw(msgspec.json.encode(_plain(lead)))}
        for lead in ecg.leads
    ]
    return msgspec.json.encode({**known, "leads": leads})


def _plain(lead: Lead) -> list[float]:
    """The samples as a list of Python's numbers, all finite."""
    signal: Any = lead.signal
    if hasattr(signal, "tolist"):
        if getattr(signal, "ndim", 1) != 1:
            raise ValueError(f"Lead {lead.name!r}: a signal has one dimension.")
        signal = signal.tolist()
    samples: list[float] = list(signal)
    # What is not finite makes the sum so, too; only then is it worth looking at each of them.
    # And an integer may be larger than any decimal.
    try:
        if math.isfinite(sum(samples)):
            return samples
        finite = map(math.isfinite, samples)
        for index, is_finite in enumerate(finite):
            if not is_finite:
                raise ValueError(f"Lead {lead.name!r}: sample {index} is {samples[index]}.")
    except OverflowError:
        raise ValueError(f"Lead {lead.name!r}: an integer is too large to be one.") from None
    return samples
