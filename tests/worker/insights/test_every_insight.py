"""What every insight owes its neighbours; this finds each module by itself."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from shared.errors import DamagedSignal, NotComputable
from worker import insights
from worker.insights import OUR_FAULT, Insight, analyse_ecg, catalogue, find_insights

LARGEST = float(np.finfo(np.float64).max)

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
    "float extremes": np.array([LARGEST, -LARGEST, 5e-324, -5e-324, 0.0] * 100),
    "noise": np.random.default_rng(3).integers(-500, 500, 5_000, np.int16),
    **{
        f"extremes of int{bits}": np.array(
            [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0] * 100, f"int{bits}"
        )
        for bits in (8, 16, 32, 64)
    },
}

every_insight = pytest.mark.parametrize(
    "insight", find_insights(), ids=[insight.name for insight in find_insights()]
)
every_lead = pytest.mark.parametrize("lead", LEADS.values(), ids=LEADS.keys())
with_and_without_rate = pytest.mark.parametrize("sampling_rate_hz", [None, 500.0])


def assert_plain_and_finite(value: object) -> None:
    assert type(value) in (dict, list, str, int, float, bool)
    json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            assert_plain_and_finite(item)


def answer_or_reason(
    insight: Insight, lead: NDArray[Any], sampling_rate_hz: float | None
) -> dict[str, Any] | str:
    try:
        answer = insight.compute(lead, sampling_rate_hz)
    except NotComputable as reason:
        return str(reason)
    # These are what the bench itself puts beside the answer.
    assert answer.keys().isdisjoint({"version", "not_computable", "problem"})
    # Every single number has its column in a table, whose header says so before the first row.
    numbers = {name for name, value in answer.items() if type(value) in (int, float, bool)}
    assert numbers <= set(insight.figures)
    return answer


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
    summary, *_ = insight.definition.split("\n\n")
    assert summary.endswith(".")
    assert "\n" not in summary


@every_insight
def test_the_catalogue_carries_it(insight: Insight) -> None:
    (entry,) = [entry for entry in catalogue() if entry["name"] == insight.name]

    assert_plain_and_finite(entry)
    assert entry == {
        "name": insight.name,
        "version": insight.version,
        "unit": insight.unit,
        "definition": insight.definition,
        "figures": list(insight.figures),
    }


@every_insight
@every_lead
@with_and_without_rate
def test_any_lead_gives_plain_finite_values_or_a_reason(
    insight: Insight, lead: NDArray[Any], sampling_rate_hz: float | None
) -> None:
    before = lead.tobytes()

    first, second = (answer_or_reason(insight, lead, sampling_rate_hz) for _ in range(2))

    assert_plain_and_finite(first)
    assert first
    assert first == second
    assert lead.tobytes() == before


@every_insight
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_a_lead_of_ten_hours_is_no_trouble(insight: Insight, dtype: type[Any]) -> None:
    beat = np.round(300 * np.sin(np.linspace(0, 40, 500)) + np.eye(1, 500, 250)[0] * 900)
    lead = np.resize(beat.astype(dtype), 10 * 3600 * 500)
    lead.flags.writeable = False

    assert_plain_and_finite(insight.compute(lead, 500.0))


@every_lead
@with_and_without_rate
@pytest.mark.parametrize("baseline", [0.0, 1024.0, 0.5, -(2.0**40), LARGEST])
def test_the_whole_bench_has_no_problem_with_any_lead(
    lead: NDArray[Any], sampling_rate_hz: float | None, baseline: float
) -> None:
    before = lead.tobytes()

    (document,) = analyse_ecg(["V1"], [lead], sampling_rate_hz=sampling_rate_hz, baseline=baseline)

    assert document["name"] == "V1"
    computed = document["insights"]
    assert isinstance(computed, dict)
    assert list(computed) == [insight.name for insight in find_insights()]
    for insight in find_insights():
        assert computed[insight.name]["version"] == insight.version
        assert "problem" not in computed[insight.name]
    assert_plain_and_finite(document)
    assert lead.tobytes() == before
    assert lead.flags.writeable


def test_leads_keep_their_order_and_names_even_when_names_repeat() -> None:
    up_and_down = np.array([1, -1, 1], np.int8)

    leads = analyse_ecg(
        ["V1", "", "V1"],
        [up_and_down, up_and_down[:0], up_and_down[:2]],
        sampling_rate_hz=None,
        baseline=0,
    )

    assert [lead["name"] for lead in leads] == ["V1", "", "V1"]
    assert [lead["number_of_zero_crossings"] for lead in leads] == [2, 0, 1]
    for lead in leads:
        assert lead.keys() == {"name", "number_of_zero_crossings", "insights"}


def test_an_ecg_without_leads_has_an_empty_document() -> None:
    assert analyse_ecg([], [], sampling_rate_hz=500.0, baseline=0) == []


def test_more_names_than_leads_is_damage() -> None:
    with pytest.raises(DamagedSignal):
        analyse_ecg(["I", "II"], [np.zeros(3, np.int8)], sampling_rate_hz=None, baseline=0)


@pytest.fixture
def put_on_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Lay a further module into a folder of the bench, where it is found like the others."""
    known = set(sys.modules)
    monkeypatch.setattr(insights, "__path__", [*insights.__path__, str(tmp_path)])

    def put(name: str, body: str) -> None:
        head = '"""An insight of a test."""\nimport numpy as np\nfrom shared import errors\n'
        function = f"def compute(samples, sampling_rate_hz):\n{textwrap.indent(body, '    ')}\n"
        (tmp_path / f"{name}.py").write_text(
            f"{head}VERSION = 7\nUNIT = 'mm'\nFIGURES = ()\n{function}"
        )
        importlib.invalidate_caches()
        find_insights.cache_clear()

    yield put
    find_insights.cache_clear()
    for name in set(sys.modules) - known:
        if name.startswith("worker.insights."):
            del sys.modules[name]
            delattr(insights, name.rpartition(".")[2])


