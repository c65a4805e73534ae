"""The bench: every module in this folder is one insight, found by itself.

The module's name is the insight's public name and its docstring the definition that users read.
It has a `VERSION` (raise it whenever a number may come out differently), a `UNIT`, the names of its
`FIGURES` (each a single number, a column where insights become a table), and a function
`compute(samples, sampling_rate_hz)` that gives back a dictionary of plain, finite values, the units
in the keys. The samples come as int8, int16, int32, int64 or finite float64, the baseline
subtracted, read-only. What cannot be said of a lead raises `NotComputable` with the reason.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from shared.errors import DamagedSignal, NotComputable

OUR_FAULT = "could not be computed because of a fault on our side"

_LARGEST = float(np.finfo(np.float64).max)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Insight:
    """One module of the bench, ready to be used."""

    name: str
    version: int
    unit: str
    definition: str
    figures: tuple[str, ...]
    compute: Callable[[NDArray[Any], float | None], dict[str, Any]]


@functools.cache
def find_insights() -> tuple[Insight, ...]:
    """Import every module of this folder, in the order of their names."""
    insights = []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        insights.append(
            Insight(
                name=name,
                version=module.VERSION,
                unit=module.UNIT,
                definition=inspect.cleandoc(module.__doc__ or ""),
                figures=module.FIGURES,
                compute=module.compute,
            )
        )
    return tuple(insights)


def catalogue() -> list[dict[str, Any]]:
    """Describe every insight: name, version, unit, definition and figures."""
    return [
        {
            "name": insight.name,
            "version": insight.version,
            "unit": insight.unit,
            "definition": insight.definition,
            "figures": list(insight.figures),
        }
        for insight in find_insights()
    ]


def analyse_ecg(
    names: Sequence[str],
    leads: Sequence[NDArray[Any]],
    *,
    sampling_rate_hz: float | None,
    baseline: float,
) -> list[dict[str, object]]:
    """Compute every insight of every lead: the `leads` of the finished document.

    Parameters
    ----------
    names : sequence of str
        One for each lead, in the same order.
    leads : sequence of ndarray, each of shape (number_of_samples,)
        int8, int16, int32, int64 or finite float64, as recorded. Left alone.
    sampling_rate_hz : float or None
        None when unknown.
    baseline : float
        The finite value, in the unit of the samples, that stands for zero.

    Returns
    -------
    list of dict
        `name`, `number_of_zero_crossings` (None when that insight has no answer) and `insights`, by
        their names: what was computed, or why it was not. A fault in one insight ends up in its own
        place, and in the log; the others proceed.

    Raises
    ------
    DamagedSignal
        There are not as many leads as names.
    """
    if len(names) != len(leads):
        raise DamagedSignal("The stored samples do not belong to the leads of this ECG.")
    return [
        _analyse_lead(name, subtract_baseline(lead, baseline), sampling_rate_hz)
        for name, lead in zip(names, leads, strict=True)
    ]


def subtract_baseline(samples: NDArray[Any], baseline: float) -> NDArray[Any]:
    """Give the samples relative to the baseline, read-only and without changing what was given.

    Integers and an integral baseline give exact integers, in int32 or, where they ask for it, in
    int64. Otherwise the result is float64: rounded, always of the right sign, and held at the
    largest finite number where the difference lies beyond it.
    """
    if baseline == 0:
        difference = samples.view()
    elif samples.dtype.kind == "i" and float(baseline).is_integer():
        difference = _subtract_exactly(samples, int(baseline))
    else:
        with np.errstate(over="ignore"):
            difference = np.subtract(samples, baseline, dtype=np.float64)
        np.clip(difference, -_LARGEST, _LARGEST, out=difference)
    difference.flags.writeable = False
    return difference


def _subtract_exactly(samples: NDArray[Any], baseline: int) -> NDArray[Any]:
    lowest, highest = int(samples.min(initial=0)), int(samples.max(initial=0))
    # Everything that takes part must fit, not the result alone.
    parts = (lowest, highest, baseline, lowest - baseline, highest - baseline)
    for wide in (np.iinfo(np.int32), np.iinfo(np.int64)):
        if wide.min <= min(parts) and max(parts) <= wide.max:
            difference: NDArray[Any] = np.subtract(samples, baseline, dtype=wide.dtype)
            return difference
    # Beyond 64 bits, where no upload comes: Python's integers, so that rounding is the only loss.
    difference = samples.astype(object) - baseline
    return difference.astype(np.float64)


def _analyse_lead(
    name: str, samples: NDArray[Any], sampling_rate_hz: float | None
) -> dict[str, object]:
    insights = {
        insight.name: _compute(insight, samples, sampling_rate_hz) for insight in find_insights()
    }
    return {
        "name": name,
        "number_of_zero_crossings": insights["zero_crossings"].get("count"),
        "insights": insights,
    }


def _compute(
    insight: Insight, samples: NDArray[Any], sampling_rate_hz: float | None
) -> dict[str, Any]:
    try:
        computed = insight.compute(samples, sampling_rate_hz)
        if type(computed) is not dict or not _is_plain(computed):
            raise TypeError(f"{insight.name} gave something that is not plain and finite")
    except NotComputable as reason:
        return {"version": insight.version, "not_computable": str(reason)}
    # MemoryError among them: no insight may take its neighbours, or the worker, along.
    except Exception:
        log.exception(
            "insight failed",
            insight=insight.name,
            version=insight.version,
            number_of_samples=samples.size,
            dtype=str(samples.dtype),
        )
        return {"version": insight.version, "problem": OUR_FAULT}
    return {"version": insight.version, **computed}


def _is_plain(value: object) -> bool:
    """Say whether JSON can hold this as it is: numpy's scalars, NaN and infinities it cannot."""
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    return type(value) in (str, int, bool)
