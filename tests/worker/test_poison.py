"""ECGs that do to their process what no program survives: they end, and nobody else does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.parts import wait_until
from tests.poison.insights.poison import KINDS, MAGIC
from tests.stack import Stack
from worker.tasks import KILLED, TOO_LONG

ENDS = {
    "segfault": KILLED,
    "killed": KILLED,
    "exits": KILLED,
    "sleeps": TOO_LONG,
    "hangs": TOO_LONG,
}


@pytest.fixture(scope="module")
def stack(empty_database: str, stack_folder: Path, redis_url: str) -> Iterator[Stack]:
    with Stack(
        stack_folder, database_url=empty_database, redis_url=redis_url, poisoned=True
    ) as stack:
        yield stack


def upload(isoline: httpx.Client, *samples: int) -> str:
    leads = [{"name": "I", "signal": samples}]
    return str(isoline.post("/ecgs", json={"leads": leads}).json()["id"])


def poison(isoline: httpx.Client, kind: str) -> str:
    return upload(isoline, MAGIC, KINDS.index(kind))


def outcome(isoline: httpx.Client, ecg_id: str) -> dict[str, Any] | None:
    answer = isoline.get(f"/ecgs/{ecg_id}/insights")
    found: dict[str, Any] = answer.json()
    return found if answer.status_code == 200 else None


@pytest.mark.timeout(300)
def test_whatever_kills_ends_failed_with_a_reason_and_its_neighbours_finish(
    isoline: httpx.Client, stack: Stack
) -> None:
    # Without a worker they all wait, several in each message; poison among good ones.
    stack.stop("worker")
    # What takes its time has nothing to do with the database.
    is_quick = "postgresql" in stack.environ["ISOLINE_DATABASE_URL"]
    kinds = ("segfault", "killed", "exits") if is_quick else tuple(ENDS)
    poisonous = {kind: poison(isoline, kind) for kind in kinds}
    good = [upload(isoline, 1, -1) for _ in range(20)]
    began_s = time.monotonic()
    stack.start("worker")
    for ecg_id in good:
        found = wait_until(lambda i=ecg_id: outcome(isoline, i), 60, "for a neighbour")
        assert found["status"] == "finished"
    # Nobody waits for a minute because of a bell that was lost along with a process.
    assert time.monotonic() - began_s < 60
    for kind, ecg_id in poisonous.items():
        found = wait_until(lambda i=ecg_id: outcome(isoline, i), 200, f"for {kind}")
        assert (found["status"], found["detail"]) == ("failed", ENDS[kind]), kind
    assert stack.is_running("worker")
    # The pool is whole, and the last attempts were made elsewhere.
    assert outcome_of_another(isoline)["status"] == "finished"
    assert "a process was lost" in stack.log("quarantine")


def test_an_insight_that_asks_for_too_much_or_raises_is_a_problem_of_its_own(
    isoline: httpx.Client,
) -> None:
    for kind in ("memory", "raises"):
        ecg_id = poison(isoline, kind)
        found = wait_until(lambda i=ecg_id: outcome(isoline, i), 30, f"for {kind}")
        assert found["status"] == "finished"
        insights = found["leads"][0]["insights"]
        assert "problem" in insights["poison"]
        assert insights["zero_crossings"]["count"] == 0


def outcome_of_another(isoline: httpx.Client) -> dict[str, Any]:
    leads = [{"name": "I", "signal": [1, -1]}]
    answer = isoline.post("/ecgs", json={"leads": leads}, headers={"Prefer": "wait=20"})
    found: dict[str, Any] = answer.json()
    return found


def test_reasons_are_in_words_a_user_understands() -> None:
    for reason in (KILLED, TOO_LONG):
        assert "signal" not in reason.lower()
        assert reason.endswith(".")
