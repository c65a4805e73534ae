"""The bench: every module in this folder is one insight, found by itself.

The module's name is the insight's public name and its docstring the definition that users read,
with sections `Limits` and `Sources` at its end. Beside it stand

- `VERSION`, raised whenever a number may come out differently;
- `UNIT`, and `FIGURES`, the names of its single values: columns where insights become a table;
- `SCOPES`: what it is said of, "lead" or "ecg" or both, and what it needs for that: other insights
  as "lead.beats" or "ecg.beats", each computed once;
- `compute(recording, needed)`, which gives a dictionary of plain, finite values, the units in the
  keys. What cannot be said raises `NotComputable` with the reason. The samples are read-only, there
  may be none, and they may be as large as a float can be; what the detector sees in a lead is
  `recording.reading`, the same beside other leads as alone.

A key that begins with an underscore is for those who need the insight, holds whatever they can use,
and is not shown. In `needed`, what is said of each lead comes to an insight of the whole ECG as a
list in the order of the leads, with None for those of which it cannot be said.
"""

from __future__ import annotations

import functools
import graphlib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from shared.errors import InsightsError
from worker.detection.readings import Reading, readers_of

Scope = Literal["lead", "ecg"]
Needed = Mapping[str, Any]

_A_MILLIVOLT = {"v": 1e-3, "mv": 1.0, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}
_SECTION = re.compile(r"^(Limits|Sources)\n-+\n", re.MULTILINE)


@dataclass(frozen=True)
class Recording:
    """What an insight looks at: one lead, or all leads of an ECG.

    The samples of each lead are int8, int16, int32, int64 or finite float64, relative to the
    baseline, and read-only. There may be no lead, or leads without samples.
    """

    scope: Scope
    leads: Sequence[NDArray[Any]]
    sampling_rate_hz: float | None = None
    unit: str | None = None
    # Counts of the converter for a millivolt.
    gain: float | None = None
    # For each lead what reads it, and those beside it in the same breath.
    readers: Sequence[Callable[[], Reading]] = ()

    @property
    def samples(self) -> NDArray[Any]:
        """Those of the one lead there is."""
        (lead,) = self.leads
        return lead

    @property
    def reading(self) -> Reading:
        """What is seen in the one lead there is; raises `NotComputable` with the reason why not."""
        (read,) = self.readers or readers_of(self.leads, self.sampling_rate_hz)
        return read()

    @property
    def counts_per_mv(self) -> float | None:
        """What a millivolt is in the unit of the samples; None when nobody has said."""
        return self.gain or _A_MILLIVOLT.get((self.unit or "").strip().lower())


@dataclass(frozen=True)
class Insight:
    """One module of the bench, ready to be used."""

    name: str
    version: int
    unit: str
    definition: str
    figures: tuple[str, ...]
    scopes: Mapping[Scope, tuple[str, ...]]
    compute: Callable[[Recording, Needed], dict[str, Any]]
    limits: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One insight at one scope."""

    scope: Scope
    insight: Insight

    @property
    def name(self) -> str:
        """As others say that they need it."""
        return f"{self.scope}.{self.insight.name}"


@functools.cache
def find_insights() -> tuple[Insight, ...]:
    """Import every module of this folder, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(_as_insight(name, importlib.import_module(f"{__name__}.{name}")) for name in names)


def _as_insight(name: str, module: Any) -> Insight:
    definition, *sections = _SECTION.split(inspect.cleandoc(module.__doc__ or ""))
    items = {
        title: tuple(" ".join(item.split()) for item in re.split(r"^- ", body, flags=re.M) if item)
        for title, body in zip(sections[::2], sections[1::2], strict=True)
    }
    return Insight(
        name=name,
        version=module.VERSION,
        unit=module.UNIT,
        definition=definition.strip(),
        figures=module.FIGURES,
        scopes=module.SCOPES,
        compute=module.compute,
        limits=items.get("Limits", ()),
        sources=items.get("Sources", ()),
    )


@functools.cache
def find_steps() -> tuple[Step, ...]:
    """Whatever is to be computed of an ECG, what is needed before those who need it.

    Raises
    ------
    InsightsError : insights need each other in a circle, or one needs what there is not.
    """
    return in_order(find_insights())


def in_order(insights: Sequence[Insight]) -> tuple[Step, ...]:
    """Put what is needed before those who need it; raises `InsightsError` when that cannot be."""
    steps = {
        step.name: step
        for insight in insights
        for step in (Step(scope, insight) for scope in insight.scopes)
    }
    needs = {name: step.insight.scopes[step.scope] for name, step in steps.items()}
    for name, needed in needs.items():
        for missing in set(needed) - set(steps):
            raise InsightsError(f"The insight {name} needs {missing}, which there is not.")
    try:
        return tuple(steps[name] for name in graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        circle = " → ".join(error.args[1])
        raise InsightsError(f"These insights need each other in a circle: {circle}.") from None


def versions() -> dict[str, int]:
    """The version of each insight."""
    return {insight.name: insight.version for insight in find_insights()}


def catalogue() -> list[dict[str, Any]]:
    """Describe every insight in plain values."""
    return [
        {
            "name": insight.name,
            "version": insight.version,
            "unit": insight.unit,
            "scopes": list(insight.scopes),
            "definition": insight.definition,
            "limits": list(insight.limits),
            "sources": list(insight.sources),
            "figures": list(insight.figures),
        }
        for insight in find_insights()
    ]
