"""`isoline batch submit`: an archive in."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import click

from isoline import unfinished
from isoline.config import Access
from isoline.credentials import new_key
from isoline.errors import (
    BadRequest,
    Conflict,
    IsolineError,
    ServerFault,
    Unauthenticated,
    Unreachable,
)
from isoline.finding import find_sources
from isoline.options import FORM, SAMPLING_RATE, access_of, client_of
from isoline.output import Form, batch_row, progress, say, show
from isoline.reading import Remark, Unreadable, key_of, read_lines
from isoline.retries import PASSING
from isoline.screen import typed
from isoline.watching import (
    INTERRUPTED,
    MOST_SHOWN,
    PATIENCE_S,
    SOME_FAILED,
    how_to_go_on,
    show_some_errors,
    watch,
)

# As far back as batches are looked for that still wait for lines: one page.
NEWEST = 500


@click.command(epilog="Example: isoline batch submit archive/ --watch")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--watch", "is_watched", is_flag=True, help="Wait until all have ended.")
@click.option("--new", is_flag=True, help="Begin anew, even when the same files were sent before.")
@click.option("--key", help="The Idempotency-Key, instead of one that is made from the files.")
@click.option("--compress", is_flag=True, help="Compress what is sent, for slow lines.")
@SAMPLING_RATE
@FORM
@click.pass_context
def submit(
    context: click.Context,
    paths: tuple[Path, ...],
    is_watched: bool,
    new: bool,
    key: str | None,
    compress: bool,
    fs: float | None,
    form: Form,
) -> None:
    """Submit the recordings in files and folders as one batch.

    Interrupted, the same command again goes on, and nothing is stored twice; when all had come, it
    finds the batch that there is. What each recording is called is its path within the folder.
    """
    findings = find_sources(paths)
    sources = findings.sources
    if left_out := findings.summary():
        say(left_out)
    if not sources:
        raise IsolineError("There is no recording in it.")
    access = access_of(context)
    if access.token is None:
        # Before a server that may not even be there is waited for.
        raise IsolineError(f"Nothing can be submitted. {access.advice(is_admin=False)}")
    is_own = key is not None
    if key is not None:
        to_go_on = "type the same command again"
    elif new:
        key = new_key()
        to_go_on = f"type the command again with {typed(f'--key {key}')} in place of --new"
    else:
        key = key_of(sources, fs)
        with_key = f"or use {typed(f'--key {key}')} with the same paths"
        to_go_on = f"type the same command again ({with_key})"
    was_known = unfinished.is_known(access.url, key)
    if not is_own and not was_known:
        _name_earlier(access)
    sent = deque[int](maxlen=1)

    def where_it_stands() -> str:
        # What an earlier command has sent is there, too.
        arrived = "What has arrived stays, and is worked on." if sent or was_known else ""
        return f"{arrived or 'Nothing has been sent yet.'} To go on, {to_go_on}."

    # In the order in which they came; what is sent again is read again.
    unreadable: dict[Unreadable, None] = {}
    remarks: set[str] = set()
    with client_of(context, PATIENCE_S) as client, progress() as bar:
        task = bar.add_task("sending", total=len(sources), what="files", note="")

        def note(found: Unreadable) -> None:
            if found in unreadable:
                return
            unreadable[found] = None
            bar.update(task, note=f"{len(unreadable)} cannot be read")
            if len(unreadable) <= MOST_SHOWN or not sys.stderr.isatty():
                say(f"{found.custom_id}: {found.reason}")

        def remark(found: Remark) -> None:
            # Of a thousand files that are alike it is said once.
            if found.text not in remarks:
                remarks.add(found.text)
                say(f"{found.custom_id}: {found.text}")

        def from_the_first() -> Iterator[bytes]:
            bar.reset(task)
            return read_lines(sources, fs, note, remark, lambda: bar.advance(task))

        begun: list[Iterator[bytes]] = []

        def lines() -> Iterator[bytes]:
            # The batch is there before its first line has come.
            unfinished.begin(access.url, key, paths)
            return begun.pop() if begun else from_the_first()

        try:
            coming = from_the_first()
            first = next(coming, None)
            if first is None:
                # No batch is begun with nothing to put into it.
                raise IsolineError("There is no recording in it.")
            begun.append(chain([first], coming))
            submitted = client.submit_batch(
                lines,
                idempotency_key=key,
                compression=1 if compress else 0,
                on_sent=sent.append,
            )
            unfinished.end(access.url, key)
        except KeyboardInterrupt:
            bar.stop()
            say(f"Interrupted. {where_it_stands()}")
            context.exit(INTERRUPTED)
        except PASSING as error:
            if not (was_known or sent):
                unfinished.end(access.url, key)
            kind = Unreachable if isinstance(error, Unreachable) else IsolineError
            raise kind(f"{error} {where_it_stands()}") from None
        except Conflict as error:
            unfinished.end(access.url, key)
            raise IsolineError(f"{error} With --new a new one is begun.") from None
        except (BadRequest, ServerFault, Unauthenticated):
            if sent:
                say(where_it_stands())
            raise
        finally:
            if len(unreadable) > MOST_SHOWN and sys.stderr.isatty():
                say(
                    f"… and {len(unreadable) - MOST_SHOWN} more that cannot be read; typed again "
                    f"with {typed('2> problems.txt')} behind it, the command names them all."
                )
    if submitted.known:
        say(f"{submitted.known} of {submitted.counts.total} had come before.")
    if is_watched:
        submitted = watch(context, submitted)
    show([batch_row(submitted)], form)
    if is_watched:
        show_some_errors(context, submitted)
    elif submitted.counts.rejected:
        errors = typed(f"isoline batch errors {submitted.id}")
        say(f"{submitted.counts.rejected} lines were rejected: {errors}")
    if sys.stderr.isatty():
        if not submitted.has_ended:
            say(f"To wait for it: {typed(f'isoline batch watch {submitted.id}')}")
        results = typed(f"isoline batch results {submitted.id} --csv > table.csv")
        say(f"What it brings: {results}")
    if unreadable or submitted.counts.rejected or submitted.counts.failed:
        context.exit(SOME_FAILED)


def _name_earlier(access: Access) -> None:
    """Say which batches still wait for lines, before another one is begun."""
    # Only a word of advice: when there is no answer, the submission will tell.
    with contextlib.suppress(IsolineError), access.client(most_attempts=1) as client:
        newest = islice(client.batches(), NEWEST)
        waiting = [found for found in newest if found.status == "receiving"]
        for found in waiting[:1]:
            more = f"{len(waiting)} of your batches wait for lines. " if len(waiting) > 1 else ""
            say(f"{more}{how_to_go_on(found, access)}")
