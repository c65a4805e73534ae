"""How insights are found, lean on each other, and go wrong without harming each other."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from shared.errors import InsightsError
from tests.parts import HOUSE
from worker import insights
from worker.analysis import OUR_FAULT, analyse_ecg
from worker.insights import Recording, catalogue, find_insights, find_steps

HEAD = '"""An insight of a test."""\nimport numpy as np\nfrom shared import errors\n'


class Bench:
    """The real bench with a second folder, where what is laid is found like the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, body: str, scopes: str = "{'lead': ()}") -> None:
        function = f"def compute(recording, needed):\n{textwrap.indent(body, '    ')}\n"
        stands = f"VERSION = 7\nUNIT = 'mm'\nFIGURES = ()\nSCOPES = {scopes}\n"
        (self._folder / f"{name}.py").write_text(HEAD + stands + function)
        importlib.invalidate_caches()
        self.forget()

    def forget(self) -> None:
        find_insights.cache_clear()
        find_steps.cache_clear()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    known = set(sys.modules)
    monkeypatch.setattr(insights, "__path__", [*insights.__path__, str(tmp_path)])
    bench = Bench(tmp_path)
    yield bench
    bench.forget()
    for name in set(sys.modules) - known:
        if name.startswith("worker.insights."):
            del sys.modules[name]
            delattr(insights, name.rpartition(".")[2])


def analyse(*leads: list[int]) -> tuple[dict[str, Any], list[Any]]:
    """Analyse leads; give the document and what was logged; the others must be right."""
    names = ["Einthoven"] * len(leads)
    with capture_logs() as lines:
        document = analyse_ecg(
            names, [np.array(lead) for lead in leads], sampling_rate_hz=3.0, baseline=0
        )
    for lead in document["leads"]:
        assert lead["number_of_zero_crossings"] == 2
        counted = {"version": 1, "count": 2, "touches": 0, "rate_hz": 2.0}
        assert lead["insights"]["zero_crossings"] == counted
    assert "Einthoven" not in str(lines)
    assert "4711" not in str(lines)
    return document, lines


ONE, OTHER = [4711, -4711, 4711], [-1, 1, -1]


def said_of_lead(name: str) -> tuple[object, list[Any]]:
    document, lines = analyse(ONE)
    return document["leads"][0]["insights"][name], lines


def test_a_new_file_is_a_new_insight(bench: Bench) -> None:
    bench.put("made_for_this", "return {'highest_mm': int(recording.samples.max())}")

    names = [entry["name"] for entry in catalogue()]
    assert {"made_for_this", "zero_crossings"} <= set(names)
    assert names == sorted(names)
    assert said_of_lead("made_for_this") == ({"version": 7, "highest_mm": 4711}, [])


def test_an_insight_that_cannot_say_says_why(bench: Bench) -> None:
    bench.put("cannot_say", "raise errors.NotComputable('needs leads I and aVF')")

    assert said_of_lead("cannot_say") == (
        {"version": 7, "not_computable": "needs leads I and aVF"},
        [],
    )


@pytest.mark.parametrize(
    "body",
    [
        "return 1 // 0",
        "raise MemoryError",
        "return {'mean': recording.samples.mean()}",
        "return {'mean': float('nan')}",
        "return {'all': [1.0, {'worst': float('inf')}]}",
        "return {'count': np.int64(1)}",
        "return {1: 1}",
        "return [1]",
        "return None",
        "recording.samples[0] = 0\nreturn {}",
        "return needed['lead.zero_crossings']",
    ],
)
def test_a_fault_in_one_insight_is_logged_and_harms_no_other(bench: Bench, body: str) -> None:
    bench.put("broken", body)

    said, lines = said_of_lead("broken")

    assert said == {"version": 7, "problem": OUR_FAULT}
    (line,) = lines
    assert (line["log_level"], line["insight"], line["exc_info"]) == ("error", "lead.broken", True)


def test_what_is_said_of_the_whole_ecg_stands_beside_the_leads(bench: Bench) -> None:
    bench.put("whole", "return {'leads': len(recording.leads)}", "{'ecg': ()}")

    document, _ = analyse(ONE, OTHER)

    assert document["insights"]["whole"] == {"version": 7, "leads": 2}
    assert all("whole" not in lead["insights"] for lead in document["leads"])


