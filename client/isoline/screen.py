"""Tables for the eye: nothing is cut, ids are never folded, and nothing in them is obeyed."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any

from rich.cells import cell_len

from isoline.escapes import printable

Row = Mapping[str, Any]

# What says which row it is. Where there is no room it stands on a line of its own, once for all
# rows that follow with the same.
_NAMES = {"id", "file", "line", "custom_id", "ecg_id"}
# Of several tables below each other, each begins with these.
_REPEATED = {"lead", "name"}
# Sentences, the only ones that are folded; on a line so much of them should have room.
_SENTENCES = {"detail"}
_SENTENCE_WIDTH = 36
_GAP = "  "
_HARD_SPACE = "\xa0"
# Of a table in a file, so many are laid out at once, and in memory.
ROWS_AT_ONCE = 1000


def typed(command: str) -> str:
    """A command in a sentence: it stays on one line where that has room, to be copied whole."""
    return command.replace(" ", _HARD_SPACE)


def sentence(text: str, width: int) -> str:
    """A sentence as it is shown, folded between words and never within a command."""
    shown = _HARD_SPACE.join(map(printable, text.split(_HARD_SPACE)))
    lines = textwrap.wrap(shown, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_HARD_SPACE, " ")


def visible_json(text: str) -> str:
    """The same JSON, written so that a terminal finds nothing in it to obey."""
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


@dataclass(frozen=True)
class _Column:
    name: str
    header: list[str]
    cells: list[str]
    is_number: bool
    least: int = 0

    @cached_property
    def width(self) -> int:
        """In cells of the terminal; at least so wide as the same column further up."""
        widest = max(self.least, *map(cell_len, [*self.header, *self.cells]))
        return min(widest, _SENTENCE_WIDTH) if self.name in _SENTENCES else widest


def table_lines(
    rows: Sequence[Row], names: Sequence[str], width: int
) -> Iterator[tuple[str, bool]]:
    """Lay rows out within a width, as far as that can be.

    Yields
    ------
    A line, and whether it belongs to a header.
    """
    columns = [_column(name, rows, is_broken=False) for name in names]
    if _width_of(columns) > width:
        columns = [_column(name, rows, is_broken=True) for name in names]
    if _width_of(columns) <= width:
        yield from _with_names([], columns, len(rows), width)
        return
    naming = [column for column in columns if column.name in _NAMES]
    others = [column for column in columns if column.name not in _NAMES]
    for number, band in enumerate(_bands(others, width - len(_GAP))):
        if number:
            yield "", False
        yield from _with_names(naming, band, len(rows), width)


def endless_lines(rows: Iterable[Row], names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Lay rows out for a file, as they come: each is a line, however wide it is.

    There is a header again where what comes needs more columns, or wider ones.

    Yields
    ------
    A line, and whether it belongs to a header.
    """
    coming = iter(rows)
    before, widths = "", dict.fromkeys(names, 0)
    while (part := list(islice(coming, ROWS_AT_ONCE))) or not before:
        widths |= {name: 0 for row in part for name in row if name not in widths}
        columns = [
            _column(name, part, is_broken=False, least=least) for name, least in widths.items()
        ]
        widths = {column.name: column.width for column in columns}
        for line, is_header in _with_names([], columns, len(part), sys.maxsize):
            if not is_header:
                yield line, False
            elif line != before:
                yield from [("", False)] if before else []
                yield line, True
                before = line
        if not part:
            return


def _column(name: str, rows: Sequence[Row], *, is_broken: bool, least: int = 0) -> _Column:
    found = [row.get(name) for row in rows]
    cells = [_written(cell) for cell in found]
    is_number = bool(rows) and all(isinstance(cell, int | float | None) for cell in found)
    header = [name]
    if is_broken:
        parts = re.findall("[^_]*_*", name)
        room = max(map(cell_len, [*parts, *cells]))
        header = [""]
        for part in parts:
            if cell_len(header[-1] + part) > room:
                header.append("")
            header[-1] += part
    return _Column(name, header, cells, is_number, least)


def _written(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell.astimezone():%Y-%m-%d %H:%M}"
    return f"{cell:.4g}" if isinstance(cell, float) else printable(str(cell))


def _width_of(columns: Sequence[_Column]) -> int:
    return sum(column.width + len(_GAP) for column in columns) - len(_GAP)


def _bands(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """As many tables below each other as there must be."""
    repeated = [column for column in columns if column.name in _REPEATED]
    bands = [list(repeated)]
    for column in columns:
        if column in repeated:
            continue
        if bands[-1] != repeated and _width_of([*bands[-1], column]) > width:
            bands.append(list(repeated))
        bands[-1].append(column)
    return bands


def _with_names(
    naming: Sequence[_Column], columns: Sequence[_Column], rows: int, width: int
) -> Iterator[tuple[str, bool]]:
    indent = _GAP if naming else ""
    for line in _name_lines([column.name for column in naming], width):
        yield line, True
    most = max((len(column.header) for column in columns), default=0)
    headers = [[""] * (most - len(column.header)) + column.header for column in columns]
    for line in _side_by_side(columns, headers):
        yield indent + line, True
    before: list[str] = []
    for row in range(rows):
        names = [column.cells[row] for column in naming]
        if names != before:
            for line in _name_lines(names, width):
                yield line, False
        before = names
        texts = [_folded(column, row, columns, width - len(indent)) for column in columns]
        for line in _side_by_side(columns, texts):
            yield indent + line, False


def _name_lines(names: Sequence[str], width: int) -> Iterator[str]:
    line = _GAP.join(filter(None, names))
    if cell_len(line) <= width:
        return iter([line] if line else [])
    # One that is wider yet is folded by the terminal: what is copied is whole.
    return filter(None, names)


def _folded(column: _Column, row: int, columns: Sequence[_Column], width: int) -> list[str]:
    cell = column.cells[row]
    room = column.width + width - _width_of(columns)
    if column.name not in _SENTENCES or cell_len(cell) <= room:
        return [cell]
    room = max(room, _SENTENCE_WIDTH)
    return textwrap.wrap(cell, room, break_long_words=False, break_on_hyphens=False)


def _side_by_side(columns: Sequence[_Column], texts: Sequence[Sequence[str]]) -> Iterator[str]:
    for parts in zip_longest(*texts, fillvalue=""):
        padded = (
            " " * gap + part if column.is_number else part + " " * gap
            for column, part in zip(columns, parts, strict=True)
            for gap in [max(0, column.width - cell_len(part))]
        )
        yield _GAP.join(padded).rstrip()
