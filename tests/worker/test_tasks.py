"""Claim, compute, store: what the worker does with a row, on both databases."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from shared.database import now_s, reading, transaction
from shared.errors import DatabaseDamaged, DatabaseUnavailable
from shared.jobs import LEASE_S, LINES_PER_MESSAGE
from shared.models import FAILED, FINISHED, PENDING, RUNNING, Ecg, Insights, Signal
from shared.states import IS_PENDING
from shared.turns import LINES_IN_QUEUE
from tests.databases import Disk, damage
from tests.door import MESSAGE, Door, bring_to_their_end
from tests.parts import told_by
from worker import analysis, claims, endings, ringing, room, tasks
from worker.insights import Insight, Step
from worker.sample_store import SampleStore


def analyse(door: Door, ecg_ids: Any) -> None:
    """As a worker would that is handed this message; whatever is not due yet is due now."""
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(due_at_s=0.0))
    bring_to_their_end(door.engine, ecg_ids, door.rung)


def row(engine: Engine, ecg_id: str) -> Ecg:
    with reading(engine) as connection:
        return connection.execute(select(Ecg.__table__).where(Ecg.id == ecg_id)).one()  # type: ignore[return-value]


def set_row(engine: Engine, ecg_id: str, **values: object) -> None:
    with transaction(engine) as connection:
        connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(**values))


def documents(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(Insights)) or 0


@pytest.fixture
def ecg_id(door: Door) -> str:
    return door.upload(door.user(), [1, 0, -1])


def test_a_claim_counts_an_attempt_and_takes_a_lease(door: Door, ecg_id: str) -> None:
    [claim] = claims.claim(door.engine, [ecg_id], MESSAGE).claims
    assert (claim.attempt, claim.names) == (1, ["lead 0"])
    claimed = row(door.engine, ecg_id)
    assert claimed.status == RUNNING
    with reading(door.engine) as connection:
        now = connection.scalar(select(now_s()))
    assert now is not None
    assert claimed.lease_until_s is not None
    assert 0 < claimed.lease_until_s - now <= LEASE_S


def test_what_is_claimed_cannot_be_claimed_again(door: Door, ecg_id: str) -> None:
    assert claims.claim(door.engine, [ecg_id], MESSAGE).claims
    assert claims.claim(door.engine, [ecg_id], MESSAGE).claims == []


def test_whoever_claims_lines_takes_the_next_turn_and_whoever_claims_uploads_takes_none(
    door: Door,
) -> None:
    ada = door.user()
    lines = [f'{{"leads": [{{"name": "I", "signal": [{n}]}}]}}' for n in range(LINES_IN_QUEUE + 5)]
    assert door.submit(ada, *lines).status_code == 202
    named = door.rung[:LINES_PER_MESSAGE]
    single = door.upload(ada, [1])
    assert claims.claim(door.engine, [single], MESSAGE).turns == []
    begun = claims.claim(door.engine, named, MESSAGE)
    assert [claim.ecg_id for claim in begun.claims] == named
    # Whatever is sent of that: it is noted, in the transaction of the claim, that it rings.
    [turn] = begun.turns
    assert len(turn) == 5
    assert not set(turn) & set(door.rung)
    assert all(row(door.engine, ecg_id).rung_at_s > 0 for ecg_id in turn)
    assert claims.claim(door.engine, named, MESSAGE) == ([], [])


def test_what_came_to_nothing_is_begun_again_only_where_its_document_would_fit(
    sqlite_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REMEMBERED_S", 0.0)
    ecg_id = sqlite_door.upload(sqlite_door.user(), [1, 0, -1])
    full = Disk(sqlite_door.engine)
    # A claim fits into the pages that are there, and a document may not.
    assert claims.claim(full.engine, [ecg_id], MESSAGE).claims
    set_row(full.engine, ecg_id, lease_until_s=0.0)
    assert endings.sweep(full.engine) == 1
    set_row(full.engine, ecg_id, due_at_s=0.0)
    for _ in range(claims.MAX_ATTEMPTS):
        with pytest.raises(DatabaseUnavailable):
            claims.claim(full.engine, [ecg_id], MESSAGE)
    left = row(full.engine, ecg_id)
    assert (left.status, left.attempts) == (PENDING, 1)
    full.make_room()
    assert claims.claim(full.engine, [ecg_id], MESSAGE).claims[0].attempt == 2
    assert documents(full.engine) == 0
    full.engine.dispose()


def test_the_time_limit_of_an_analysis_is_not_that_of_loading_its_samples(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unharmed, alarms = SampleStore.take, []

    def take(store: SampleStore, claimed: claims.Claim) -> bytes:
        alarms.append(signal.getsignal(signal.SIGALRM))
        return unharmed(store, claimed)

    monkeypatch.setattr(SampleStore, "take", take)
    analyse(door, [ecg_id])
    # That of whoever runs the tests, if any.
    assert alarms == [signal.getsignal(signal.SIGALRM)]
    assert row(door.engine, ecg_id).status == FINISHED


def test_an_unknown_id_is_no_claim(door: Door) -> None:
    assert claims.claim(door.engine, ["no such id"], MESSAGE).claims == []


def test_delivered_twice_is_stored_once(door: Door, ecg_id: str) -> None:
    for _ in range(2):
        analyse(door, [ecg_id, ecg_id])
    assert (row(door.engine, ecg_id).status, documents(door.engine)) == (FINISHED, 1)
    assert row(door.engine, ecg_id).attempts == 1


def test_a_late_result_changes_nothing(door: Door, ecg_id: str) -> None:
    [late] = claims.claim(door.engine, [ecg_id], MESSAGE).claims
    set_row(door.engine, ecg_id, lease_until_s=0.0)
    assert endings.sweep(door.engine) == 1
    set_row(door.engine, ecg_id, due_at_s=0.0)
    [prompt] = claims.claim(door.engine, [ecg_id], MESSAGE).claims
    assert prompt.attempt == 2
    assert not endings.finish(door.engine, [(late, b"late")])
    assert not endings.fail(door.engine, late, "late")
    assert not endings.give_back(door.engine, late, "late")
    assert row(door.engine, ecg_id).status == RUNNING
    assert endings.finish(door.engine, [(prompt, b"prompt")])
    assert not endings.finish(door.engine, [(late, b"late")])
    with reading(door.engine) as connection:
        assert connection.scalar(select(Insights.document)) == b"prompt"


def test_damaged_samples_fail_at_once_with_a_reason(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1, 2, 3])
    with transaction(door.engine) as connection:
        connection.execute(update(Signal).values(encoded=b"\x01damaged"))
    door.work()
    answer = door.get(f"/ecgs/{ecg_id}/insights", headers=ada)
    assert (answer.status_code, answer.json["status"]) == (200, FAILED)
    assert "damaged" in answer.json["detail"]
    assert row(door.engine, ecg_id).attempts == 1


def test_a_fault_of_ours_is_tried_five_times_and_then_said(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise MemoryError

    ada = door.user()
    ecg_id = door.upload(ada, [1])
    monkeypatch.setattr(tasks, "analyse_ecg", explode)
    for attempt in range(1, claims.MAX_ATTEMPTS + 1):
        assert row(door.engine, ecg_id).status == PENDING
        analyse(door, [ecg_id])
        assert row(door.engine, ecg_id).attempts == attempt
    answer = door.get(f"/ecgs/{ecg_id}/insights", headers=ada).json
    assert (answer["status"], answer["detail"]) == (FAILED, tasks.TOO_MUCH)
    assert claims.claim(door.engine, [ecg_id], MESSAGE).claims == []


def test_neighbours_in_a_message_finish_whatever_happens_to_one(door: Door) -> None:
    ada = door.user()
    first, bad, last = (door.upload(ada, [n]) for n in range(3))
    with transaction(door.engine) as connection:
        connection.execute(update(Signal).where(Signal.ecg_id == bad).values(encoded=b""))
    door.work()
    assert [row(door.engine, i).status for i in (first, bad, last)] == [FINISHED, FAILED, FINISHED]


def test_of_a_message_that_takes_too_long_the_rest_is_put_down(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = door.user()
    ids = [door.upload(ada, [n]) for n in range(3)]
    door.rung.clear()
    monkeypatch.setattr(tasks, "MESSAGE_S", -1.0)
    analyse(door, ids)
    put_down = [row(door.engine, ecg_id) for ecg_id in ids]
    assert [(one.status, one.attempts, one.rung_at_s) for one in put_down] == [(PENDING, 1, 0)] * 3
    assert door.rung == []


def test_a_lease_that_ran_out_is_swept_back_and_rung_for(door: Door, ecg_id: str) -> None:
    claims.claim(door.engine, [ecg_id], MESSAGE)
    assert endings.sweep(door.engine) == 0
    set_row(door.engine, ecg_id, lease_until_s=0.0)
    assert endings.sweep(door.engine) == 1
    assert row(door.engine, ecg_id).status == PENDING
    rung: list[str] = []
    # After a pause, so that what fails at once does not fail five times at once.
    assert ringing.ring_again(door.engine, IS_PENDING, rung.extend, 8, 60, []) == 0
    set_row(door.engine, ecg_id, due_at_s=0.0)
    assert ringing.ring_again(door.engine, IS_PENDING, rung.extend, 8, 60, []) == 1
    assert rung == [ecg_id]


def test_after_the_last_attempt_a_lost_row_is_failed_with_its_reason(
    door: Door, ecg_id: str
) -> None:
    for _ in range(claims.MAX_ATTEMPTS):
        assert claims.claim(door.engine, [ecg_id], MESSAGE).claims
        set_row(door.engine, ecg_id, lease_until_s=0.0)
        endings.sweep(door.engine)
        set_row(door.engine, ecg_id, due_at_s=0.0)
    swept = row(door.engine, ecg_id)
    assert (swept.status, swept.failure) == (FAILED, endings.GAVE_UP)
    assert swept.finished_at_s is not None


def test_the_relay_rings_only_for_rows_that_have_waited(door: Door, ecg_id: str) -> None:
    rung: list[str] = []
    assert ringing.ring_again(door.engine, IS_PENDING, rung.extend, 8, 60, []) == 0
    set_row(door.engine, ecg_id, rung_at_s=0.0)
    assert ringing.ring_again(door.engine, IS_PENDING, rung.extend, 8, 60, []) == 1
    # It has been rung for just now: no flood.
    assert ringing.ring_again(door.engine, IS_PENDING, rung.extend, 8, 60, []) == 0
    assert rung == [ecg_id]


def test_an_erased_ecg_takes_its_samples_and_insights_along(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    [claim] = claims.claim(door.engine, [ecg_id], MESSAGE).claims
    document = tasks.compute(claim, SampleStore(door.engine, [claim]).take(claim))
    door.delete(f"/ecgs/{ecg_id}", headers=ada)
    assert not endings.finish(door.engine, [(claim, document)])
    with reading(door.engine) as connection:
        for table in (Ecg, Signal, Insights):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_an_analysis_that_takes_too_long_is_given_back_and_blamed_on_no_insight(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dawdle(*_: object) -> dict[str, object]:
        time.sleep(30)
        return {}

    slow = Insight("slow", 1, "", "", (), {"lead": ()}, dawdle)
    monkeypatch.setattr(analysis, "find_steps", lambda: [Step("lead", slow)])
    monkeypatch.setattr(tasks, "COMPUTE_WITHIN_S", 0.1)
    analyse(door, [ecg_id])
    assert row(door.engine, ecg_id).status == PENDING
    assert documents(door.engine) == 0


def test_whoever_had_set_an_alarm_before_gets_it_back(door: Door, ecg_id: str) -> None:
    # As pytest has, for a test that hangs.
    handler = signal.getsignal(signal.SIGALRM)
    before_s, _ = signal.getitimer(signal.ITIMER_REAL)
    assert before_s > 0
    analyse(door, [ecg_id])
    assert row(door.engine, ecg_id).status == FINISHED
    after_s, again_s = signal.getitimer(signal.ITIMER_REAL)
    assert before_s - 30 < after_s <= before_s
    assert (again_s, signal.getsignal(signal.SIGALRM)) == (0.0, handler)


@pytest.mark.parametrize("statement", ["claim", "finish", "give_back"])
def test_memory_that_runs_out_anywhere_escapes_nowhere(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    def explode(*_: object) -> None:
        raise MemoryError

    if statement == "give_back":
        monkeypatch.setattr(tasks, "compute", explode)
    other = door.upload(door.user("bob"), [1])
    unharmed = getattr(tasks, statement)

    def explode_once(*arguments: object) -> object:
        monkeypatch.setattr(tasks, statement, unharmed)
        raise MemoryError

    monkeypatch.setattr(tasks, statement, explode_once)
    analyse(door, [ecg_id, other])
    assert row(door.engine, ecg_id).status in {PENDING, RUNNING}
    assert row(door.engine, other).status in {PENDING, RUNNING}
    # Nothing is lost by it: each is begun again, alone.
    monkeypatch.undo()
    set_row(door.engine, ecg_id, lease_until_s=0.0)
    set_row(door.engine, other, lease_until_s=0.0)
    endings.sweep(door.engine)
    for one in (ecg_id, other):
        analyse(door, [one])
        assert row(door.engine, one).status == FINISHED


@pytest.mark.parametrize("nonsense", [None, 7, {"a": 1}, "\x00", ["x"]])
def test_what_is_no_id_harms_no_neighbour(door: Door, ecg_id: str, nonsense: Any) -> None:
    analyse(door, [nonsense, ecg_id])
    assert row(door.engine, ecg_id).status == FINISHED


@pytest.mark.parametrize(("others", "status"), [(63, FINISHED), (64, PENDING)])
def test_a_message_that_names_more_than_any_of_ours_is_thrown_away(
    door: Door, ecg_id: str, others: int, status: str
) -> None:
    door.rung.clear()
    analyse(door, [ecg_id, *(f"no id of ours {n}" for n in range(others))])
    assert row(door.engine, ecg_id).status == status
    assert not door.rung


def test_a_database_that_is_away_for_a_moment_costs_no_result(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in ("claim", "finish"):
        away = iter([True, True, False])
        unharmed = getattr(tasks, statement)

        def sometimes(*arguments: Any, away: Any = away, unharmed: Any = unharmed) -> Any:
            if next(away):
                raise DatabaseUnavailable("It is away.")
            return unharmed(*arguments)

        monkeypatch.setattr(tasks, statement, sometimes)
    analyse(door, [ecg_id])
    assert (row(door.engine, ecg_id).status, row(door.engine, ecg_id).attempts) == (FINISHED, 1)


def test_a_claim_of_which_nobody_heard_does_not_wait_for_its_lease(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unharmed, breaks = claims.claim, iter([True, False])

    def claim(*arguments: Any) -> Any:
        claimed = unharmed(*arguments)
        if next(breaks):
            raise DatabaseUnavailable("It was committed, and then the connection broke.")
        return claimed

    monkeypatch.setattr(tasks, "claim", claim)
    analyse(door, [ecg_id])
    left = row(door.engine, ecg_id)
    # It rests, as after any attempt that came to nothing, and is rung for.
    assert (left.status, left.attempts, left.held_by) == (PENDING, 1, None)
    with reading(door.engine) as connection:
        now = connection.scalar(select(now_s())) or 0.0
    assert left.due_at_s < now + 4
    monkeypatch.setattr(tasks, "claim", unharmed)
    analyse(door, [ecg_id])
    assert row(door.engine, ecg_id).status == FINISHED


def while_it_is_worked_on(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something happen between the first claim and its result."""
    unharmed = tasks.compute

    def compute(*arguments: Any) -> bytes:
        monkeypatch.setattr(tasks, "compute", unharmed)
        act()
        return unharmed(*arguments)

    monkeypatch.setattr(tasks, "compute", compute)


