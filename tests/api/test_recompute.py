"""What is out of date is counted, asked for and replaced; until then it is answered as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from api import recompute
from shared.database import now_s, reading, transaction
from shared.models import AuditEntry, Catalogue, Ecg, Insights, Signal
from shared.turns import REDO, take_turn
from tests.door import Door, bring_to_their_end
from tests.parts import ADMIN
from worker import endings, relay, tasks
from worker.insights import find_insights, find_steps, zero_crossings


def forget() -> None:
    for cached in (find_insights, find_steps, endings.our_fingerprint):
        cached.cache_clear()


@pytest.fixture
def raise_version(door: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Raise the version of `zero_crossings`, here and in the catalogue, as a new release would."""

    def raised() -> None:
        monkeypatch.setattr(zero_crossings, "VERSION", zero_crossings.VERSION + 1)
        forget()
        relay.publish_catalogue(door.engine)

    relay.publish_catalogue(door.engine)
    yield raised
    monkeypatch.undo()
    forget()


@pytest.fixture
def ada(door: Door) -> dict[str, str]:
    return door.user()


def finished(door: Door, ada: dict[str, str], number: int = 3) -> list[str]:
    ecg_ids = [door.upload(ada, [1, -1] * (n + 1)) for n in range(number)]
    door.work()
    return ecg_ids


def state(door: Door, query: str = "") -> dict[str, int]:
    answer = door.get(f"/recompute{query}", headers=ADMIN)
    found: dict[str, int] = json.loads(answer.data)
    return found


def ask(door: Door, query: str = "") -> dict[str, int]:
    answer = door.post(f"/recompute{query}", headers=ADMIN)
    assert answer.status_code == 202
    found: dict[str, int] = json.loads(answer.data)
    return found


def redo(door: Door, ecg_ids: list[str] | None = None) -> list[str]:
    """Do what is to be done again, as workers for batches would that are handed its messages."""
    with transaction(door.engine) as connection:
        ecg_ids = ecg_ids or take_turn(connection, REDO)
        connection.execute(update(Ecg).values(due_at_s=0.0))
    bring_to_their_end(door.engine, ecg_ids, door.rung)
    return ecg_ids


def poll(door: Door, ada: dict[str, str], ecg_id: str) -> tuple[str, dict[str, Any]]:
    answer = door.get(f"/ecgs/{ecg_id}/insights", headers=ada)
    assert (answer.status_code, answer.json["status"]) == (200, "finished")
    return answer.headers["ETag"], json.loads(answer.data)


def version_of(document: dict[str, Any]) -> int:
    return int(document["leads"][0]["insights"]["zero_crossings"]["version"])


