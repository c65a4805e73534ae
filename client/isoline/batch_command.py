"""`isoline batch …`: an archive in, a table out."""

from __future__ import annotations

import sys
from typing import Literal

import click

from isoline.answers import ErrorLine
from isoline.client import Client
from isoline.options import FORM, client_of
from isoline.output import Form, Row, batch_row, lead_rows, show
from isoline.submit_command import submit
from isoline.watching import SOME_FAILED, show_some_errors, watch


@click.group()
def batch() -> None:
    """Submit archives, watch them, take the results."""


batch.add_command(submit)


@batch.command("watch", epilog="Example: isoline batch watch 01a208f9-aad6-728b-860f-e3721aa89d31")
@click.argument("batch_id")
@FORM
@click.pass_context
def watch_batch(context: click.Context, batch_id: str, form: Form) -> None:
    """Wait until all of a batch has ended."""
    watched = watch(context, batch_id)
    show([batch_row(watched)], form)
    show_some_errors(context, watched)
    if watched.counts.rejected or watched.counts.failed:
        context.exit(SOME_FAILED)


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
