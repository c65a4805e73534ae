"""`isoline recompute`: what the administrator does after an insight has changed."""

from __future__ import annotations

import time

import click
import msgspec

from isoline.answers import Recomputation
from isoline.client import Client
from isoline.errors import BadRequest, IsolineError
from isoline.options import FORM, client_of
from isoline.output import Form, progress, say, show
from isoline.watching import SOME_FAILED

PAUSE_S = 0.5


@click.command(epilog="Example: isoline recompute --stale --watch")
@click.option("--stale", is_flag=True, help="Have all that is out of date computed again.")
@click.option("--insight", help="Only what is out of date in this one.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--watch", is_flag=True, help="Wait until all of it is computed.")
@FORM
@click.pass_context
def recompute(
    context: click.Context,
    stale: bool,
    insight: str | None,
    dry_run: bool,
    watch: bool,
    form: Form,
) -> None:
    """Count what has insights of an older version, or lacks some; have it computed again.

    Needs the administrator's token. Old insights are answered until new ones replace them. Once
    asked for, it goes on by itself; interrupted while asking, the same command goes on.
    """
    with client_of(context, is_admin=True) as client:
        before = counts = _count(client, insight)
        if stale and not dry_run:
            if counts.stale:
                counts = _ask_for_all(client, insight, counts)
            if watch and counts.waiting:
                counts = _watch(client, insight, counts)
    show([msgspec.structs.asdict(counts)], form)
    if not (before.stale or before.waiting or before.failed):
        say("Nothing is out of date.")
    if counts.stale and not stale:
        say("Have them computed again with --stale.")
    if counts.failed > before.failed:
        say(f"{counts.failed} could not be computed again; they keep what they have.")
        context.exit(SOME_FAILED)


def _count(client: Client, insight: str | None) -> Recomputation:
    try:
        return client.recompute(insight, dry_run=True)
    except BadRequest as error:
        names = ", ".join(definition.name for definition in client.catalogue())
        raise IsolineError(f"{error}; there are {names}.") from None


def _ask_for_all(client: Client, insight: str | None, counts: Recomputation) -> Recomputation:
    """Ask until nothing is left to ask for.

    Or as many as there were have been: what workers of an older release do is out of date again.
    """
    asked, first = 0, counts.stale
    with progress() as bar:
        task = bar.add_task("asking   ", total=first, what="asked for", note="")
        while True:
            counts = client.recompute(insight)
            asked += counts.queued
            bar.update(task, completed=asked, total=asked + counts.stale)
            if not counts.queued or asked >= first:
                counts.queued = asked
                return counts


def _watch(client: Client, insight: str | None, counts: Recomputation) -> Recomputation:
    """Wait until nothing waits."""
    asked, total = counts.queued, counts.waiting
    with progress() as bar:
        task = bar.add_task("computing", total=total, what="done", note="")
        while counts.waiting:
            time.sleep(PAUSE_S)
            counts = client.recompute(insight, dry_run=True)
            total = max(total, counts.waiting)
            bar.update(task, completed=total - counts.waiting, total=total)
    counts.queued = asked
    return counts
