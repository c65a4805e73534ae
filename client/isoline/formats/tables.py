"""CSV and TSV: a column for each lead, with or without a header and a column of times."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.bounds import check_samples, check_text
from isoline.formats.times import clock, even_steps, is_ramp

# Seconds in the unit that the header of a column of times names.
_TIME = re.compile(
    r"(?:(?:elapsed[ _]?)?time(?:[ _]?stamp)?|datetime|elapsed|t)[\W_]*"
    r"(?P<unit>s|secs?|seconds|ms|msecs?|milliseconds|us|µs|μs|ns)?[\W_]*$",
    re.I,
)
_UNITS_S = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "s": 1.0}
_INDEX = re.compile(r"|n|index|row|samples?(?: ?(?:#|no\.?|number))?", re.I)
_LEAD = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>m?v|[uµμ]v|adc|counts)[)\]]\s*$", re.I)
# Slower is no ECG: what has no unit is then something else than seconds.
_LONGEST_STEP_S = 0.1
_MOST_COLUMNS = 512
_LONGEST_NAME = 255


@dataclass(frozen=True)
class _Layout:
    """How a table is written: its delimiter, its decimal sign, and the header, if there is one."""

    delimiter: str
    decimal: str
    header: list[str] | None


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read integers as they are, anything else as decimals.

    A column is one of times when its header says so, or when there is no header and it is the first
    of several and goes up in steps that are all the same and no whole numbers.
    """
    check_text(path)
    try:
        layout = _look_at(path)
    except UnicodeDecodeError:
        raise UnreadableFile("It is no text in UTF-8.") from None
    table = pd.read_csv(
        path,
        sep=layout.delimiter,
        decimal=layout.decimal,
        header=None if layout.header is None else 0,
        encoding="utf-8-sig",
        skip_blank_lines=True,
        index_col=False,
    )
    has_header = layout.header is not None
    # As it is written: pandas changes names that are empty or there twice.
    names = [str(name).strip().strip("'") for name in layout.header or table.columns]
    if has_header and len(set(names)) < len(names):
        raise UnreadableFile("Two of its columns have the same name.")
    if any(len(name) > _LONGEST_NAME for name in names):
        raise UnreadableFile("The name of a column is longer than any.")
    if not len(table):
        raise UnreadableFile("There are no samples in it, only a header.")
    columns = [table[column].to_numpy() for column in table.columns]
    if has_header and len(columns) > 1 and _INDEX.fullmatch(names[0]):
        # Numbers of rows, as spreadsheets, pandas and PhysioNet's tools write them: no signal.
        _check_numbers(names[0], columns[0])
        if not (np.diff(columns[0]) == 1).all():
            raise UnreadableFile(f"Column 1 is called {names[0]!r}, and does not count the rows.")
        names, columns = names[1:], columns[1:]
    date = None
    if has_header:
        # One letter in the middle is more likely a lead than a time.
        at = next((n for n, name in enumerate(names) if _TIME.match(name) and name[1:]), 0)
        names.insert(0, names.pop(at))
        columns.insert(0, columns.pop(at))
        if _TIME.match(names[0]) and columns[0].dtype.kind not in "iuf":
            columns[0], date = clock(columns[0], names[0])
            names[0] = "time (s)"
    for name, samples in zip(names, columns, strict=True):
        _check_numbers(name, samples)
    rate_hz, first = _find_times(names, columns, has_header, sampling_rate_hz)
    leads, units = [], set()
    for number, (name, samples) in enumerate(zip(names[first:], columns[first:], strict=True)):
        if is_ramp(samples):
            raise UnreadableFile(
                f"Column {name} only goes up, as times and numbers of rows do, and its header does "
                "not say which: 'time (ms)', 'index'?"
            )
        named = _LEAD.match(name) if has_header else None
        units.add(named["unit"].lower() if named else None)
        leads.append(
            Lead((named["name"] if named else name) if has_header else f"{number + 1}", samples)
        )
    if not leads:
        raise UnreadableFile("There is no signal in it.")
    unit = units.pop() if len(units) == 1 else None
    yield None, Ecg(leads, date=date, sampling_rate=sampling_rate_hz or rate_hz, unit=unit)


def _look_at(path: Path) -> _Layout:
    """Read all rows once; refuse different widths, which pandas would fill up or cut off."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        if not first.strip() or "\0" in first:
            raise UnreadableFile("It is empty, or no text.")
        # Where there are tabs or semicolons, a comma is the sign of decimals.
        delimiter = next((sign for sign in "\t;" if sign in first), ",")
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter)
        cells = next(rows)
        has_comma = delimiter != ","
        header = None if all(_is_number(cell, has_comma) for cell in cells) else cells
        decimal = "," if header is None and any("," in cell for cell in cells) else "."
        number = 1
        for row in rows:
            if row and len(row) != len(cells):
                raise UnreadableFile(
                    f"Line {rows.line_num} has {len(row)} columns, the first one {len(cells)}."
                )
            if has_comma and any("," in cell for cell in row):
                decimal = ","
            number += 1
    if len(cells) > max(number, _MOST_COLUMNS):
        raise UnreadableFile("It has more columns than rows, and a lead is a column.")
    if header is None and len(cells) > 1 and _counts(cells):
        raise UnreadableFile("Its first line counts the columns: nothing says whether as a header.")
    check_samples(number * len(cells))
    return _Layout(delimiter, decimal, header)


def _is_number(cell: str, has_comma: bool) -> bool:
    try:
        float(cell.replace(",", ".", 1) if has_comma else cell)
    except ValueError:
        return False
    return True


def _counts(cells: list[str]) -> bool:
    """Whether cells are what pandas calls columns without a name, or 1, 2, 3."""
    written = [cell.strip() for cell in cells]
    from_one = [str(number) for number in range(1, len(cells) + 1)]
    return written == [str(number) for number in range(len(cells))] or (
        len(cells) > 2 and written == from_one
    )


def _check_numbers(name: str, samples: NDArray[Any]) -> None:
    if samples.dtype.kind not in "iuf":
        raise UnreadableFile(f"Column {name} holds something that is not a number.")
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise UnreadableFile(
            f"Column {name} has gaps or what is not finite, and nothing stands for those."
        )


def _find_times(
    names: list[str],
    columns: list[NDArray[Any]],
    has_header: bool,
    sampling_rate_hz: float | None,
) -> tuple[float | None, int]:
    """The sampling rate from the column of times, and where the leads begin."""
    times = columns[0].astype(np.float64)
    named = _TIME.match(names[0]) if has_header else None
    if (has_header and named is None) or len(columns) < 2 or times.size < 2:
        return None, 1 if named else 0
    steps = even_steps(times)
    if named is None:
        is_time = steps is not None and not steps.mean.is_integer()
        return (steps.rate(1.0), 1) if steps is not None and is_time else (None, 0)
    if steps is None:
        raise UnreadableFile(f"The times in column {names[0]} do not go up evenly.")
    if sampling_rate_hz is not None:
        return sampling_rate_hz, 1
    unit = named["unit"]
    if unit is None and steps.mean > _LONGEST_STEP_S:
        raise UnreadableFile(
            f"Column {names[0]} has no unit and steps of {steps.mean:g}: call it 'time (ms)'."
        )
    return steps.rate(_UNITS_S[(unit or "s").lower()[0]]), 1