def test_a_copy_of_a_message_to_which_the_database_is_away_takes_nothing_from_the_first(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def deliver_a_copy() -> None:
        unharmed, breaks = claims.claim, iter([True, False])

        def claim(*arguments: Any) -> Any:
            if next(breaks):
                raise DatabaseUnavailable("It is away.")
            return unharmed(*arguments)

        monkeypatch.setattr(tasks, "claim", claim)
        analyse(door, [ecg_id])
        seen.append(row(door.engine, ecg_id).status)

    while_it_is_worked_on(monkeypatch, deliver_a_copy)
    analyse(door, [ecg_id])
    assert seen == [RUNNING]
    assert (row(door.engine, ecg_id).status, row(door.engine, ecg_id).attempts) == (FINISHED, 1)


def test_whoever_mourns_knows_the_message_alone(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def mourn() -> None:
        for message in ("another one", MESSAGE):
            tasks.mourn(door.engine, message, [ecg_id], tasks.KILLED, door.rung.extend)
            seen.append(row(door.engine, ecg_id).status)

    while_it_is_worked_on(monkeypatch, mourn)
    analyse(door, [ecg_id])
    assert seen == [RUNNING, PENDING]
    # It was not lost after all, and comes too late.
    assert (row(door.engine, ecg_id).status, documents(door.engine)) == (PENDING, 0)


def test_a_database_that_stays_away_sends_the_rest_to_the_end_of_the_queue(
    door: Door, ecg_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable("It is away.")

    monkeypatch.setattr(tasks, "claim", away)
    monkeypatch.setattr(tasks, "CLAIM_WITHIN_S", 0.1)
    again: list[str] = []
    bring_to_their_end(door.engine, [ecg_id, "another"], again)
    assert again == [ecg_id, "another"]


def test_a_database_that_is_damaged_is_waited_for_like_one_that_is_away(
    sqlite_door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ecg_id = sqlite_door.upload(sqlite_door.user(), [1])
    damage(sqlite_door.engine, kept_bytes=4096)
    monkeypatch.setattr(tasks, "CLAIM_WITHIN_S", 0.1)
    monkeypatch.setattr(tasks, "ALL_WITHIN_S", 0.2)
    again: list[str] = []
    bring_to_their_end(sqlite_door.engine, [ecg_id], again)
    assert again == [ecg_id]
    [told] = told_by("worker.tasks", caplog.records)
    assert (told["event"], told["error"]) == ("the database is away", "DatabaseDamaged")


def test_samples_that_cannot_be_read_end_one_attempt_and_their_neighbours_finish(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = door.user()
    ecg_ids = [door.upload(ada, [n]) for n in range(3)]
    take = SampleStore.take

    def take_what_is_whole(self: SampleStore, claimed: claims.Claim) -> bytes:
        if claimed.ecg_id == ecg_ids[1]:
            raise DatabaseDamaged("A page is damaged.")
        return take(self, claimed)

    monkeypatch.setattr(SampleStore, "take", take_what_is_whole)
    door.work()
    assert [row(door.engine, ecg_id).status for ecg_id in ecg_ids] == [FINISHED, PENDING, FINISHED]
    told = told_by("worker.tasks", caplog.records)
    assert told
    assert [line for line in told if "exc_info" in line or "exception" in line] == []
    for _ in range(claims.MAX_ATTEMPTS - 1):
        analyse(door, [ecg_ids[1]])
    ended = row(door.engine, ecg_ids[1])
    assert (ended.status, ended.failure) == (FAILED, tasks.UNREADABLE)
