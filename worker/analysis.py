"""From stored leads to the finished document: every insight, in the order in which they lean on
each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from shared.errors import DamagedSignal, NotComputable
from worker.detection.readings import readers_of
from worker.insights import Insight, Recording, Step, find_insights, find_steps

OUR_FAULT = "could not be computed because of a fault on our side"
NO_LEAD = "needs a lead"

_LARGEST = float(np.finfo(np.float64).max)
_KEY_TYPES, _PLAIN_TYPES = {str}, {str, int, bool}

# What an insight said, and what it keeps for others; or why it cannot be said.
Said = dict[str, Any] | NotComputable

log = structlog.get_logger(__name__)


def analyse_ecg(
    names: Sequence[str],
    leads: Sequence[NDArray[Any]],
    *,
    sampling_rate_hz: float | None,
    baseline: float,
    unit: str | None = None,
    gain: float | None = None,
) -> dict[str, Any]:
    """Compute every insight of an ECG: `leads` and `insights` of the finished document.

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
    unit : str or None
        Of the samples, as its sender calls it.
    gain : float or None
        Counts for a millivolt; None when unknown.

    Returns
    -------
    dict
        `leads`, each with its `name`, its `number_of_zero_crossings` (None when that insight has no
        answer) and its `insights`; and the `insights` of the whole ECG. Of each insight, by its
        name: its version and what was computed, or why it was not. A fault in one ends up in its
        own place, and in the log; those that do not need it proceed.

    Raises
    ------
    DamagedSignal
        There are not as many leads as names.
    """
    if len(names) != len(leads):
        raise DamagedSignal("The stored samples do not belong to the leads of this ECG.")
    relative = [subtract_baseline(lead, baseline) for lead in leads]
    readers = readers_of(relative, sampling_rate_hz)
    whole = Recording("ecg", relative, sampling_rate_hz, unit, gain, readers)
    ones = [
        Recording("lead", [lead], sampling_rate_hz, unit, gain, [reader])
        for lead, reader in zip(relative, readers, strict=True)
    ]

    shown_of_leads: list[dict[str, Any]] = [{} for _ in ones]
    shown_of_ecg: dict[str, Any] = {}
    said_of_leads: dict[str, list[Said]] = {}
    said_of_ecg: dict[str, Said] = {}
    for step in find_steps():
        if step.scope == "ecg":
            said = _say(step, whole, {**said_of_leads, **said_of_ecg})
            said_of_ecg[step.name] = said
            shown_of_ecg[step.insight.name] = _show(step.insight, said)
            continue
        of_leads = [
            _say(step, one, {**said_of_ecg, **{name: s[n] for name, s in said_of_leads.items()}})
            for n, one in enumerate(ones)
        ]
        said_of_leads[step.name] = of_leads
        for shown, said in zip(shown_of_leads, of_leads, strict=True):
            shown[step.insight.name] = _show(step.insight, said)

    by_name = [insight.name for insight in find_insights()]
    return {
        "leads": [
            {
                "name": name,
                "number_of_zero_crossings": shown["zero_crossings"].get("count"),
                "insights": {insight: shown[insight] for insight in by_name if insight in shown},
            }
            for name, shown in zip(names, shown_of_leads, strict=True)
        ],
        "insights": {name: shown_of_ecg[name] for name in by_name if name in shown_of_ecg},
    }


class _Fault(NotComputable):
    """A reason that is ours: logged, and no property of the recording."""


class _Lacking(NotComputable):
    """A reason that is another insight's."""


def _say(step: Step, recording: Recording, said: Mapping[str, Said | list[Said]]) -> Said:
    """Compute one insight of a lead or an ECG, or find out why not."""
    insight = step.insight
    try:
        computed = insight.compute(
            recording, {name: _lend(name, said[name]) for name in insight.scopes[step.scope]}
        )
        if type(computed) is not dict or not _is_plain(_public(computed)):
            raise TypeError(f"{insight.name} gave something that is not plain and finite")
    except NotComputable as reason:
        return reason
    # MemoryError among them: no insight may take its neighbours, or the worker, along.
    except Exception:
        log.exception(
            "insight failed",
            insight=step.name,
            version=insight.version,
            numbers_of_samples=[lead.size for lead in recording.leads],
        )
        return _Fault(OUR_FAULT)
    return computed


def _lend(name: str, said: Said | list[Said]) -> Any:
    """Hand what was said to whoever needs it; raises `NotComputable` where nothing was."""
    if isinstance(said, list):
        if any(isinstance(one, dict) for one in said):
            return [one if isinstance(one, dict) else None for one in said]
        said = said[0] if said else NotComputable(NO_LEAD)
    if not isinstance(said, NotComputable):
        return said
    if isinstance(said, _Lacking):
        # The first reason is the one that helps, however many stand between.
        raise said
    why = f"it {said}" if isinstance(said, _Fault) else said
    raise _Lacking(f"{name.partition('.')[2]} cannot be said: {why}")


def _show(insight: Insight, said: Said) -> dict[str, Any]:
    if isinstance(said, _Fault):
        return {"version": insight.version, "problem": str(said)}
    if isinstance(said, NotComputable):
        return {"version": insight.version, "not_computable": str(said)}
    return {"version": insight.version, **_public(said)}


def _public(computed: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in computed.items()
        if not (type(name) is str and name.startswith("_"))
    }


def _is_plain(value: Any) -> bool:
    """Say whether JSON can hold this as it is: numpy's scalars, NaN and infinities it cannot."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return _KEY_TYPES.issuperset(map(type, value)) and all(map(_is_plain, value.values()))
    if kind is list:
        # Of thousands of beats, not one by one.
        return _PLAIN_TYPES.issuperset(map(type, value)) or all(map(_is_plain, value))
    return kind in _PLAIN_TYPES


def subtract_baseline(samples: NDArray[Any], baseline: float) -> NDArray[Any]:
    """Give the samples relative to the baseline, read-only and without changing what was given.

    Integers and an integral baseline give exact integers, in the narrowest of int16, int32 and
    int64 that holds them. Otherwise the result is float64: rounded, always of the right sign, and
    held at the largest finite number where the difference lies beyond it.
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
    for wide in (np.iinfo(np.int16), np.iinfo(np.int32), np.iinfo(np.int64)):
        if wide.min <= min(parts) and max(parts) <= wide.max:
            difference: NDArray[Any] = np.subtract(samples, baseline, dtype=wide.dtype)
            return difference
    # Beyond 64 bits, where no upload comes: Python's integers, so that rounding is the only loss.
    difference = samples.astype(object) - baseline
    return difference.astype(np.float64)
