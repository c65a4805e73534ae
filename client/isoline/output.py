"""What the command prints: data on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from isoline.answers import Batch, Insights

Form = Literal["table", "json", "csv"]
Row = Mapping[str, Any]

# A table on the screen; whoever wants more wants it as CSV.
MOST_ROWS = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def say(text: str) -> None:
    """Tell the person in front of the terminal."""
    print(text, file=sys.stderr)


def show(rows: Iterable[Row], form: Form, *, columns: Sequence[str] = ()) -> None:
    """Print rows as they come: as a table, a line of JSON each, or CSV.

    Parameters
    ----------
    columns : those of a table without rows.
    """
    if form == "json":
        for row in rows:
            print(msgspec.json.encode(row).decode())
    elif form == "csv":
        _show_csv(rows, columns)
    else:
        _show_table(rows, columns)


def _show_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    all_rows = list(rows)
    writer = csv.DictWriter(sys.stdout, _columns(all_rows, columns))
    writer.writeheader()
    for row in all_rows:
        writer.writerow({name: _tamed(cell) for name, cell in row.items()})


def _columns(rows: Iterable[Row], columns: Sequence[str]) -> list[str]:
    """Those that are named, and then whatever there is, in the order in which it comes."""
    return list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))


def _tamed(cell: Any) -> Any:
    """A text that no spreadsheet takes for a formula: it gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _show_table(rows: Iterable[Row], columns: Sequence[str]) -> None:
    first: list[Row] = []
    left_out = 0
    for row in rows:
        if len(first) < MOST_ROWS:
            first.append(row)
        else:
            left_out += 1
    columns = _columns(first, columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = all(isinstance(row.get(column), int | float | None) for row in first)
        justify: Literal["left", "right"] = "right" if is_number and first else "left"
        # An id is for copying: whatever else is folded, it is not.
        table.add_column(column, justify=justify, no_wrap=column.endswith("id"), overflow="fold")
    for row in first:
        table.add_row(*(Text(_written(row.get(column))) for column in columns))
    # What goes into a file is not cut to the width of a terminal that is not there.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    console.print(table)
    if left_out:
        say(f"… and {left_out} more; --csv or --json gives all.")


def _written(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def lead_rows(insights: Insights, **first: Any) -> Iterator[Row]:
    """A row for each lead, with a column for each figure of each insight; the whole ECG's last."""
    of_ecg = {f"ecg_{name}": cell for name, cell in _figures(insights.insights).items()}
    for number, lead in enumerate(insights.leads):
        yield {**first, "lead": number, "name": lead.name, **_figures(lead.insights), **of_ecg}


def _figures(insights: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{name}_{figure}": value
        for name, figures in insights.items()
        for figure, value in figures.items()
        if not isinstance(value, dict | list)
    }


def batch_row(batch: Batch) -> Row:
    """A batch in one row."""
    counts = batch.counts
    return {
        "id": batch.id,
        "status": batch.status,
        "total": counts.total,
        "pending": counts.pending,
        "finished": counts.finished,
        "failed": counts.failed,
        "rejected": counts.rejected,
        "created_at": f"{batch.created_at:%Y-%m-%d %H:%M}",
    }


class _Rate(ProgressColumn):
    """How many a second, lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f}/s")


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar with rate and time left, on standard error, when that is a terminal."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        yield shown
