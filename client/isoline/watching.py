"""Watching a batch until it has ended, and what is said of it then."""

from __future__ import annotations

import click

from isoline.answers import Batch, ErrorLine
from isoline.options import client_of
from isoline.output import progress, say

SOME_FAILED, INTERRUPTED = 3, 130
# Of what went wrong, as many lines are shown as one reads.
MOST_SHOWN = 10


def watch(context: click.Context, batch_id: str) -> Batch:
    """Show how far a batch is until it has ended."""
    with client_of(context) as client, progress() as bar:
        found = client.batch(batch_id)
        try:
            task = bar.add_task("computing", total=found.counts.total, note="")
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
            if found.status == "receiving":
                say(
                    "Interrupted. The batch still waits for lines, and has not ended before the "
                    "last has come: type the command again that submitted it, or"
                )
                say(f"  isoline batch cancel {batch_id}")
            else:
                say("Interrupted. The batch goes on by itself; to see how far it is:")
                say(f"  isoline batch watch {batch_id}")
            context.exit(INTERRUPTED)
            raise


def show_some_errors(context: click.Context, found: Batch) -> None:
    """Say of the first lines without insights why there are none."""
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
