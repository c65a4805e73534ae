"""Tables as CSV: nothing in them is a formula, and no piece goes on below another header."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from shared.errors import ColumnsChanged

Cell = str | int | float | None

# Of the digest by which a header is known.
DIGITS = 16
CHANGED = "The columns are not those of the header that you have: take the table anew."

# What a spreadsheet would take for the beginning of a formula: also the wide forms, where people
# write Chinese or Japanese, and behind what some leave out: white space, and marks of no width.
SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
UNSEEN = " \u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"
# A cell begins also in the middle of a text where a spreadsheet separates by semicolons, as in half
# of Europe, or by tabs: to it our quotes are none, or go where they stand in front.
FORMULA = re.compile(rf'(?:^|[;\t\r\n])(?=[{UNSEEN}"]*[{SIGNS}])|^(?=[{UNSEEN}]*[\t\r\n])')


def as_csv(
    header: Sequence[str], columns: str | None, rows: Iterable[Sequence[Cell]]
) -> Iterator[bytes]:
    """Write a table row by row, RFC 4180 in UTF-8.

    Parameters
    ----------
    columns : the digest of the header below which it goes on, without one.

    Raises
    ------
    ColumnsChanged : at once, when that is another header.
    """
    first = _written(header)
    if columns is None:
        return itertools.chain([first], map(_written, rows))
    if columns != hashlib.sha256(first.rstrip()).hexdigest()[:DIGITS]:
        raise ColumnsChanged(CHANGED)
    return map(_written, rows)


def _written(row: Sequence[Cell]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(map(_tamed, row))
    return text.getvalue().encode()


def _tamed(cell: Cell) -> Cell:
    """A text that no spreadsheet takes for a formula, nor a part of it: an apostrophe in front."""
    return FORMULA.sub(r"\g<0>'", cell) if isinstance(cell, str) else cell
