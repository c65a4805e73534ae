"""Moments: datetimes outside, seconds since 1970 in the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """The moment so many seconds after 1970 began, in UTC; `OverflowError` where dates end."""
    return _1970 + timedelta(seconds=seconds)


def seconds_of(moment: datetime) -> float:
    """The seconds from 1970 to a moment; `OverflowError` when `at` could not bring them back."""
    seconds = moment.timestamp()
    # The last microseconds of the year 9999, as a float, are the year 10000.
    at(seconds)
    return seconds
