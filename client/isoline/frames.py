"""Tables of the server as pandas frames."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def as_frame(table: bytes) -> pandas.DataFrame:
    """Read the CSV of a batch; raises `ImportError` where there is no pandas."""
    try:
        import pandas
    except ImportError:
        raise ImportError("A frame needs pandas: pip install 'isoline[formats]'") from None
    texts = {"custom_id": "string", "ecg_id": "string", "name": "string"}
    # A lead may be called NA.
    missing = {"keep_default_na": False, "na_values": [""]}
    return pandas.read_csv(io.BytesIO(table), dtype=texts, **missing)