def test_what_is_as_it_should_be_is_left_alone(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    finished(door, ada)
    assert state(door) == {"stale": 0, "waiting": 0, "failed": 0}
    assert ask(door) == {"queued": 0, "stale": 0, "waiting": 0, "failed": 0}
    assert redo(door) == []


def test_a_raised_version_is_counted_asked_for_and_replaced(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    ecg_ids = finished(door, ada)
    door.upload(ada, [1])
    before = {ecg_id: poll(door, ada, ecg_id) for ecg_id in ecg_ids}
    listed = door.get("/ecgs", headers=ada).json

    raise_version()

    assert state(door) == {"stale": 3, "waiting": 0, "failed": 0}
    assert ask(door) == {"queued": 3, "stale": 0, "waiting": 3, "failed": 0}
    # Once is enough, and whoever polls or lists meanwhile finds what there was.
    assert ask(door)["queued"] == 0
    assert {ecg_id: poll(door, ada, ecg_id) for ecg_id in ecg_ids} == before
    assert door.get("/ecgs", headers=ada).json == listed
    assert sorted(redo(door)) == sorted(ecg_ids)
    assert state(door) == {"stale": 0, "waiting": 0, "failed": 0}
    for ecg_id in ecg_ids:
        etag, document = poll(door, ada, ecg_id)
        assert version_of(document) == version_of(before[ecg_id][1]) + 1
        assert etag != before[ecg_id][0]


def test_only_what_is_out_of_date_in_one_insight(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    finished(door, ada)
    raise_version()
    assert state(door, "?insight=amplitude")["stale"] == 0
    # Counting, over HTTP as by `--dry-run`, asks for nothing.
    for _ in range(2):
        stale = state(door, "?insight=zero_crossings")
        assert stale == {"stale": 3, "waiting": 0, "failed": 0}
    assert ask(door, "?insight=amplitude")["queued"] == 0
    assert ask(door, "?insight=zero_crossings")["queued"] == 3


def test_finished_is_when_what_is_answered_was_finished(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    def finished_at(ecg_id: str) -> str:
        return str(door.get(f"/ecgs/{ecg_id}", headers=ada).json["finished_at"])

    done, damaged = finished(door, ada, 2)
    before = {ecg_id: finished_at(ecg_id) for ecg_id in (done, damaged)}
    raise_version()
    ask(door)
    with transaction(door.engine) as connection:
        broken = update(Signal).where(Signal.ecg_id == damaged).values(encoded=b"damaged")
        connection.execute(broken)
    assert {ecg_id: finished_at(ecg_id) for ecg_id in before} == before
    redo(door)
    # The same one keeps its time with its document.
    assert finished_at(damaged) == before[damaged]
    assert finished_at(done) > before[done]


def test_what_is_from_before_there_were_catalogues_is_out_of_date_in_all(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    finished(door, ada)
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(catalogue=""))
    assert state(door)["stale"] == state(door, "?insight=amplitude")["stale"] == 3


def test_an_insight_that_is_new_is_lacking_everywhere(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    finished(door, ada)
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(catalogue="before"))
        older = {"fingerprint": "before", "versions": '{"zero_crossings": 1}'}
        connection.execute(insert(Catalogue), older)
    assert state(door, "?insight=zero_crossings")["stale"] == 0
    assert state(door, "?insight=beats")["stale"] == state(door)["stale"] == 3


def test_what_cannot_be_done_again_keeps_what_it_has_and_is_not_tried_for_ever(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    [damaged] = finished(door, ada, 1)
    before = poll(door, ada, damaged)
    raise_version()
    ask(door)
    with transaction(door.engine) as connection:
        connection.execute(update(Signal).values(encoded=b"damaged"))
    redo(door)
    assert poll(door, ada, damaged) == before
    assert state(door) == {"stale": 0, "waiting": 0, "failed": 1}
    assert ask(door)["queued"] == 0
    # A new release may know better.
    raise_version()
    assert ask(door) == {"queued": 1, "stale": 0, "waiting": 1, "failed": 0}


def test_a_fault_of_ours_is_tried_five_times_and_costs_nobody_a_document(
    door: Door,
    ada: dict[str, str],
    raise_version: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explode(*_: object) -> bytes:
        raise MemoryError

    [ecg_id] = finished(door, ada, 1)
    before = poll(door, ada, ecg_id)
    raise_version()
    ask(door)
    monkeypatch.setattr(tasks, "compute", explode)
    for _ in range(5):
        assert state(door)["waiting"] == 1
        redo(door, [ecg_id])
    assert state(door) == {"stale": 0, "waiting": 0, "failed": 1}
    assert poll(door, ada, ecg_id) == before


def test_a_batch_counts_and_gives_its_lines_as_before(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    lines = ['{"leads": [{"name": "I", "signal": [1, -1]}]}'] * 5
    batch_id = door.submit(ada, *lines).json["id"]
    while door.rung:
        door.work()
    before = door.get(f"/batches/{batch_id}", headers=ada).json
    assert before["counts"]["finished"] == 5
    raise_version()
    assert ask(door)["queued"] == 5
    # Cancelled or not: what has finished is asked for again like any other.
    door.post(f"/batches/{batch_id}/cancel", headers=ada)
    assert len(door.get(f"/batches/{batch_id}/insights", headers=ada).data.splitlines()) == 5
    redo(door)
    assert state(door)["waiting"] == 0
    assert door.get(f"/batches/{batch_id}", headers=ada).json == before
    table = door.get(f"/batches/{batch_id}/insights?format=csv", headers=ada).text.splitlines()
    column = table[0].split(",").index("zero_crossings_version")
    assert {row.split(",")[column] for row in table[1:]} == {str(zero_crossings.VERSION)}


def test_what_is_erased_meanwhile_is_gone(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    first, second = finished(door, ada, 2)
    raise_version()
    ask(door)
    door.delete(f"/ecgs/{first}", headers=ada)
    assert redo(door) == [second]
    with reading(door.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(Insights)) == 1


def test_it_takes_turns_with_batches_and_no_more_messages_than_a_user(
    door: Door, ada: dict[str, str], raise_version: Callable[[], None]
) -> None:
    [ecg_id] = finished(door, ada, 1)
    with reading(door.engine) as connection:
        row = connection.execute(select(Ecg.__table__).where(Ecg.id == ecg_id)).mappings().one()
    many = [{**row, "id": f"{n:036}", "catalogue": ""} for n in range(500)]
    with transaction(door.engine) as connection:
        connection.execute(insert(Ecg), many)
    assert ask(door)["queued"] == 500
    turns = []
    with transaction(door.engine) as connection:
        while turn := take_turn(connection, REDO):
            turns.append(len(turn))
    assert turns == [64, 64, 64]
    # Bells that were lost are rung again.
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(rung_at_s=now_s() - 100))
        assert len(take_turn(connection, REDO)) == 64


def test_a_request_asks_for_no_more_than_it_may(
    door: Door,
    ada: dict[str, str],
    raise_version: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished(door, ada, 5)
    raise_version()
    monkeypatch.setattr(recompute, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "LONGEST_S", -1.0)
    left = [ask(door)["stale"] for _ in range(4)]
    assert left == [3, 1, 0, 0]
    with reading(door.engine) as connection:
        acts = connection.execute(
            select(AuditEntry.act, AuditEntry.username).where(AuditEntry.act == "recompute")
        ).all()
    # Nothing done is nothing to write down.
    assert list(map(tuple, acts)) == [("recompute", "*")] * 3


@pytest.mark.parametrize("name", ["nothing", "beats ", "BEATS", "%00", ""])
def test_what_is_no_insight_is_refused(
    door: Door, raise_version: Callable[[], None], name: str
) -> None:
    for method in ("GET", "POST"):
        answer = door.ask(method, f"/recompute?insight={name}", headers=ADMIN)
        assert answer.status_code == 422
        assert answer.json["errors"] == [
            {"pointer": "/query/insight", "detail": "is not the name of an insight"}
        ]
