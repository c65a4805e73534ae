"""What is uploaded: one recording with its leads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from isoline.errors import UnusableEcg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = Sequence[float] | NDArray[np.integer[Any]] | NDArray[np.floating[Any]]


# Samples that are written in one go.
_PIECE = 2**16


@dataclass(frozen=True)
class Lead:
    """One lead: its name, and its samples in the order of time.

    signal : sequence of numbers or ndarray, shape (number_of_samples,)
        Integers are ADC counts and stay integers; anything else is sent as decimals. What comes
        from an iterator is read when the lead is made.
    """

    name: str
    signal: Samples

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal", _lasting(self.signal))


@dataclass(frozen=True)
class Ecg:
    """One recording; only the leads are required.

    Parameters
    ----------
    leads : the leads, in order; those of an iterator are made with the ECG.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", _lasting(self.leads))


def _lasting(values: Any) -> Any:
    """What can be read again and again; of an iterator it is a list.

    A recording is sent again when the server is away, and must be the same then.
    """
    # What has no places is iterated, too, and may well be at its end after the first time.
    is_fleeting = isinstance(values, Iterator) or not hasattr(values, "__getitem__")
    return list(values) if isinstance(values, Iterable) and is_fleeting else values


def encode(ecg: Ecg, custom_id: str | None = None) -> bytes:
    """Write an ecg as the JSON that is uploaded: one line, without a newline.

    Parameters
    ----------
    custom_id : what you call it, as a line of a batch.

    Raises
    ------
    UnusableEcg : a signal, or what is said of it, holds something that is not a finite number, a
        signal has more than one dimension, there is a value of a kind that JSON has not, or what
        is given is no `Ecg` of `Lead`s at all.
    """
    leads = _leads_of(ecg)
    described: dict[str, Any] = {
        "custom_id": custom_id,
        "date": ecg.date,
        "sampling_rate": ecg.sampling_rate,
        "unit": ecg.unit,
        "gain": ecg.gain,
        "baseline": ecg.baseline,
    }
    known = {name: _plain(value) for name, value in described.items() if value is not None}
    for name, value in known.items():
        # JSON has no sign for it but null (as which numpy's NaT comes), and that would mean that
        # nothing was said.
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise UnusableEcg(f"{name} is {described[name]}.")
    written = [{"name": _plain(lead.name), "signal": _written(lead)} for lead in leads]
    try:
        return msgspec.json.encode({**known, "leads": written})
    except (TypeError, ValueError) as error:
        raise UnusableEcg(f"It cannot be written as JSON: {error}.") from None


def _leads_of(ecg: Any) -> list[Lead]:
    leads = ecg.leads if isinstance(ecg, Ecg) else None
    if not (isinstance(leads, Iterable) and all(isinstance(lead, Lead) for lead in leads)):
        raise UnusableEcg("An ECG is an isoline.Ecg, and each of its leads an isoline.Lead.")
    return list(leads)


def _written(lead: Lead) -> msgspec.Raw:
    """The samples as an array of JSON, made in pieces: as numbers of Python's they are large."""
    signal: Any = lead.signal
    if hasattr(signal, "to_numpy"):
        signal = signal.to_numpy()
    if getattr(signal, "ndim", 1) != 1:
        raise UnusableEcg(f"Lead {lead.name!r}: a signal has one dimension.")
    if not hasattr(signal, "tolist"):
        try:
            signal = list(signal)
        except TypeError:
            raise UnusableEcg(f"Lead {lead.name!r}: its signal is no array of numbers.") from None
    pieces = []
    for start in range(0, len(signal), _PIECE):
        piece = signal[start : start + _PIECE]
        samples = piece if isinstance(piece, list) else piece.tolist()
        if not set(map(type, samples)) <= {int, float}:
            samples = list(map(_plain, samples))
        _check(lead.name, start, samples)
        try:
            pieces.append(msgspec.json.encode(samples)[1:-1])
        except TypeError:
            raise UnusableEcg(f"Lead {lead.name!r}: a sample is no int or float.") from None
    return msgspec.Raw(b"[%b]" % b",".join(pieces))


def _plain(value: Any) -> Any:
    """A single value of numpy's, such as `array[0]`, as Python's own; any other as it is."""
    # Of what is masked `item` would give what lies below the mask, a zero; this is None.
    return value.tolist() if getattr(value, "shape", None) == () else value


def _check(name: str, start: int, samples: list[float]) -> None:
    """Raise `UnusableEcg` for the first of some samples that is not a finite number."""
    # What is not finite makes the sum so, too, and what is no number allows none; only then is it
    # worth looking at each of them. And an integer may be larger than any decimal.
    try:
        if math.isfinite(sum(samples)):
            return
    except OverflowError:
        raise UnusableEcg(f"Lead {name!r}: an integer is too large to be one.") from None
    except TypeError:
        pass
    for index, sample in enumerate(samples, start):
        if not isinstance(sample, int | float):
            raise UnusableEcg(f"Lead {name!r}: sample {index} is not a number.")
        if not math.isfinite(sample):
            raise UnusableEcg(f"Lead {name!r}: sample {index} is {sample}.")
