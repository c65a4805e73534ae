"""The verdict on a rolling restart: what failed or was slow is named."""

from __future__ import annotations

from bench.restart import Seen


def test_jobs_that_came_through_in_time_are_no_faults() -> None:
    seen = Seen([(0.1, "201 finished"), (1.9, "201 finished")])
    assert seen.faults() == []


def test_whatever_failed_or_was_slow_is_one() -> None:
    seen = Seen(
        [
            (0.1, "201 finished"),
            (0.2, "201 failed"),
            (0.3, "503 None"),
            (0.4, "ReadError"),
            (2.1, "201 finished"),
        ]
    )
    assert seen.faults() == [
        "201 failed after 0.20 s",
        "503 None after 0.30 s",
        "ReadError after 0.40 s",
        "201 finished after 2.10 s",
    ]
