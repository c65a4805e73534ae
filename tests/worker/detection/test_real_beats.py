"""On real recordings no more beats are missed or invented than the documents say."""

from __future__ import annotations

import pytest

from bench import records
from bench.accuracy import detect
from bench.scores import score

pytestmark = pytest.mark.skipif(
    not records.DATA.is_dir(),
    reason="the real recordings are not part of the project and not beside it",
)

# Errors of all leads together; these records have two.
MOST_ERRORS = {"100": 0, "104": 6, "116": 3, "124": 0, "203": 36, "208": 16, "223": 2}


@pytest.mark.parametrize("name", MOST_ERRORS)
def test_of_two_leads_hardly_a_beat_is_missed_or_invented(name: str) -> None:
    record = records.read("mitdb", name)
    assert score(record, detect(record).fused).errors <= MOST_ERRORS[name]


def test_one_lead_is_enough_under_calibrated_noise() -> None:
    quiet, loud = (records.read("nstdb", name) for name in ("118e24", "118e12"))
    assert score(quiet, detect(quiet).first).errors <= 2
    scored = score(loud, detect(loud).first)
    assert scored.missed <= 2
    assert scored.invented <= 60


# As strips of ten seconds, of which most that are recorded are no longer.
MOST_ERRORS_OF_STRIPS = {"104": 16, "119": 5, "208": 40}


@pytest.mark.parametrize("name", MOST_ERRORS_OF_STRIPS)
def test_strips_of_ten_seconds_have_hardly_more_errors_than_the_whole(name: str) -> None:
    strips = records.strips(records.read("mitdb", name), 10)
    errors = sum(score(strip, detect(strip).fused).errors for strip in strips)
    assert errors <= MOST_ERRORS_OF_STRIPS[name]
