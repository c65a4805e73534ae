"""Watching a batch until it has ended, and what is said of it then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from isoline import unfinished
from isoline.answers import Batch, ErrorLine, Readiness
from isoline.client import Client
from isoline.config import Access
from isoline.errors import IsolineError
from isoline.options import access_of, client_of
from isoline.output import progress, say
from isoline.screen import typed

FAILED, SOME_FAILED, NOT_FINISHED, INTERRUPTED = 1, 3, 4, 130
# Of what went wrong, as many lines are shown as one reads.
MOST_SHOWN = 10
# Of the files of a batch; nearly always it was one folder.
MOST_NAMED = 3
# So long without a change, and whoever watches is told who may be missing.
SILENCE_S = 10.0
# A server that is started anew is back within it.
PATIENCE_S = 60.0


def watch(context: click.Context, found: Batch) -> Batch:
    """Show how far a batch is until it has ended."""
    access = access_of(context)
    with _insisting(context, found.id) as client, progress() as bar:
        stillness = _Stillness(found)
        try:
            # Without a total nothing looks finished: how many are still to come nobody knows.
            task = bar.add_task("computing", total=None, what="done", note="")
            while True:
                counts = found.counts
                coming = None if found.status == "receiving" else counts.total
                wrong = counts.failed + counts.rejected
                note = f"{wrong} without insights" if wrong else ""
                if found.status == "receiving" and not counts.pending:
                    note = "waiting for lines"
                bar.update(
                    task,
                    total=coming,
                    completed=counts.total - counts.pending,
                    rate_per_s=found.rate_per_s,
                    eta_s=found.eta_s,
                    note=note,
                )
                if found.has_ended:
                    return found
                stillness.look(found, client, access)
                # A bar that moves: a look every second, or as soon as it has ended.
                found = client.batch(found.id, wait_s=1)
        except KeyboardInterrupt:
            bar.stop()
            if found.status == "receiving":
                say(f"Interrupted. {how_to_go_on(found, access)}")
            else:
                say(
                    "Interrupted. The batch goes on by itself; to see how far it is: "
                    + _again(found.id)
                )
            context.exit(INTERRUPTED)
            raise


@contextmanager
def _insisting(context: click.Context, batch_id: str) -> Iterator[Client]:
    """A client for a server that has answered: it may be started anew meanwhile.

    Whatever ends the watching names the batch.
    """
    try:
        with client_of(context, PATIENCE_S, has_answered=True) as client:
            yield client
    except IsolineError as error:
        raise IsolineError(f"{error} To see how far the batch is: {_again(batch_id)}") from None


def _again(batch_id: str) -> str:
    return typed(f"isoline batch watch {batch_id}")


class _Stillness:
    """Since when nothing has moved, and what is said of that, once."""

    def __init__(self, found: Batch) -> None:
        self._moved(found)

    def _moved(self, found: Batch) -> None:
        self._counts = found.counts
        self._since_s = self._looked_s = time.monotonic()
        self._is_told = False

    def look(self, found: Batch, client: Client, access: Access) -> None:
        """Say who does not send, or who does not work, when nothing has moved for long."""
        now_s = time.monotonic()
        if found.counts != self._counts:
            self._moved(found)
        if self._is_told or now_s - self._looked_s < SILENCE_S:
            return
        self._looked_s = now_s
        is_sent = found.status != "receiving"
        why = _why_it_stands(client.ready()) if is_sent or found.counts.pending else ""
        if is_sent and not why:
            # Others may have their turn; and who is not heard is missed after a while.
            return
        self._is_told = True
        since = time.strftime("%H:%M:%S", time.localtime(time.time() - now_s + self._since_s))
        if why:
            say(f"None has ended since {since}, or longer. {why}: {typed('isoline doctor')}")
        if not is_sent:
            say(f"None has come since {since}, or longer. {how_to_go_on(found, access)}")


def _why_it_stands(ready: Readiness) -> str:
    if ready.broker != "ok":
        return "The server's broker is away"
    if not ready.bulk_workers_online:
        return "No worker for batches was heard lately"
    return "" if ready.status == "ok" else "The server says that not all is well with it"


def how_to_go_on(found: Batch, access: Access) -> str:
    """Say that a batch still waits for lines, and how it gets them, or an end."""
    begun = unfinished.find(access.url, found.created_at)
    with_key = typed(f"--key {begun.key}") if begun else "the --key it was begun with"
    files = f"its files ({_some(begun.paths)})" if begun and begun.paths else "its files"
    return (
        f"Batch {found.id} still waits for lines; {found.counts.total} have come, and it has not "
        f"ended before the last has. To go on with it, submit {files} again with {with_key}; "
        f"to end it: {typed(f'isoline batch cancel {found.id}')}"
    )


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return f"{', '.join(map(typed, paths[:MOST_NAMED]))}{more}"


def show_some_errors(context: click.Context, found: Batch) -> None:
    """Say of the first lines without insights why there are none."""
    wrong = found.counts.failed + found.counts.rejected
    if not wrong:
        return
    with _insisting(context, found.id) as client:
        for number, error in enumerate(client.batch_errors(found.id)):
            if number == MOST_SHOWN:
                say(f"… and {wrong - MOST_SHOWN} more: {typed(f'isoline batch errors {found.id}')}")
                break
            say(_sentence(error))


def _sentence(error: ErrorLine) -> str:
    faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in error.problem.errors)
    return f"line {error.line} ({error.custom_id or 'no name'}): {faults or error.problem.detail}"
