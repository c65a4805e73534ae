"""The insights of a batch as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from isoline.answers import Definition, Insights
from isoline.figures import columns_of, lead_rows

if TYPE_CHECKING:
    import pandas

_FIRST = ("line", "custom_id", "ecg_id", "lead", "name")
_TEXTS = ("custom_id", "ecg_id", "name")


def as_frame(lines: Iterable[Insights], catalogue: Sequence[Definition]) -> pandas.DataFrame:
    """Put lines into the columns of the server's CSV; raises `ImportError` without pandas.

    Not from the CSV itself: there, some names have an apostrophe in front that is not theirs.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("A frame needs pandas: pip install 'isoline[formats]'") from None
    figures = columns_of(catalogue)
    columns: dict[str, list[Any]] = {name: [] for name in (*_FIRST, *figures)}
    for line in lines:
        where = {"line": line.line, "custom_id": line.custom_id, "ecg_id": line.ecg_id}
        for row in lead_rows(line, figures, **where):
            for name, cells in columns.items():
                cells.append(row.get(name))
    texts = [
        name
        for name, cells in columns.items()
        if name in _TEXTS or name.endswith("_problem") or any(isinstance(c, str) for c in cells)
    ]
    # What is not said of any lead is a number that is missing, as in what pandas reads of a CSV.
    missing = [
        name
        for name, cells in columns.items()
        if name not in texts and all(cell is None for cell in cells)
    ]
    types = dict.fromkeys(texts, "string") | dict.fromkeys(missing, "float64")
    return pandas.DataFrame(columns).astype(types)
