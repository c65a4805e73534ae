"""`isoline upload`: recordings one by one, and their insights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import click

from isoline.answers import Insights
from isoline.client import Client
from isoline.credentials import new_key
from isoline.errors import IsolineError, ProblemError
from isoline.figures import Columns, columns_of, lead_rows
from isoline.finding import Source, find_sources
from isoline.options import FORM, SAMPLING_RATE, client_of
from isoline.output import Form, progress, say, show
from isoline.reading import LINES_OF_JSON, Read, Remark, Unreadable, read_file
from isoline.screen import Row, typed
from isoline.watching import FAILED, INTERRUPTED, NOT_FINISHED, SOME_FAILED

# What is answered so is the same for every other file.
_FOR_ALL = {401, 502, 503, 504}


@click.command(epilog="Example: isoline upload records/100.hea holter.edf")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Seconds to wait for insights.",
)
@SAMPLING_RATE
@FORM
@click.pass_context
def upload(
    context: click.Context, files: tuple[Path, ...], wait_s: int, fs: float | None, form: Form
) -> None:
    """Upload recordings one by one; print the insights of each.

    Typed again, it uploads them again; what can be gone on with is a batch.
    """
    findings = find_sources(files)
    sources = findings.sources
    if left_out := findings.summary():
        say(left_out)
    if not sources:
        raise IsolineError("There is no recording in it.")
    if any(file.is_dir() for file in files):
        say(f"For a whole folder there is one that goes on: {typed('isoline batch submit')}")
    stopped: list[tuple[Source, BaseException]] = []
    done = _Done()

    # Rows that are printed as they come are progress enough.
    is_quiet = len(sources) > 1 and not (form == "json" and sys.stdout.isatty())

    def rows(client: Client, figures: Columns) -> Iterator[Row]:
        written = _document if form == "json" else partial(_lead_rows, figures)
        with progress(is_wanted=is_quiet) as bar:
            task = bar.add_task("uploading", total=len(sources), what="done", note="")
            for source in sources:
                try:
                    number = 0
                    for line in read_file(source, fs):
                        number += not isinstance(line, Remark)
                        at = f"#{number}" if source.path.suffix.lower() in LINES_OF_JSON else ""
                        yield from _upload(client, written, source, line, at, wait_s, done)
                except (KeyboardInterrupt, IsolineError) as error:
                    # What has been uploaded is printed all the same.
                    stopped.append((source, error))
                    return
                note = f"{len(done.failed)} without insights" if done.failed else ""
                bar.update(task, advance=1, note=note)

    with client_of(context) as client:
        try:
            figures = columns_of(client.catalogue())
        except KeyboardInterrupt:
            say("Interrupted before anything was uploaded. Type the same command again.")
            context.exit(INTERRUPTED)
        # A file of CSV has the columns of every other, a table those of what there is.
        every = ("lead", "name", *figures) if form == "csv" else ()
        show(
            rows(client, figures),
            form,
            columns=["file", "ecg_id", "status", *every],
            nothing="Nothing was uploaded.",
        )
        for source, error in stopped:
            if source is not sources[0] or isinstance(error, KeyboardInterrupt):
                say(
                    f"Stopped at {source.path}: what is printed is stored. To go on, upload that "
                    "file and those after it."
                )
            if isinstance(error, KeyboardInterrupt):
                context.exit(INTERRUPTED)
            raise error
    if pending := done.pending:
        what = "1 ECG is" if len(pending) == 1 else f"{len(pending)} ECGs are"
        ask = typed(f"isoline insights {pending[0]}")
        others = "" if len(pending) == 1 else ", and so with the ecg_id of each of the others"
        say(f"{what} stored and not finished yet; to ask again: {ask}{others}")
        context.exit(NOT_FINISHED)
    if done.failed:
        context.exit(SOME_FAILED if done.has_read_any else FAILED)


# The rows of what was uploaded, after the cells that say which ECG it is.
Written: TypeAlias = Callable[[Insights | None, Row], Iterable[Row]]


def _document(found: Insights | None, first: Row) -> Iterable[Row]:
    """The insights of one ECG, as `isoline insights --json` prints them."""
    found = found or Insights(ecg_id=first["ecg_id"], status="pending")
    return [{**first, "leads": found.leads, "insights": found.insights}]


def _lead_rows(figures: Columns, found: Insights | None, first: Row) -> Iterable[Row]:
    return lead_rows(found, figures, **first) if found and found.leads else [first]


@dataclass
class _Done:
    """The names of recordings that have no insights, and the ids of ECGs that have none yet."""

    has_read_any: bool = False
    failed: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    remarks: set[str] = field(default_factory=set)


def _upload(
    client: Client,
    written: Written,
    source: Source,
    line: Read,
    at: str,
    wait_s: int,
    done: _Done,
) -> Iterator[Row]:
    # As it is, but for bytes that are no text: no output could take those.
    name = str(source.path).encode("utf-8", "backslashreplace").decode()
    if isinstance(line, Remark):
        # Of files that are alike it is said once.
        if line.text not in done.remarks:
            done.remarks.add(line.text)
            say(f"{name}: {line.text}")
        return
    if isinstance(line, Unreadable):
        name += line.custom_id.removeprefix(source.custom_id)
        say(f"{name}: {line.reason}")
        done.failed.append(name)
        return
    name += at
    done.has_read_any = True
    try:
        accepted = client.upload(line, wait_s=wait_s, idempotency_key=new_key())
    except ProblemError as error:
        if error.status in _FOR_ALL:
            raise
        say(f"{name}: {error}")
        done.failed.append(name)
        return
    first = {"file": name, "ecg_id": accepted.id, "status": accepted.status}
    yield from written(accepted.insights, first)
    if accepted.insights is None or accepted.insights.status == "pending":
        done.pending.append(accepted.id)
    elif accepted.insights.status == "failed":
        say(f"{name}: {accepted.insights.detail}")
        done.failed.append(name)
