"""The short run: each fault once, in a tenth of its time."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.run import Outcome, run
from tests.chaos.uploads import make
from tests.databases import PostgreSql

# Early, and not much: each is tried five times, one after the other in the quarantine.
POISON_EVERY = 150


def run_shortly(
    folder: Path, database_url: str, uploads: int, postgresql: PostgreSql | None = None
) -> Outcome:
    """Run, and fail unless nothing was lost, doubled or wrong; return what became of it."""
    outcome = run(
        folder,
        database_url,
        uploads=uploads,
        lines=uploads // 2,
        rounds=1,
        scale=0.1,
        seed=1,
        hasty=True,
        poison_every=POISON_EVERY,
        postgresql=postgresql,
    )
    assert outcome.is_good, outcome.table(database_url.partition(":")[0])
    assert (outcome.accepted, outcome.accepted_lines) == (uploads, uploads // 2)
    deadly = [number for number in range(uploads) if make(number, 1, POISON_EVERY).is_deadly]
    assert outcome.poison_failed == len(deadly) >= 1
    return outcome
