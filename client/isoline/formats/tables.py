"""CSV and TSV: a column for each lead, with or without a header and a column of times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.bounds import check_text
from isoline.formats.clocks import clock
from isoline.formats.layouts import INDEX, LEAD, TIME, Layout, cells_of, look_at
from isoline.formats.times import find_times, seem_times

_LONGEST_NAME = 255
_LONGEST_SHOWN = 40


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read integers as they are, anything else as decimals.

    A column is one of times when its header says so, or when there is no header and it is the first
    of several and goes up in steps that are all the same and no whole numbers.
    """
    check_text(path)
    try:
        layout = look_at(path)
    except UnicodeDecodeError:
        raise UnreadableFile("It is no text in UTF-8.") from None
    with path.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(layout.remarks):
            file.readline()
        table = pd.read_csv(
            file,
            sep=layout.delimiter,
            decimal=layout.decimal,
            header=None,
            skiprows=layout.headings,
            skip_blank_lines=True,
            index_col=False,
        )
    has_header = layout.header is not None
    names = [str(name).strip().strip("'") for name in layout.header or table.columns]
    if has_header and len(set(names)) < len(names):
        raise UnreadableFile("Two of its columns have the same name.")
    if any(len(name) > _LONGEST_NAME for name in names):
        raise UnreadableFile("The name of a column is longer than any.")
    columns = [table[column].to_numpy() for column in table.columns]
    written = list(names)

    def check(name: str, samples: NDArray[Any]) -> None:
        if not _are_numbers(samples):
            raise UnreadableFile(_what_is_none(path, layout, name, written.index(name)))

    if has_header and len(columns) > 1 and INDEX.fullmatch(names[0]):
        # Numbers of rows, as spreadsheets, pandas and PhysioNet's tools write them: no signal.
        check(names[0], columns[0])
        if not (np.diff(columns[0]) == 1).all():
            raise UnreadableFile(f"Column 1 is called {names[0]!r}, and does not count the rows.")
        names, columns = names[1:], columns[1:]
    date = None
    if has_header:
        # One letter in the middle is more likely a lead than a time.
        at = next((n for n, name in enumerate(names) if TIME.match(name) and name[1:]), 0)
        names.insert(0, names.pop(at))
        columns.insert(0, columns.pop(at))
        if TIME.match(names[0]) and columns[0].dtype.kind not in "iuf":
            columns[0], date = clock(columns[0], names[0])
            names[0] = "time (s)"
    for name, samples in zip(names, columns, strict=True):
        check(name, samples)
    rate_hz, first = find_times(names if has_header else None, columns, sampling_rate_hz)
    leads, units = [], set()
    for number, (name, samples) in enumerate(zip(names[first:], columns[first:], strict=True)):
        if seem_times(samples, is_first_of_several=number == first == 0 < len(names) - 1):
            raise UnreadableFile(
                f"Column {name} only goes up, as times and numbers of rows do, and its header does "
                "not say which: 'time (ms)', 'index'?"
            )
        named = LEAD.match(name) if has_header else None
        units.add(named["unit"].lower() if named else None)
        leads.append(
            Lead((named["name"] if named else name) if has_header else f"{number + 1}", samples)
        )
    if not leads:
        raise UnreadableFile("There is no signal in it.")
    if len(units - {None}) > 1:
        raise UnreadableFile("Its leads are in different units, and an upload has one.")
    unit = units.pop() if len(units) == 1 else None
    yield None, Ecg(leads, date=date, sampling_rate=rate_hz, unit=unit)


def _are_numbers(samples: NDArray[Any]) -> bool:
    return samples.dtype.kind in "iu" or (
        samples.dtype.kind == "f" and bool(np.isfinite(samples).all())
    )


def _what_is_none(path: Path, layout: Layout, name: str, column: int) -> str:
    """A sentence on the first cell of a column that is no number."""
    for line, cell in cells_of(path, layout, column):
        if not _is_finite(cell.replace(layout.decimal, ".")):
            name = name if layout.header else f"{column + 1}"
            shown = cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}…"
            return (
                f"Line {line}, column {name}: {shown!r} is not a number, and nothing stands for it."
            )
    return f"Column {name} holds something that is not a number."


def _is_finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
