"""How a table is written: what stands above the samples, and what between them."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isoline.errors import UnreadableFile
from isoline.formats.bounds import check_samples

# The unit in the header of a column of times, or of a lead.
TIME = re.compile(
    r"(?:(?:elapsed[ _]?)?time(?:[ _]?stamp)?|datetime|elapsed|t)[\W_]*"
    r"(?P<unit>s|secs?|seconds|ms|msecs?|milliseconds|us|µs|μs|ns)?[\W_]*$",
    re.I,
)
INDEX = re.compile(r"|n|index|row|samples?(?: ?(?:#|no\.?|number))?", re.I)
LEAD = re.compile(
    r"(?P<name>.*?)\s*[(\[](?P<unit>m?v|[uµμn]v|adc|adu|counts)[)\]]\s*$", re.I | re.S
)
_CLOCK = re.compile(r"(?:hh?:)?mm?:ss(?:[.,]\w+)?", re.I)
_REMARK = "#"
_MOST_COLUMNS = 512
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Layout:
    """How a table is written.

    remarks : how many lines stand above the table.
    headings : how many of its rows stand above the samples.
    header : the name of each column as written, with its unit; None when there is none.
    """

    delimiter: str
    decimal: str
    remarks: int
    headings: int
    header: list[str] | None


def look_at(path: Path) -> Layout:
    """Read all rows once; refuse different widths, which pandas would fill up or cut off."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first, remarks, remark = file.readline(), 0, ""
        while first.startswith(_REMARK) or (remarks and first and not first.strip()):
            remark, first, remarks = first.strip() or remark, file.readline(), remarks + 1
        if not first.strip() or "\0" in first:
            raise UnreadableFile("It is empty, or no text.")
        # Where there are tabs or semicolons, a comma is the sign of decimals.
        delimiter = next((sign for sign in "\t;" if sign in first), ",")
        file.seek(0)
        for _ in range(remarks):
            file.readline()
        rows = csv.reader(_lines(file), delimiter=delimiter)
        cells = next(rows)
        has_comma = delimiter != ","
        header, headings, samples = None, 0, [cells]
        if not all(_is_number(cell, has_comma) for cell in cells):
            header, headings, samples = cells, 1, []
            below = next(rows, None)
            if below is not None and _are_units(below, has_comma):
                header = _with_units(cells, below)
                headings = 2
            elif below is not None:
                samples = [below]
        elif remark:
            header = _header_in(remark, delimiter, len(cells))
        decimal, number, empty = ".", 0, 0
        for row in itertools.chain(samples, rows):
            if len(row) < 2 and not "".join(row).strip():
                empty = empty or rows.line_num
                continue
            if empty and number:
                raise UnreadableFile(
                    f"Line {remarks + empty} is empty: nothing says whether samples are missing."
                )
            empty = 0
            if len(row) != len(cells):
                raise UnreadableFile(
                    f"Line {remarks + rows.line_num} has {len(row)} columns, "
                    f"the first one {len(cells)}."
                )
            if has_comma and any("," in cell for cell in row):
                decimal = ","
            number += 1
    if not number:
        word = next(cell for cell in cells if not _is_number(cell, has_comma))
        raise UnreadableFile(
            f"There are no samples in it: line {remarks + 1} is taken for a header, since "
            f"{word[:_LONGEST_SHOWN]!r} is not a number, and none stand below it."
        )
    if len(cells) > max(number + 1, _MOST_COLUMNS):
        raise UnreadableFile("It has more columns than rows, and a lead is a column.")
    if header is None and _counts(cells):
        raise UnreadableFile(
            "Its first line counts the columns: nothing says whether as a header. Put one above it."
        )
    check_samples(number * len(cells))
    return Layout(delimiter, decimal, remarks, headings, header)


def cells_of(path: Path, layout: Layout, column: int) -> Iterator[tuple[int, str]]:
    """The cells of a column of samples, each with the number of the line on which it ends."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(layout.remarks):
            file.readline()
        rows = csv.reader(_lines(file), delimiter=layout.delimiter)
        for row in itertools.islice(rows, layout.headings, None):
            if column < len(row):
                yield layout.remarks + rows.line_num, row[column]


def _lines(file: Iterable[str]) -> Iterator[str]:
    """The lines of a table; one that was made for Windows twice has ends like CR CR LF."""
    before = ""
    for line in file:
        if not (line == "\r\n" and before.endswith("\r")):
            yield line
        before = line


def _header_in(remark: str, delimiter: str, width: int) -> list[str] | None:
    """What numpy and others write above a table as a remark, when it speaks of its columns."""
    cells = [cell.strip() for cell in remark.lstrip(_REMARK).split(delimiter)]
    speaks = any(TIME.match(cell) or LEAD.match(cell) for cell in cells)
    return cells if speaks and len(cells) == width > 1 else None


def _are_units(cells: Sequence[str], has_comma: bool) -> bool:
    """Whether a row below the header is none of samples: it has words, and nothing of a number."""
    has_words = any(_plain(cell) for cell in cells)
    has_numbers = any(_is_number(cell, has_comma) or re.search(r"\d", cell) for cell in cells)
    return has_words and not has_numbers


def _with_units(header: Sequence[str], units: Sequence[str]) -> list[str]:
    """The header as if each unit stood in it; `rdsamp -v -p` of the WFDB tools has them below.

    Raises
    ------
    UnreadableFile : what stands there is no unit of such a column, or another than in the header.
    """
    if len(units) != len(header):
        raise UnreadableFile(f"Line 2 has {len(units)} columns, the first one {len(header)}.")
    return [_with_unit(_bare(name), _plain(unit)) for name, unit in zip(header, units, strict=True)]


def _with_unit(name: str, unit: str) -> str:
    is_time = bool(name and TIME.match(name))
    is_number = INDEX.fullmatch(name) and INDEX.fullmatch(unit)
    if not unit or is_number or (is_time and _CLOCK.fullmatch(unit)):
        return name
    kind = TIME if is_time else LEAD
    own, whole = kind.match(name), f"{name} ({unit})"
    if own is not None and own["unit"]:
        if own["unit"].lower() != unit.lower():
            raise UnreadableFile(f"Column {name} has another unit below its name: {unit!r}.")
        return name
    found = kind.match(whole)
    if found is None or not found["unit"]:
        raise UnreadableFile(
            f"Below the name of column {name} stands {unit!r}: not a number, and no unit of such a "
            "column."
        )
    return whole


def _plain(unit: str) -> str:
    """A unit without the brackets that the WFDB tools put around it."""
    return _bare(unit).removeprefix("(").removesuffix(")").strip()


def _bare(cell: str) -> str:
    """A cell without the apostrophes that the WFDB tools put around it."""
    return cell.strip().strip("'").strip()


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
        len(cells) > 1 and written == from_one
    )
