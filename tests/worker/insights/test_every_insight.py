"""What every insight owes its neighbours; this finds each module by itself."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import DamagedSignal
from worker import insights
from worker.analysis import analyse_ecg
from worker.insights import Insight, catalogue, find_insights

LARGEST = float(np.finfo(np.float64).max)
HOUR_S = 3600

LEADS: dict[str, NDArray[Any]] = {
    "empty": np.zeros(0, np.int8),
    "empty decimals": np.zeros(0),
    "one sample": np.array([-3], np.int16),
    "one zero": np.zeros(1, np.int8),
    "two samples": np.array([1, -1], np.int32),
    "flat on the line": np.zeros(5_000, np.int8),
    "flat above the line": np.full(5_000, 100, np.int8),
    "flat decimals": np.full(5_000, -0.1),
    "signed zeros": np.array([0.0, -0.0] * 100),
    "float extremes": np.array([LARGEST, -LARGEST, 5e-324, -5e-324, 0.0] * 400),
    "one float extreme": np.append(np.zeros(5_000), LARGEST),
    "tiny decimals": np.array([5e-324, 0.0, -5e-324] * 1_000),
    "noise": np.random.default_rng(3).integers(-500, 500, 5_000, np.int16),
    "a step": np.repeat(np.array([0, 1_000], np.int16), 2_500),
    **{
        f"extremes of int{bits}": np.array(
            [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0] * 1_000, f"int{bits}"
        )
        for bits in (8, 16, 32, 64)
    },
}
# What is said beside the samples: nothing, or too much for any arithmetic.
WORDS: dict[str, dict[str, Any]] = {
    "nothing is known": {"sampling_rate_hz": None, "baseline": 0.0},
    "all is known": {"sampling_rate_hz": 500.0, "baseline": 1024.0, "gain": 200.0, "unit": "adc"},
    "slow": {"sampling_rate_hz": 5e-324, "baseline": 0.5, "gain": 5e-324},
    "quick": {"sampling_rate_hz": 1e300, "baseline": -(2.0**40), "gain": LARGEST, "unit": "mV"},
    "far from zero": {"sampling_rate_hz": 250.0, "baseline": LARGEST, "unit": " µV "},
}

every_insight = pytest.mark.parametrize(
    "insight", find_insights(), ids=[insight.name for insight in find_insights()]
)
every_lead = pytest.mark.parametrize("lead", LEADS.values(), ids=LEADS.keys())
whatever_is_said = pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())


def beats(seconds: int, dtype: type[Any] = np.int16) -> NDArray[Any]:
    """Something like 75 beats a minute, at 500 Hz."""
    beat = np.round(30 * np.sin(np.linspace(0, 6.28, 400)))
    beat[190:211] += 900 * np.hanning(21)
    return np.resize(beat.astype(dtype), 500 * seconds)


def assert_plain_and_finite(value: object) -> None:
    assert type(value) in (dict, list, str, int, float, bool)
    json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            assert_plain_and_finite(item)


def assert_in_order(document: dict[str, Any], leads: int) -> None:
    """A document says something of each insight at each of its scopes, and nothing wrong."""
    assert_plain_and_finite(document)
    assert document.keys() == {"leads", "insights"}
    assert len(document["leads"]) == leads
    for scope, places in (("lead", document["leads"]), ("ecg", [document])):
        those = [insight for insight in find_insights() if scope in insight.scopes]
        for place in places:
            said = place["insights"]
            assert list(said) == [insight.name for insight in those]
            for insight in those:
                answer = dict(said[insight.name])
                assert answer.pop("version") == insight.version
                assert "problem" not in answer, insight.name
                assert not any(name.startswith("_") for name in answer)
                # Every single value has its column in a table, whose header says so before the
                # first row.
                single = {name for name, value in answer.items() if type(value) is not list}
                assert single <= {*insight.figures, "not_computable"}


def test_the_bench_is_what_lies_in_its_folder() -> None:
    (folder,) = map(Path, insights.__path__)
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")

    assert [insight.name for insight in find_insights()] == names
    assert "zero_crossings" in names


@every_insight
def test_an_insight_says_what_it_is(insight: Insight) -> None:
    assert type(insight.version) is int
    assert insight.version >= 1
    assert insight.unit.strip()
    assert insight.scopes
    assert set(insight.scopes) <= {"lead", "ecg"}
    assert insight.limits, "every number has limits"
    assert insight.sources, "every number comes from somewhere"
    summary, *_ = insight.definition.split("\n\n")
    assert summary.endswith(".")
    assert "\n" not in summary
    for item in (*insight.limits, *insight.sources):
        assert item.endswith(".")
        assert "\n" not in item
    # Where a spreadsheet has a column for each.
    assert len(set(insight.figures)) == len(insight.figures)
    assert not {"version", "problem"} & set(insight.figures)


@every_insight
def test_no_insight_says_or_implies_a_diagnosis(insight: Insight) -> None:
    words = " ".join([insight.definition, *insight.limits]).lower()
    for word in ("diagnos", "abnormal", "patholog", "disease", "tachycardia", "bradycardia"):
        assert word not in words


@every_insight
def test_the_catalogue_carries_it(insight: Insight) -> None:
    (entry,) = [entry for entry in catalogue() if entry["name"] == insight.name]

    assert_plain_and_finite(entry)
    assert entry == {
        "name": insight.name,
        "version": insight.version,
        "unit": insight.unit,
        "scopes": list(insight.scopes),
        "definition": insight.definition,
        "limits": list(insight.limits),
        "sources": list(insight.sources),
        "figures": list(insight.figures),
    }


@every_lead
@whatever_is_said
def test_any_lead_gives_plain_finite_values_or_reasons(
    lead: NDArray[Any], words: dict[str, Any]
) -> None:
    before = lead.tobytes()

    first, second = (analyse_ecg(["V1"], [lead], **words) for _ in range(2))

    assert_in_order(first, 1)
    assert first == second
    assert lead.tobytes() == before
    assert lead.flags.writeable


@whatever_is_said
def test_leads_that_do_not_go_together_are_no_trouble(words: dict[str, Any]) -> None:
    leads = list(LEADS.values())

    assert_in_order(analyse_ecg(list(LEADS), leads, **words), len(leads))


@whatever_is_said
def test_an_ecg_without_leads_says_what_it_would_need(words: dict[str, Any]) -> None:
    document = analyse_ecg([], [], **words)

    assert_in_order(document, 0)
    assert all("not_computable" in said for said in document["insights"].values())


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_an_hour_is_no_trouble(dtype: type[Any]) -> None:
    leads = [beats(HOUR_S, dtype) for _ in range(3)]

    document = analyse_ecg(["I", "II", "III"], leads, **WORDS["all is known"])

    assert_in_order(document, 3)
    for place in (document, *document["leads"]):
        assert not any("not_computable" in said for said in place["insights"].values())


@pytest.mark.parametrize("leads", [1, 3])
@pytest.mark.parametrize("sampling_rate_hz", [100.0, 199.0, 500.0])
def test_all_together_take_less_than_eight_times_the_samples(
    leads: int, sampling_rate_hz: float
) -> None:
    # What takes the most: decimals, noise, a rate that is not lowered, a baseline to subtract.
    noise = [np.random.default_rng(n).normal(size=600_000) for n in range(leads)]
    words: dict[str, Any] = {"sampling_rate_hz": sampling_rate_hz, "baseline": 0.5, "gain": 200.0}
    tracemalloc.start()
    analyse_ecg(["V"] * leads, noise, **words)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 4 * sum(lead.size for lead in noise)


def test_leads_keep_their_order_and_names_even_when_names_repeat() -> None:
    up_and_down = np.array([1, -1, 1], np.int8)

    document = analyse_ecg(
        ["V1", "", "V1"],
        [up_and_down, up_and_down[:0], up_and_down[:2]],
        sampling_rate_hz=None,
        baseline=0,
    )

    leads = document["leads"]
    assert [lead["name"] for lead in leads] == ["V1", "", "V1"]
    assert [lead["number_of_zero_crossings"] for lead in leads] == [2, 0, 1]
    for lead in leads:
        assert lead.keys() == {"name", "number_of_zero_crossings", "insights"}


def test_more_names_than_leads_is_damage() -> None:
    with pytest.raises(DamagedSignal):
        analyse_ecg(["I", "II"], [np.zeros(3, np.int8)], sampling_rate_hz=None, baseline=0)