def test_what_is_needed_is_computed_once_and_what_is_kept_is_not_shown(bench: Bench) -> None:
    bench.put(
        "zz_first",
        "return {'sum': int(recording.samples.sum()), '_all': recording.samples * 2}",
    )
    bench.put(
        "aa_both",
        "if recording.scope == 'lead':\n"
        "    first = needed['lead.zz_first']\n"
        "    return {'twice': int(first['_all'].sum()), '_kept': first['_all']}\n"
        "kept = [one['_kept'] for one in needed['lead.aa_both']]\n"
        "return {'largest': [int(one.max()) for one in kept]}",
        "{'lead': ('lead.zz_first',), 'ecg': ('lead.aa_both',)}",
    )
    bench.put(
        "bb_last",
        "return {'seen': needed['ecg.aa_both']['largest']}",
        "{'ecg': ('ecg.aa_both',), 'lead': ('ecg.aa_both',)}",
    )

    document, lines = analyse(ONE, OTHER)

    assert not lines
    for lead, total in zip(document["leads"], (4711, -1), strict=True):
        assert lead["insights"]["zz_first"] == {"version": 7, "sum": total}
        assert lead["insights"]["aa_both"] == {"version": 7, "twice": 2 * total}
        assert lead["insights"]["bb_last"] == {"version": 7, "seen": [9422, 2]}
    assert document["insights"]["aa_both"] == {"version": 7, "largest": [9422, 2]}
    assert document["insights"]["bb_last"] == {"version": 7, "seen": [9422, 2]}


NEEDY = "return {'all': [one['x'] if one else 'nothing' for one in needed['lead.some']]}"
SOME = "if recording.samples[0] < 0: raise errors.NotComputable('needs more')\nreturn {'x': 1}"


def test_of_leads_that_cannot_say_the_whole_sees_nothing_and_goes_on(bench: Bench) -> None:
    bench.put("some", SOME)
    bench.put("needy", NEEDY, "{'ecg': ('lead.some',)}")

    document, _ = analyse(OTHER, ONE)

    assert document["insights"]["needy"] == {"version": 7, "all": ["nothing", 1]}


def test_when_nothing_that_is_needed_is_there_the_first_reason_is_passed_on(bench: Bench) -> None:
    bench.put("some", SOME)
    bench.put("needy", NEEDY, "{'ecg': ('lead.some',)}")
    bench.put("needier", "return {}", "{'ecg': ('ecg.needy',)}")

    for leads, why in (([OTHER, OTHER], "needs more"), ([], "needs a lead")):
        document, lines = analyse(*leads)
        assert not lines
        reason = {"version": 7, "not_computable": f"some cannot be said: {why}"}
        assert document["insights"]["needy"] == reason
        assert document["insights"]["needier"] == reason


def test_a_fault_of_ours_is_a_reason_for_those_who_needed_it(bench: Bench) -> None:
    bench.put("broken", "return 1 // 0")
    bench.put("needy", "return {}", "{'lead': ('lead.broken',)}")

    said, lines = said_of_lead("needy")

    assert said == {"version": 7, "not_computable": f"broken cannot be said: it {OUR_FAULT}"}
    # Once, where it happened.
    assert [line["insight"] for line in lines] == ["lead.broken"]


def test_insights_that_need_each_other_in_a_circle_are_refused(bench: Bench) -> None:
    bench.put("hen", "return {}", "{'lead': ('ecg.egg',)}")
    bench.put("egg", "return {}", "{'ecg': ('lead.hen',)}")

    with pytest.raises(InsightsError, match=r"in a circle: .*lead\.hen.*ecg\.egg"):
        find_steps()


@pytest.mark.parametrize("need", ["lead.nothing", "zero_crossings", "ecg.zero_crossings"])
def test_an_insight_that_needs_what_there_is_not_is_refused(bench: Bench, need: str) -> None:
    bench.put("needy", "return {}", f"{{'ecg': ({need!r},)}}")

    with pytest.raises(InsightsError, match=rf"ecg\.needy needs {need}, which there is not"):
        find_steps()


@pytest.mark.parametrize("module", ["worker", "worker.relay"])
def test_a_worker_with_such_insights_does_not_start(tmp_path: Path, module: str) -> None:
    bench = Bench(tmp_path)
    bench.put("hen", "return {}", "{'lead': ('lead.hen',)}")
    code = (
        "import runpy; from worker import insights;"
        f"insights.__path__.append({str(tmp_path)!r});"
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    url = {"ISOLINE_REDIS_URL": "redis://127.0.0.1:1/0", "ISOLINE_DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **url},
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("These insights need each other in a circle")


@pytest.mark.parametrize(
    ("gain", "unit", "counts_per_mv"),
    [
        (200.0, None, 200.0),
        (200.0, "mV", 200.0),
        (None, "mV", 1.0),
        (None, " MV ", 1.0),
        (None, "V", 1e-3),
        (None, "uV", 1e3),
        (None, "\u00b5V", 1e3),
        (None, "\u03bcV", 1e3),
        (None, "nV", 1e6),
        (None, "adc", None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_what_a_millivolt_is(
    gain: float | None, unit: str | None, counts_per_mv: float | None
) -> None:
    assert Recording("lead", [], 500.0, unit, gain).counts_per_mv == counts_per_mv
