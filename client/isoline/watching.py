"""Watching a batch until it has ended, and what is said of it then."""

from __future__ import annotations

import time

import click

from isoline import unfinished
from isoline.answers import Batch, ErrorLine
from isoline.config import Access
from isoline.options import access_of, client_of
from isoline.output import progress, say
from isoline.screen import typed

SOME_FAILED, NOT_FINISHED, INTERRUPTED = 3, 4, 130
# Of what went wrong, as many lines are shown as one reads.
MOST_SHOWN = 10
# So long without a new line, and whoever watches is told that nobody may be sending any more.
SILENCE_S = 10.0


def watch(context: click.Context, batch_id: str) -> Batch:
    """Show how far a batch is until it has ended."""
    access = access_of(context)
    with client_of(context) as client, progress() as bar:
        found = client.batch(batch_id)
        total, since_s, is_told = found.counts.total, time.monotonic(), False
        try:
            # Without a total nothing looks finished: how many are still to come nobody knows.
            task = bar.add_task("computing", total=None, note="")
            while True:
                counts = found.counts
                coming = None if found.status == "receiving" else counts.total
                wrong = counts.failed + counts.rejected
                note = f"{wrong} without insights" if wrong else ""
                if found.status == "receiving" and not counts.pending:
                    note = "waiting for lines"
                bar.update(task, total=coming, completed=counts.total - counts.pending, note=note)
                if found.has_ended:
                    return found
                if counts.total != total:
                    total, since_s, is_told = counts.total, time.monotonic(), False
                silent_s = time.monotonic() - since_s
                if found.status == "receiving" and silent_s > SILENCE_S and not is_told:
                    is_told = True
                    said_at = time.strftime("%H:%M:%S", time.localtime(time.time() - silent_s))
                    say(f"None has come since {said_at}, or longer. {how_to_go_on(found, access)}")
                # A bar that moves: a look every second, or as soon as it has ended.
                found = client.batch(found.id, wait_s=1)
        except KeyboardInterrupt:
            bar.stop()
            if found.status == "receiving":
                say(f"Interrupted. {how_to_go_on(found, access)}")
            else:
                say(
                    "Interrupted. The batch goes on by itself; to see how far it is: "
                    + typed(f"isoline batch watch {batch_id}")
                )
            context.exit(INTERRUPTED)
            raise


def how_to_go_on(found: Batch, access: Access) -> str:
    """Say that a batch still waits for lines, and how it gets them, or an end."""
    key = unfinished.find_key(access.url, found.created_at)
    with_key = typed(f"--key {key}") if key else "the --key it was begun with"
    return (
        f"Batch {found.id} still waits for lines; {found.counts.total} have come, and it has not "
        f"ended before the last has. To go on with it, submit its files again with {with_key}; "
        f"to end it: {typed(f'isoline batch cancel {found.id}')}"
    )


def show_some_errors(context: click.Context, found: Batch) -> None:
    """Say of the first lines without insights why there are none."""
    wrong = found.counts.failed + found.counts.rejected
    if not wrong:
        return
    with client_of(context) as client:
        for number, error in enumerate(client.batch_errors(found.id)):
            if number == MOST_SHOWN:
                say(f"… and {wrong - MOST_SHOWN} more: {typed(f'isoline batch errors {found.id}')}")
                break
            say(_sentence(error))


def _sentence(error: ErrorLine) -> str:
    faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in error.problem.errors)
    return f"line {error.line} ({error.custom_id or 'no name'}): {faults or error.problem.detail}"