def analyse_with_it(name: str) -> tuple[object, list[Any]]:
    """Analyse a lead; give what this insight said and what was logged; the other must be right."""
    with capture_logs() as lines:
        (lead,) = analyse_ecg(
            ["Einthoven"], [np.array([4711, -4711, 4711])], sampling_rate_hz=3.0, baseline=0
        )
    said = lead["insights"]
    assert isinstance(said, dict)
    assert lead["number_of_zero_crossings"] == 2
    assert said["zero_crossings"] == {"version": 1, "count": 2, "touches": 0, "rate_hz": 2.0}
    return said[name], lines


def test_a_new_file_is_a_new_insight(put_on_bench: Callable[[str, str], None]) -> None:
    put_on_bench("made_for_this_test", "return {'highest_mm': int(samples.max())}")

    names = [entry["name"] for entry in catalogue()]
    assert {"made_for_this_test", "zero_crossings"} <= set(names)
    assert names == sorted(names)
    assert analyse_with_it("made_for_this_test") == ({"version": 7, "highest_mm": 4711}, [])


def test_an_insight_that_cannot_say_says_why(put_on_bench: Callable[[str, str], None]) -> None:
    put_on_bench("also_made_for_this_test", "raise errors.NotComputable('needs leads I and aVF')")

    assert analyse_with_it("also_made_for_this_test") == (
        {"version": 7, "not_computable": "needs leads I and aVF"},
        [],
    )


@pytest.mark.parametrize(
    "body",
    [
        "return 1 // 0",
        "raise MemoryError",
        "return {'mean': samples.mean()}",
        "return {'mean': float('nan')}",
        "return {'all': [1.0, {'worst': float('inf')}]}",
        "return {'count': np.int64(1)}",
        "return {1: 1}",
        "return [1]",
        "return None",
        "samples[0] = 0\nreturn {}",
    ],
)
def test_a_fault_in_one_insight_is_logged_and_harms_no_other(
    put_on_bench: Callable[[str, str], None], body: str
) -> None:
    put_on_bench("broken", body)

    said, lines = analyse_with_it("broken")

    assert said == {"version": 7, "problem": OUR_FAULT}
    (line,) = lines
    assert (line["log_level"], line["insight"], line["exc_info"]) == ("error", "broken", True)
    assert "Einthoven" not in str(line)
    assert "4711" not in str(line)
