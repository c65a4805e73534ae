"""On real recordings no more beats are missed or invented than the documents say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.accuracy import detect
from bench.records import DATA, read
from bench.scores import score

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real recordings are not part of the project and not beside it"
)

# Errors of all leads together; these records have two.
MOST_ERRORS = {"100": 0, "104": 6, "116": 3, "124": 0, "203": 36, "208": 16, "223": 2}


@pytest.mark.parametrize("name", MOST_ERRORS)
def test_of_two_leads_hardly_a_beat_is_missed_or_invented(name: str) -> None:
    record = read("mitdb", name)
    assert score(record, detect(record).fused).errors <= MOST_ERRORS[name]


def test_one_lead_is_enough_under_calibrated_noise() -> None:
    quiet, loud = (read("nstdb", name) for name in ("118e24", "118e12"))
    assert score(quiet, detect(quiet).first).errors <= 2
    scored = score(loud, detect(loud).first)
    assert scored.missed <= 2
    assert scored.invented <= 60


# As strips of ten seconds, of which most that are recorded are no longer.
MOST_ERRORS_OF_STRIPS = {"104": 16, "119": 5, "208": 40}


@pytest.mark.parametrize("name", MOST_ERRORS_OF_STRIPS)
def test_strips_of_ten_seconds_have_hardly_more_errors_than_the_whole(name: str) -> None:
    record = read("mitdb", name)
    length, margin = round(10 * record.sampling_rate_hz), round(0.15 * record.sampling_rate_hz)
    errors = 0
    for begin in range(0, record.leads[0].size - length + 1, length):
        inside = (record.beats >= begin) & (record.beats < begin + length)
        strip = replace(
            record,
            leads=[lead[begin : begin + length] for lead in record.leads],
            beats=record.beats[inside] - begin,
            # What is cut off counts for nothing.
            left_out=[(0, margin), (length - margin, length)],
        )
        errors += score(strip, detect(strip).fused).errors
    assert errors <= MOST_ERRORS_OF_STRIPS[name]
