"""`isoline batch …`: an archive in, a table out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click

from isoline.answers import Batch, ErrorLine
from isoline.client import Client, new_key
from isoline.errors import Conflict, IsolineError
from isoline.options import FORM, SAMPLING_RATE, client_of
from isoline.output import Form, Row, batch_row, lead_rows, progress, say, show
from isoline.sending import Unreadable, find_sources, key_of, read_lines

SOME_FAILED = 3
# Of what went wrong, as many lines are shown as one reads.
MOST_SHOWN = 10


@click.group()
def batch() -> None:
    """Submit archives, watch them, take the results."""


@batch.command(epilog="Example: isoline batch submit archive/ --watch")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--watch", is_flag=True, help="Wait until all have ended.")
@click.option("--new", is_flag=True, help="Begin anew, even when the same files were sent before.")
@click.option("--key", help="The Idempotency-Key, instead of one that is made from the files.")
@click.option("--compress", is_flag=True, help="Compress what is sent, for slow lines.")
@SAMPLING_RATE
@FORM
@click.pass_context
def submit(
    context: click.Context,
    paths: tuple[Path, ...],
    watch: bool,
    new: bool,
    key: str | None,
    compress: bool,
    fs: float | None,
    form: Form,
) -> None:
    """Submit the recordings in files and folders as one batch.

    The same command again goes on where it was interrupted; when all had come, it finds the batch
    that there is. What each recording is called is its path within the folder.
    """
    sources = find_sources(paths)
    if not sources:
        raise IsolineError("There is no recording in it.")
    key = key or (new_key() if new else key_of(sources, fs))
    unreadable: list[Unreadable] = []
    with client_of(context) as client, progress() as bar:
        task = bar.add_task("sending", total=len(sources), note="")

        def note(found: Unreadable) -> None:
            unreadable.append(found)
            if len(unreadable) <= MOST_SHOWN:
                bar.console.print(
                    f"{found.custom_id}: {found.reason}", highlight=False, markup=False
                )

        def lines() -> Iterator[bytes]:
            unreadable.clear()
            bar.reset(task)
            return read_lines(sources, fs, note, lambda: bar.advance(task))

        try:
            submitted = client.submit_batch(
                lines, idempotency_key=key, compression=1 if compress else 0
            )
        except KeyboardInterrupt:
            bar.stop()
            say("Interrupted. What has arrived stays, and is worked on.")
            say(f"To go on, type the same command again (or use --key {key}).")
            context.exit(130)
        except Conflict as error:
            raise IsolineError(f"{error} With --new a new one is begun.") from None
    if len(unreadable) > MOST_SHOWN:
        say(f"… and {len(unreadable) - MOST_SHOWN} more that cannot be read.")
    if submitted.known:
        say(f"{submitted.known} of {submitted.counts.total} had come before.")
    if watch:
        submitted = _watch(context, submitted.id)
    show([batch_row(submitted)], form)
    if watch:
        _show_some_errors(context, submitted)
    if unreadable or submitted.counts.rejected or submitted.counts.failed:
        context.exit(SOME_FAILED)


@batch.command("watch", epilog="Example: isoline batch watch 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@FORM
@click.pass_context
def watch_batch(context: click.Context, batch_id: str, form: Form) -> None:
    """Wait until all of a batch has ended."""
    watched = _watch(context, batch_id)
    show([batch_row(watched)], form)
    _show_some_errors(context, watched)
    if watched.counts.rejected or watched.counts.failed:
        context.exit(SOME_FAILED)


def _watch(context: click.Context, batch_id: str) -> Batch:
    with client_of(context) as client, progress() as bar:
        found = client.batch(batch_id)
        task = bar.add_task("computing", total=found.counts.total, note="")
        try:
            while True:
                counts = found.counts
                wrong = counts.failed + counts.rejected
                bar.update(
                    task,
                    total=counts.total,
                    completed=counts.total - counts.pending,
                    note=f"{wrong} without insights" if wrong else "",
                )
                if found.has_ended:
                    return found
                if found.status == "receiving" and not counts.pending and not bar.disable:
                    bar.update(task, note="waiting for more lines")
                # A bar that moves: a look every second, or as soon as it has ended.
                found = client.batch(found.id, wait_s=1)
        except KeyboardInterrupt:
            bar.stop()
            say("Interrupted. The batch goes on by itself; to see how far it is:")
            say(f"  isoline batch watch {batch_id}")
            context.exit(130)
            raise


def _show_some_errors(context: click.Context, found: Batch) -> None:
    wrong = found.counts.failed + found.counts.rejected
    if not wrong:
        return
    with client_of(context) as client:
        for number, error in enumerate(client.batch_errors(found.id)):
            if number == MOST_SHOWN:
                say(f"… and {wrong - MOST_SHOWN} more: isoline batch errors {found.id}")
                break
            say(_sentence(error))


def _sentence(error: ErrorLine) -> str:
    faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in error.problem.errors)
    return f"line {error.line} ({error.custom_id or 'no name'}): {faults or error.problem.detail}"


@batch.command(
    epilog="Example: isoline batch results 01a208f9-aad6-728b-860f-e3721aa89d31 --csv > table.csv"
)
@click.argument("batch_id")
@click.option("--after", default=0, help="Only what comes after this line.")
@FORM
@click.pass_context
def results(context: click.Context, batch_id: str, after: int, form: Form) -> None:
    """Print the insights, one row for each lead."""
    with client_of(context) as client:
        if form == "csv":
            _copy(client, batch_id, "insights", after)
            return
        found = client.batch_insights(batch_id, after=after)
        if form == "json":
            show(({name: getattr(line, name) for name in _LINE} for line in found), form)
            return
        rows = (
            row
            for line in found
            for row in lead_rows(line, line=line.line, custom_id=line.custom_id)
        )
        show(rows, form, columns=["line", "custom_id", "lead", "name"])


_LINE = ("line", "custom_id", "ecg_id", "status", "leads")


@batch.command(epilog="Example: isoline batch errors 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@click.option("--after", default=0, help="Only what comes after this line.")
@FORM
@click.pass_context
def errors(context: click.Context, batch_id: str, after: int, form: Form) -> None:
    """Print what was rejected or has failed, and why."""
    with client_of(context) as client:
        if form == "csv":
            _copy(client, batch_id, "errors", after)
            return
        rows = (_error_row(line, form) for line in client.batch_errors(batch_id, after=after))
        show(rows, form, columns=["line", "custom_id", "verdict", "detail"])


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


def _copy(client: Client, batch_id: str, what: Literal["insights", "errors"], after: int) -> None:
    """The server's own table, byte for byte."""
    for piece in client.batch_csv(batch_id, what=what, after=after):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


@batch.command(epilog="Example: isoline batch cancel 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@FORM
@click.pass_context
def cancel(context: click.Context, batch_id: str, form: Form) -> None:
    """Stop what has not begun; what has finished stays."""
    with client_of(context) as client:
        show([batch_row(client.cancel_batch(batch_id))], form)


@batch.command("list", epilog="Example: isoline batch list")
@FORM
@click.pass_context
def list_batches(context: click.Context, form: Form) -> None:
    """List your batches, newest first."""
    with client_of(context) as client:
        rows = (batch_row(found) for found in client.batches())
        show(rows, form, columns=["id", "status", "total"])
