"""`isoline batch …`: an archive in, a table out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import click

from isoline.answers import ErrorLine, Insights
from isoline.client import Client
from isoline.figures import columns_of, lead_rows
from isoline.options import FORM, client_of
from isoline.output import Form, batch_row, say, show, show_bytes
from isoline.results import header_digest
from isoline.screen import Row, typed
from isoline.submit_command import submit
from isoline.watching import INTERRUPTED, NOT_FINISHED, SOME_FAILED, show_some_errors, watch

# Whatever the server holds for a name: none is refused here.
LONGEST_CELL = 2**31 - 1

L = TypeVar("L", Insights, ErrorLine)

AFTER = click.option("--after", default=0, help="Only what comes after this line.")
COLUMNS = click.option(
    "--columns", help="With --csv: go on without a header, below the one that these digits name."
)


@dataclass
class _Seen:
    """How far what is printed goes: its last line, and the columns of its table."""

    line: int
    columns: str | None = None


@click.group(epilog="Example: isoline batch submit archive/ --watch")
def batch() -> None:
    """Submit archives, watch them, take the results."""


batch.add_command(submit)


@batch.command("watch", epilog="Example: isoline batch watch 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@FORM
@click.pass_context
def watch_batch(context: click.Context, batch_id: str, form: Form) -> None:
    """Wait until all of a batch has ended."""
    with client_of(context) as client:
        found = client.batch(batch_id)
    watched = watch(context, found)
    show([batch_row(watched)], form)
    show_some_errors(context, watched)
    if watched.counts.rejected or watched.counts.failed:
        context.exit(SOME_FAILED)


@batch.command(
    epilog="Example: isoline batch results 01a208f9-aad6-728b-860f-e3721aa89d31 --csv > table.csv"
)
@click.argument("batch_id")
@AFTER
@COLUMNS
@FORM
@click.pass_context
def results(
    context: click.Context, batch_id: str, after: int, columns: str | None, form: Form
) -> None:
    """Print the insights, one row for each lead.

    While the batch runs that is a part, which standard error says; the exit code is 4 then.
    """
    with client_of(context) as client, _part_or_all(context, client, batch_id, after) as seen:
        if form == "csv":
            seen.columns = columns
            _copy(client, batch_id, "insights", seen)
            return
        found = _noting(client.batch_insights(batch_id, after=after), seen)
        if form == "json":
            show(({name: getattr(line, name) for name in _LINE} for line in found), form)
            return
        figures = columns_of(client.catalogue())
        rows = (
            row
            for line in found
            for row in lead_rows(line, figures, line=line.line, custom_id=line.custom_id)
        )
        show(rows, form, columns=["line", "custom_id", "lead", "name"], nothing="No insights.")


_LINE = ("line", "custom_id", "ecg_id", "status", "leads", "insights")


@batch.command(epilog="Example: isoline batch errors 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@AFTER
@COLUMNS
@FORM
@click.pass_context
def errors(
    context: click.Context, batch_id: str, after: int, columns: str | None, form: Form
) -> None:
    """Print what was rejected or has failed, and why; while it runs, a part, with exit code 4."""
    with client_of(context) as client, _part_or_all(context, client, batch_id, after) as seen:
        if form == "csv":
            seen.columns = columns
            _copy(client, batch_id, "errors", seen)
            return
        found = _noting(client.batch_errors(batch_id, after=after), seen)
        rows = (_error_row(line, form) for line in found)
        # Files that could not be read are no lines: only who sent them was told.
        nothing = "No errors among those that were sent."
        show(rows, form, columns=["line", "custom_id", "verdict", "detail"], nothing=nothing)


def _error_row(error: ErrorLine, form: Form) -> Row:
    if form == "json":
        return {name: getattr(error, name) for name in error.__struct_fields__}
    faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in error.problem.errors)
    return {
        "line": error.line,
        "custom_id": error.custom_id,
        "verdict": error.verdict,
        "detail": faults or error.problem.detail,
    }


@contextmanager
def _part_or_all(
    context: click.Context, client: Client, batch_id: str, after: int
) -> Iterator[_Seen]:
    """Say what is missing in what is printed; how far that goes, is to be written down."""
    # Asked before: what ends meanwhile may be missing in what comes, too.
    found = client.batch(batch_id)
    seen = _Seen(after)
    try:
        yield seen
    except KeyboardInterrupt:
        say("Interrupted: what was printed is a part. For all, type the same command again.")
        context.exit(INTERRUPTED)
    counts = found.counts
    wrong = counts.failed + counts.rejected
    if not found.has_ended:
        coming = ", more are still to come" if found.status == "receiving" else ""
        again = "the same command again"
        if seen.line > after:
            below = f" --columns {seen.columns}" if seen.columns else ""
            again = f"the same command with --after {seen.line}{below}, and >> in place of >"
        say(
            f"This is a part: of {counts.total} lines {counts.total - counts.pending} have ended"
            f"{coming}, and "
            "what is printed goes to the first that has not. For the rest, once it has come "
            f"({typed(f'isoline batch watch {found.id}')}): {again}."
        )
        context.exit(NOT_FINISHED)
    if wrong and context.info_name == "results":
        errors = typed(f"isoline batch errors {found.id}")
        say(f"{wrong} of {counts.total} lines have no insights: {errors}")


def _noting(lines: Iterable[L], seen: _Seen) -> Iterator[L]:
    for line in lines:
        yield line
        seen.line = line.line or seen.line


def _copy(client: Client, batch_id: str, what: Literal["insights", "errors"], seen: _Seen) -> None:
    """The server's own table from there on, byte for byte."""

    def lines() -> Iterator[str]:
        rest = b""
        for piece in client.batch_csv(batch_id, what=what, after=seen.line, columns=seen.columns):
            # It begins with a header where it has none to go on below.
            seen.columns = seen.columns or header_digest(piece)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                show_bytes(line + b"\n")
                yield line.decode() + "\n"

    csv.field_size_limit(LONGEST_CELL)
    # A cell may hold line breaks: what begins a row only a reader of CSV knows.
    for row in csv.reader(lines()):
        if row[0].isdigit():
            seen.line = int(row[0])
    sys.stdout.flush()


@batch.command(epilog="Example: isoline batch cancel 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@FORM
@click.pass_context
def cancel(context: click.Context, batch_id: str, form: Form) -> None:
    """Stop what has not begun; what has finished stays."""
    with client_of(context) as client:
        found = client.cancel_batch(batch_id)
        if found.status != "cancelled":
            say("It had ended before: there was nothing to cancel.")
        show([batch_row(found)], form)


@batch.command("list", epilog="Example: isoline batch list")
@FORM
@click.pass_context
def list_batches(context: click.Context, form: Form) -> None:
    """List your batches, newest first."""
    with client_of(context) as client:
        rows = (batch_row(found) for found in client.batches())
        show(rows, form, columns=["id", "status", "total"], nothing="No batches.")
