"""The verdict of a run, and that there is one: whatever becomes of the API."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.chaos.clients import Clients
from tests.chaos.run import Outcome, schedule
from tests.chaos.uploads import make_harmless
from tests.parts import free_port

GOOD = Outcome(
    accepted=2,
    accepted_lines=3,
    lost=0,
    duplicated=0,
    wrong=0,
    failed=0,
    poison_failed=0,
    took_s=[0.1, 0.2],
    took_unlocked_s=[0.1, 0.2],
    refused={},
    refused_batches={},
    settled_s=1.0,
    ended_by_themselves=Counter(),
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


def test_whoever_ends_whom_nobody_killed_is_one_too_many_and_named() -> None:
    outcome = replace(GOOD, ended_by_themselves=Counter({"relay with 1": 1}))
    assert not outcome.is_good
    assert "| processes that ended by themselves | relay with 1 1 |" in outcome.table("sqlite")


def test_the_table_says_how_many_came() -> None:
    assert "| accepted: uploads, lines of batches | 2, 3 |" in GOOD.table("sqlite")


def test_the_seed_decides() -> None:
    names = ["one", "two", "three", "four"]
    assert schedule(names, 3, seed=7) == schedule(names, 3, seed=7)
    assert schedule(names, 3, seed=7) != schedule(names, 3, seed=8)


def test_clients_end_when_the_api_does_not_come_back() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Clients(nowhere, "a token", hopeless_after_s=0.0) as clients:
        clients.give(make_harmless(number, 1) for number in range(100))
        clients.finish()
        assert clients.is_hopeless
        assert not clients.accepted


def test_clients_end_with_whoever_has_them_upload() -> None:
    def give_and_fail() -> None:
        with Clients(f"http://127.0.0.1:{free_port()}", "a token") as clients:
            clients.give(make_harmless(number, 1) for number in range(100))
            raise ValueError("a fault of the run")

    with pytest.raises(ValueError, match="a fault of the run"):
        give_and_fail()
