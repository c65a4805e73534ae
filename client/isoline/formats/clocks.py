"""Columns of dates and times of day, as seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoline.errors import UnreadableFile

# Without a fraction it may as well be hours and minutes.
_ELAPSED = r"^(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>[0-5]?\d\.\d+)$"


def clock(column: NDArray[Any], name: str) -> tuple[NDArray[np.float64], datetime | None]:
    """Times of day and date (ISO 8601) as seconds since the first, and the first; or times like
    `'1:02:03.450'`, as the WFDB tools write them, as seconds.

    Raises
    ------
    UnreadableFile : some are no such times.
    """
    elapsed = pd.Series(column, dtype=str).str.strip().str.strip("'").str.extract(_ELAPSED)
    if elapsed["s"].notna().all():
        parts = elapsed.fillna("0").astype(float)
        return (3600 * parts["h"] + 60 * parts["m"] + parts["s"]).to_numpy(), None
    try:
        # Where no time zone is named, it is UTC, as in the other formats.
        moments = pd.Series(pd.to_datetime(column, format="ISO8601", utc=True))
    except (ValueError, TypeError):
        raise UnreadableFile(f"Column {name} holds something that is not a number.") from None
    if moments.isna().any():
        raise UnreadableFile(f"Column {name} has gaps, and nothing stands for those.")
    first = moments.iloc[0]
    return (moments - first).dt.total_seconds().to_numpy(), first.to_pydatetime()
