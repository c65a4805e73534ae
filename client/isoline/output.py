"""What the command prints: data on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
)
from rich.text import Text

from isoline.answers import Batch
from isoline.escapes import printable
from isoline.screen import Row, endless_lines, sentence, table_lines, visible_json

Form = Literal["table", "json", "csv"]

# A table on the screen; whoever wants more wants it as CSV.
MOST_ROWS = 200
# Where a spreadsheet takes a text, or a part of it, for a formula; the same as the server knows.
SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
UNSEEN = " \u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"
FORMULA = re.compile(rf'(?:^|[;\t\r\n])(?=[{UNSEEN}"]*[{SIGNS}])|^(?=[{UNSEEN}]*[\t\r\n])')


def say(text: str) -> None:
    """Tell the person in front of the terminal; whatever names are in it, it is one sentence."""
    width = Console(stderr=True).width if sys.stderr.isatty() else sys.maxsize
    print(sentence(text, width), file=sys.stderr)


def show(
    rows: Iterable[Row], form: Form, *, columns: Sequence[str] = (), nothing: str = ""
) -> None:
    """Print rows as they come: as a table, a line of JSON each, or CSV.

    Parameters
    ----------
    columns : those of a table without rows.
    nothing : what a person is told in place of such a table.
    """
    if form == "json":
        for row in rows:
            line = msgspec.json.encode(row).decode()
            print(visible_json(line) if sys.stdout.isatty() else line)
    elif form == "csv":
        _show_csv(rows, columns)
    else:
        _show_table(rows, columns, nothing)


def _show_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    all_rows = list(rows)
    names = _columns(all_rows, columns)
    header: list[Any] = list(names)
    for cells in [header, *([row.get(name) for name in names] for row in all_rows)]:
        line = io.StringIO()
        csv.writer(line).writerow([_tamed(cell) for cell in cells])
        show_bytes(line.getvalue().encode())
    sys.stdout.flush()


def show_bytes(line: bytes) -> None:
    """Print a line of a table as it is; on a terminal, without what a terminal would obey."""
    if sys.stdout.isatty():
        print(printable(line.decode().rstrip("\r\n")))
        return
    sys.stdout.buffer.write(line)


def _columns(rows: Iterable[Row], columns: Sequence[str]) -> list[str]:
    """Those that are named, and then whatever there is, in the order in which it comes."""
    return list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))


def _tamed(cell: Any) -> Any:
    """A text that no spreadsheet takes for a formula, nor a part of it: an apostrophe in front."""
    return FORMULA.sub(r"\g<0>'", cell) if isinstance(cell, str) else cell


def _show_table(rows: Iterable[Row], columns: Sequence[str], nothing: str) -> None:
    coming = iter(rows)
    first = list(islice(coming, 1))
    if nothing and not first:
        say(nothing)
        return
    if not sys.stdout.isatty():
        # What goes into a file is not folded to the width of a terminal that is not there.
        for line, _ in endless_lines(chain(first, coming), columns):
            print(line)
        return
    first += islice(coming, MOST_ROWS - 1)
    left_out = sum(1 for _ in coming)
    console = Console(highlight=False)
    for line, is_header in table_lines(first, _columns(first, columns), console.width):
        console.print(Text(line, style="bold" if is_header else ""), soft_wrap=True)
    if left_out:
        say(f"… and {left_out} more; --csv or --json gives all.")


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
        "created_at": batch.created_at,
    }


class _Rate(ProgressColumn):
    """How many a second, and what has become of those: as the server says, of what it does."""

    def render(self, task: Task) -> Text:
        own = task.finished_speed or task.speed
        speed = task.fields.get("rate_per_s", own)
        return Text("" if speed is None else f"{speed:.0f} {task.fields['what']}/s")


class _TimeLeft(ProgressColumn):
    """How long the rest takes: as the server says, of what it does."""

    # More often it would only flicker.
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left_s = 0.0 if task.finished else task.fields.get("eta_s", task.time_remaining)
        if task.total is None:
            return Text("")
        if left_s is None:
            return Text("--:--", style="progress.remaining")
        minutes, seconds = divmod(int(left_s), 60)
        hours, minutes = divmod(minutes, 60)
        whole = f"{hours}:" if hours else ""
        return Text(f"{whole}{minutes:02}:{seconds:02}", style="progress.remaining")


class _Bar(Progress):
    """One that leaves room for what a terminal writes at Ctrl-C.

    On a full line that would go to the next, and the last bar stand below the one before.
    """

    def get_renderables(self) -> Iterator[RenderableType]:
        for bar in super().get_renderables():
            yield _Narrower(bar)


@dataclass(frozen=True)
class _Narrower:
    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Constrain(self.shown, options.max_width - len("^C"))


@contextmanager
def progress(*, is_wanted: bool = True) -> Iterator[Progress]:
    """A bar with rate and time left, on standard error, when that is a terminal."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        _TimeLeft(),
        TextColumn("{task.fields[note]}"),
    )
    is_shown = is_wanted and console.is_terminal
    # Data that is printed meanwhile goes where it should, and not to the bar.
    with _Bar(*columns, console=console, disable=not is_shown, redirect_stdout=False) as shown:
        yield shown
