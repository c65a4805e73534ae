"""The short ones: each fault once, in a tenth of its time, on each database."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.run import Outcome, run, schedule
from tests.chaos.uploads import make
from tests.parts import open_postgresql_server

# Early, and not much: each is tried five times, one after the other in the quarantine.
POISON_EVERY = 150


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("database", "uploads"), [("sqlite", 360), ("postgresql", 200)])
def test_nothing_is_lost_doubled_or_wrong_while_everything_dies(
    tmp_path: Path, database: str, uploads: int
) -> None:
    with ExitStack() as stack:
        url, server = f"sqlite:///{tmp_path / 'isoline.db'}", None
        if database == "postgresql":
            server = stack.enter_context(open_postgresql_server())
            url = server.url
        outcome = run(
            tmp_path,
            url,
            uploads=uploads,
            rounds=1,
            scale=0.1,
            seed=1,
            hasty=True,
            poison_every=POISON_EVERY,
            postgresql=server,
        )
    assert outcome.is_good, outcome.table(database)
    assert outcome.accepted == uploads
    deadly = [number for number in range(uploads) if make(number, 1, POISON_EVERY).is_deadly]
    assert outcome.poison_failed == len(deadly) >= 1
    assert ("database killed, back after 5 s" in outcome.done) == (database == "postgresql")


GOOD = Outcome(
    accepted=2,
    lost=0,
    duplicated=0,
    wrong=0,
    failed=0,
    poison_failed=0,
    took_s=[0.1, 0.2],
    took_unlocked_s=[0.1, 0.2],
    refused={},
    settled_s=1.0,
    planned=Counter(FLUSHALL=2),
    done=Counter(FLUSHALL=2),
)


@pytest.mark.parametrize("what", ["lost", "duplicated", "wrong", "failed"])
def test_one_that_is_not_as_it_should_be_is_one_too_many(what: str) -> None:
    assert GOOD.is_good
    assert not replace(GOOD, **{what: 1}).is_good  # type: ignore[arg-type]


def test_a_fault_that_found_nothing_to_do_to_proves_nothing() -> None:
    outcome = replace(GOOD, done=Counter(FLUSHALL=1))
    assert not outcome.is_good
    assert "| faults that found nothing to do to | FLUSHALL 1 |" in outcome.table("sqlite")


def test_nobody_may_be_kept_waiting() -> None:
    assert not replace(GOOD, took_s=[0.1, 30.1]).is_good


def test_the_seed_decides() -> None:
    names = ["one", "two", "three", "four"]
    assert schedule(names, 3, seed=7) == schedule(names, 3, seed=7)
    assert schedule(names, 3, seed=7) != schedule(names, 3, seed=8)
