"""On real recordings no more beats are missed or invented than the documents say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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


@pytest.mark.parametrize("sampling_rate_hz", [250, 500, 1000])
def test_r_peaks_stay_where_they_are_at_another_sampling_rate(sampling_rate_hz: int) -> None:
    record = records.read("mitdb", "124")
    # Two leads as good as each other, whose R peaks are 35 ms apart.
    few = replace(record, leads=[lead[: 300 * 360] for lead in record.leads])
    at_s, then_s = np.arange(300 * 360) / 360, np.arange(299 * sampling_rate_hz) / sampling_rate_hz
    leads = [np.rint(np.interp(then_s, at_s, lead)).astype(np.int16) for lead in few.leads]
    again = replace(few, leads=leads, sampling_rate_hz=sampling_rate_hz)
    found_s, again_s = detect(few).fused / 360, detect(again).fused / sampling_rate_hz
    inside = found_s[(found_s > 0.2) & (found_s < 298.8)]
    assert np.abs(inside[:, None] - again_s).min(axis=1).max() <= 0.010
