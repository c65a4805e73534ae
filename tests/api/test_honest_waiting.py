"""What is said of an ecg that waits, and of a house in which something is missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
import redis
from sqlalchemy import select, update

from api import polls
from shared import database
from shared.broker import Broker, Role
from shared.database import now_s, reading, transaction
from shared.jobs import LEASE_S
from shared.models import Batch, Ecg
from shared.settings import Settings
from tests.databases import another_database
from tests.door import Door
from tests.parts import free_port, wait_until
from worker import claims, endings


@pytest.fixture
def heartbeats(redis_url: str) -> Iterator[Broker]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield Broker(redis_url)
        client.flushall()


def waiting_for(door: Door, user: dict[str, str], ecg_id: str) -> tuple[object, object]:
    answer = door.get(f"/ecgs/{ecg_id}/insights", headers=user)
    assert answer.status_code == 202
    return answer.json["waiting_for"], answer.json["ahead"]


def test_without_a_worker_it_waits_for_one(door: Door, heartbeats: Broker) -> None:
    ada = door.user()
    assert waiting_for(door, ada, door.upload(ada, [1])) == ("worker", None)


def last_heard(redis_url: str, role: str, s_ago: float) -> None:
    """Let somebody in this role have been heard so long ago, and no more."""
    with redis.Redis.from_url(redis_url) as client:
        now = client.time()[0]
        client.zadd("isoline:heartbeats", {f"{role}:a name": now - s_ago})


def ask_anew(door: Door, redis_url: str, user: dict[str, str], ecg_id: str) -> object:
    """What it waits for, to somebody who does not remember who was heard a second ago."""
    door.app.extensions["isoline"] = replace(
        door.app.extensions["isoline"], broker=Broker(redis_url)
    )
    return waiting_for(door, user, ecg_id)[0]


@pytest.mark.parametrize("is_running", [False, True])
def test_a_worker_that_was_not_heard_for_ten_seconds_is_waited_for(
    door: Door, heartbeats: Broker, redis_url: str, is_running: bool
) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    if is_running:
        claims.claim(door.engine, [ecg_id], "a message")
    for s_ago, expected in ((7, None), (12, "worker")):
        last_heard(redis_url, "worker", s_ago)
        assert ask_anew(door, redis_url, ada, ecg_id) == expected


@pytest.mark.parametrize(("s_ago", "expected"), [(7, None), (12, "worker")])
def test_what_no_worker_came_for_in_ten_seconds_waits_for_one(
    door: Door, heartbeats: Broker, s_ago: float, expected: str | None
) -> None:
    heartbeats.beat("worker", "a name")
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    set_all(door, due_at_s=now_s() - s_ago)
    assert waiting_for(door, ada, ecg_id) == (expected, None)


@pytest.mark.parametrize(
    ("attempts", "batch", "holder"),
    [(1, False, "worker"), (2, True, "bulk"), (3, False, "quarantine"), (3, True, "quarantine")],
)
def test_what_is_worked_on_by_somebody_who_fell_silent_waits_for_a_worker(
    door: Door, heartbeats: Broker, redis_url: str, attempts: int, batch: bool, holder: str
) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    if batch:
        door.submit(ada, '{"leads": [{"name": "I", "signal": [1, -1]}]}')
        with reading(door.engine) as connection:
            ecg_id = connection.scalar(select(Ecg.id).where(Ecg.batch_id.is_not(None))) or ""
    set_all(door, attempts=attempts - 1)
    claims.claim(door.engine, [ecg_id], "a message")
    # A while ago, when they were all there.
    set_all(door, lease_until_s=Ecg.lease_until_s - 20)
    everybody: set[Role] = {"worker", "bulk", "quarantine"}
    for role in everybody:
        heartbeats.beat(role, "a name")
    assert ask_anew(door, redis_url, ada, ecg_id) is None
    # The others are still there.
    last_heard(redis_url, holder, 12)
    assert ask_anew(door, redis_url, ada, ecg_id) == "worker"
    # Back again, but its time is over: another one is to come.
    heartbeats.beat(cast(Role, holder), "a name")
    assert ask_anew(door, redis_url, ada, ecg_id) is None
    set_all(door, lease_until_s=now_s() - 1)
    assert ask_anew(door, redis_url, ada, ecg_id) == "worker"


def test_without_a_quarantine_workers_are_at_what_was_begun_twice(
    door: Door, heartbeats: Broker, redis_url: str
) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    set_all(door, attempts=2)
    # Before it was begun for the third time.
    last_heard(redis_url, "quarantine", 60)
    heartbeats.beat("worker", "a name")
    assert ask_anew(door, redis_url, ada, ecg_id) is None
    claims.claim(door.engine, [ecg_id], "a message")
    assert ask_anew(door, redis_url, ada, ecg_id) is None
    last_heard(redis_url, "worker", 12)
    assert ask_anew(door, redis_url, ada, ecg_id) == "worker"


def test_what_is_worked_on_goes_on_without_a_broker(settings: Settings, door: Door) -> None:
    nowhere = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    alone = Door(nowhere, door.engine)
    ada = alone.user()
    ecg_id = alone.upload(ada, [1])
    assert waiting_for(alone, ada, ecg_id) == ("worker", None)
    claims.claim(door.engine, [ecg_id], "a message")
    assert waiting_for(alone, ada, ecg_id) == (None, None)


def test_with_others_ahead_it_waits_for_them(door: Door, heartbeats: Broker) -> None:
    heartbeats.beat("worker", "a name")
    ada, bob = door.user("ada"), door.user("bob")
    first, second, third = (door.upload(who, [1]) for who in (bob, ada, ada))
    with transaction(door.engine) as connection:
        for s_ago, ecg_id in enumerate([third, second, first]):
            connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(due_at_s=now_s() - s_ago))
    assert waiting_for(door, ada, third) == ("queue", 2)
    assert waiting_for(door, ada, second) == ("queue", 1)
    # Nobody is ahead: it is about to be begun.
    assert waiting_for(door, bob, first) == (None, None)
    claims.claim(door.engine, [first], "a message")
    assert waiting_for(door, bob, first) == (None, None)
    assert waiting_for(door, ada, third) == ("queue", 1)


def test_what_no_worker_comes_for_waits_for_one_though_some_are_heard(
    door: Door, heartbeats: Broker
) -> None:
    for role in ("worker", "bulk", "relay"):
        heartbeats.beat(role, "a name")
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    assert waiting_for(door, ada, ecg_id) == (None, None)
    assert door.get("/health/ready").json["status"] == "ok"
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(due_at_s=now_s() - 70.0))
    assert waiting_for(door, ada, ecg_id) == ("worker", None)
    assert door.get("/health/ready").json["status"] == "degraded"
    claims.claim(door.engine, [ecg_id], "a message")
    assert waiting_for(door, ada, ecg_id) == (None, None)
    assert door.get("/health/ready").json["status"] == "ok"


def test_counting_stops_somewhere(
    door: Door, heartbeats: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "MOST_AHEAD", 3)
    heartbeats.beat("worker", "a name")
    ada = door.user()
    ecg_ids = [door.upload(ada, [1]) for _ in range(6)]
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).where(Ecg.id != ecg_ids[-1]).values(due_at_s=now_s() - 60.0))
    assert waiting_for(door, ada, ecg_ids[-1]) == ("queue", 3)


def test_readiness_names_everything_there_is(door: Door, heartbeats: Broker) -> None:
    for role in ("worker", "bulk", "relay"):
        heartbeats.beat(role, "one")
    answer = door.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json["status"] == "ok"
    assert answer.json["schema"]["revision"] == answer.json["schema"]["expected"]
    assert (answer.json["broker"], answer.json["database"]) == ("ok", "ok")
    assert (answer.json["workers_online"], answer.json["bulk_workers_online"]) == (1, 1)
    assert answer.json["relay"] == "ok"
    assert answer.json["relay_heard_s_ago"] < 10
    assert answer.json["oldest_due_s"] is None


@pytest.mark.parametrize("missing", ["worker", "bulk", "relay"])
def test_without_one_of_those_who_bring_them_insights_may_not_come(
    sqlite_door: Door, heartbeats: Broker, missing: Role
) -> None:
    roles: set[Role] = {"worker", "bulk", "relay"}
    for role in roles - {missing}:
        heartbeats.beat(role, "one")
    assert sqlite_door.get("/health/ready").json["status"] == "degraded"
    heartbeats.beat(missing, "one")
    wait_until(lambda: sqlite_door.get("/health/ready").json["status"] == "ok", what="for it")


def test_without_a_relay_insights_may_not_come(
    door: Door, redis_url: str, heartbeats: Broker
) -> None:
    heartbeats.beat("worker", "one")
    assert door.get("/health/ready").json["relay"] == "silent"
    assert door.get("/health/ready").json["status"] == "degraded"
    # Heard once, and then no more.
    heartbeats.beat("relay", "one")
    with redis.Redis.from_url(redis_url) as client:
        client.zincrby("isoline:heartbeats", -30, "relay:one")
    roll = Broker(redis_url).roll()
    assert roll is not None
    assert roll.online("relay") == 0
    assert roll.last_heard_s_ago("relay") == pytest.approx(30, abs=5)


def test_without_a_broker_uploads_are_safe(settings: Settings, door: Door) -> None:
    nowhere = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    answer = Door(nowhere, door.engine).get("/health/ready")
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["broker"]) == ("degraded", "unavailable")
    assert (answer.json["relay"], answer.json["relay_heard_s_ago"]) == ("unknown", None)


def test_the_age_of_the_oldest_due_row_is_told(door: Door, heartbeats: Broker) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(due_at_s=now_s() - 90.0))
    assert door.get("/health/ready").json["oldest_due_s"] == pytest.approx(90, abs=5)
    # What is to be tried again in a while does not wait yet.
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(due_at_s=now_s() + 90.0))
    assert door.get("/health/ready").json["oldest_due_s"] is None
    # Begun before, and nobody comes back to it; or nobody comes back from it.
    for state in (
        {"attempts": 1, "due_at_s": now_s() - 90.0},
        {"attempts": 1, "status": "running", "lease_until_s": now_s() - 90.0},
    ):
        with transaction(door.engine) as connection:
            connection.execute(update(Ecg).values(**state))
        assert door.get("/health/ready").json["oldest_due_s"] == pytest.approx(90, abs=5)
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(lease_until_s=now_s() + 90.0))
    assert door.get("/health/ready").json["oldest_due_s"] is None
    door.delete(f"/ecgs/{ecg_id}", headers=ada)


def set_all(door: Door, **values: object) -> None:
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(**values))


def test_what_nobody_computes_anew_is_told(door: Door, heartbeats: Broker) -> None:
    for role in ("worker", "bulk", "relay"):
        heartbeats.beat(role, "a name")

    def idle() -> tuple[str, object]:
        ready = door.get("/health/ready").json
        return ready["status"], ready["redo_idle_s"]

    ada = door.user()
    ecg_ids = [door.upload(ada, [1]) for _ in range(2)]
    door.work()
    assert idle() == ("ok", None)
    # Just asked for; and rung for a moment ago, as long as there are many of them.
    set_all(door, redo_after=Ecg.attempts, due_at_s=now_s(), rung_at_s=0.0)
    assert idle() == ("ok", pytest.approx(0, abs=5))
    set_all(door, due_at_s=now_s() - 7200, rung_at_s=now_s() - 100)
    assert idle() == ("ok", pytest.approx(100, abs=5))
    for nobody_comes in (
        {"rung_at_s": now_s() - 400},
        {"rung_at_s": 0.0, "due_at_s": now_s() - 400},
        # Begun before, and rung for again and again.
        {"attempts": Ecg.attempts + 1, "due_at_s": now_s() - 400, "rung_at_s": now_s()},
    ):
        set_all(door, **nobody_comes)
        assert idle() == ("degraded", pytest.approx(400, abs=5))
    # Somebody is at one of them.
    with transaction(door.engine) as connection:
        one = update(Ecg).where(Ecg.id == ecg_ids[0])
        connection.execute(one.values(lease_until_s=now_s() + 60))
    assert idle() == ("ok", 0)


def test_a_database_without_tables_is_not_fit(settings: Settings, postgresql_url: str) -> None:
    engine = database.connect(another_database(postgresql_url, "bare"))
    answer = Door(settings, engine).get("/health/ready")
    assert (answer.status_code, answer.json["status"]) == (503, "unavailable")
    assert answer.json["schema"]["revision"] is None
    engine.dispose()


def test_all_times_are_the_databases_though_the_clocks_of_others_are_an_hour_off(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_s = time.time
    monkeypatch.setattr(time, "time", lambda: real_s() + 3600.0)
    ada = door.user()
    door.upload(ada, [1])
    assert door.submit(ada, '{"leads": [{"name": "I", "signal": [1, -1]}]}').status_code == 202
    failed, finished = claims.claim(door.engine, [*door.rung], "a message").claims
    leases = select(Ecg.lease_until_s - now_s())
    with reading(door.engine) as connection:
        left_s = connection.scalars(leases).all()
    assert len(left_s) == 2
    assert all(left == pytest.approx(LEASE_S, abs=60) for left in left_s)
    endings.finish(door.engine, [(finished, b"{}")])
    endings.fail(door.engine, failed, "a reason")
    again = door.upload(ada, [1])
    [claimed] = claims.claim(door.engine, [again], "another").claims
    endings.give_back(door.engine, claimed, "a reason")
    with reading(door.engine) as connection:
        now = connection.scalar(select(now_s())) or 0.0
        rows = [
            row
            for table in (Ecg.__table__, Batch.__table__)
            for row in connection.execute(select(table)).mappings()
        ]
    times = {
        (row["id"], name): value
        for row in rows
        for name, value in row.items()
        if name.endswith("_at_s") and value
    }
    assert {name for _, name in times} >= {
        "received_at_s",
        "created_at_s",
        "due_at_s",
        "rung_at_s",
        "finished_at_s",
    }
    assert len({of for of, _ in times}) == 4
    # What was given back is due in some seconds.
    assert all(-60 < now - at_s < 60 for at_s in times.values()), times
