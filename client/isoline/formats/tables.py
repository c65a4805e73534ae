"""CSV and TSV: a column for each lead, with or without a header and a column of times."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found

# Seconds in the unit that the header of a column of times names.
_TIME = re.compile(
    r"(?:time|t|elapsed(?: time)?)\W*(?P<unit>s|sec|secs|seconds|ms|us|µs)?\W*$", re.I
)
_UNITS_S = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_INDEX = re.compile(r"|n|index|row|samples?(?: ?(?:#|no\.?|number))?", re.I)
_LEAD = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>m?v|[uµ]v|adc|counts)[)\]]\s*$", re.I)
# How much the steps of a column of times may differ from each other.
_JITTER = 0.01


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read integers as they are, anything else as decimals.

    A column is one of times when its header says so, or when there is no header and it is the first
    of several and goes up in steps that are all the same and no whole numbers.
    """
    delimiter, has_header = _look_at(path)
    _check_width(path, delimiter)
    table = pd.read_csv(
        path,
        sep=delimiter,
        header=0 if has_header else None,
        encoding="utf-8-sig",
        skip_blank_lines=True,
        index_col=False,
    )
    names = [name.strip().strip("'") for name in _names(path, delimiter, table, has_header)]
    if has_header and len(set(names)) < len(names):
        raise UnreadableFile("Two of its columns have the same name.")
    columns = []
    for name, column in zip(names, table.columns, strict=True):
        samples = table[column].to_numpy()
        if samples.dtype.kind not in "iuf":
            raise UnreadableFile(f"Column {name} holds something that is not a number.")
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            raise UnreadableFile(f"Column {name} has gaps, and nothing stands for those.")
        columns.append(samples)
    if has_header and len(columns) > 1 and _INDEX.fullmatch(names[0]):
        # Numbers of rows, as spreadsheets, pandas and PhysioNet's tools write them: no signal.
        if not (np.diff(columns[0]) == 1).all():
            raise UnreadableFile(f"Column 1 is called {names[0]!r}, and does not count the rows.")
        names, columns = names[1:], columns[1:]
    rate_hz, first = _find_times(names, columns, has_header=has_header)
    leads, units = [], set()
    for number, (name, samples) in enumerate(zip(names[first:], columns[first:], strict=True)):
        named = _LEAD.match(name) if has_header else None
        units.add(named["unit"].lower() if named else None)
        leads.append(
            Lead((named["name"] if named else name) if has_header else f"{number + 1}", samples)
        )
    if not leads:
        raise UnreadableFile("There is no signal in it.")
    unit = units.pop() if len(units) == 1 else None
    yield None, Ecg(leads, sampling_rate=sampling_rate_hz or rate_hz, unit=unit)


def _look_at(path: Path) -> tuple[str, bool]:
    """The delimiter, and whether the first line is a header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(2**16)
    if not first.strip() or "\0" in first:
        raise UnreadableFile("It is empty, or no text.")
    delimiter = max("\t;,", key=first.count)
    cells = next(csv.reader([first], delimiter=delimiter))
    return delimiter, not all(_is_number(cell) for cell in cells)


def _check_width(path: Path, delimiter: str) -> None:
    """Refuse rows of different widths: pandas would fill them up, or cut them off."""
    width = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        for row in rows:
            width = width or len(row)
            if row and len(row) != width:
                raise UnreadableFile(
                    f"Line {rows.line_num} has {len(row)} columns, the first one {width}."
                )


def _names(path: Path, delimiter: str, table: pd.DataFrame, has_header: bool) -> list[str]:
    """The header as it is written: pandas changes what is empty or there twice."""
    if not has_header:
        return [str(name) for name in table.columns]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _find_times(
    names: list[str],
    columns: list[np.ndarray],
    *,
    has_header: bool,
) -> tuple[float | None, int]:
    """The sampling rate from the column of times, and where the leads begin."""
    times = columns[0].astype(np.float64)
    named = _TIME.match(names[0]) if has_header else None
    if (has_header and named is None) or len(columns) < 2 or times.size < 2:
        return None, 1 if named else 0
    steps = np.diff(times)
    step = float(steps.mean())
    is_even = step > 0 and bool((np.abs(steps - step) <= _JITTER * step).all())
    if named is None:
        is_time = is_even and not float(step).is_integer()
        return (_rate_hz(step), 1) if is_time else (None, 0)
    if not is_even:
        raise UnreadableFile(f"The times in column {names[0]} do not go up evenly.")
    return _rate_hz(step * _UNITS_S.get((named["unit"] or "s").lower(), 1.0)), 1


def _rate_hz(step_s: float) -> float:
    # Times are rounded when they are written.
    return float(f"{1 / step_s:.6g}")
