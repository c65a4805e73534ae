"""What is uploaded: one recording with its leads."""

from __future__ import annotations

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
    leads = [{"name": lead.name, "signal": _plain(lead.signal)} for lead in ecg.leads]
    return msgspec.json.encode({**known, "leads": leads})


def _plain(signal: Samples) -> Any:
    # numpy's own way is much the fastest; what has none is a sequence already.
    return signal.tolist() if hasattr(signal, "tolist") else list(signal)
