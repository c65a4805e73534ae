"""The relay: it rings for what was lost, floods nobody, and sees to what somebody must."""

from __future__ import annotations

import json
import logging
import resource
import sqlite3
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import redis
from sqlalchemy import Engine, func, insert, select, update

from shared import database, sqlite_log
from shared.broker import Broker
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable
from shared.jobs import (
    BULK,
    INTERACTIVE,
    QUARANTINE,
    SAMPLES_A_LEAD,
    WEIGHT_PER_MESSAGE,
    celery_app,
    enqueue,
)
from shared.models import FAILED, FINISHED, PENDING, RUNNING, Batch, Ecg, InsightDefinition, User
from shared.states import IS_PENDING
from shared.turns import LATE_AFTER_S
from tests.databases import another_database, damage
from tests.door import Door
from tests.parts import free_port, told_by
from worker import endings, relay
from worker.claims import MAX_ATTEMPTS, claim
from worker.insights import catalogue
from worker.relay import ROUNDS_AN_EMPTYING, Relay
from worker.ringing import LOST_AFTER_S, give_turn, presumed_lost_after_s, ring_again


def add_waiting(engine: Engine, number: int, *, rung_s_ago: float = 0.0) -> None:
    with transaction(engine) as connection:
        if not connection.scalar(select(func.count()).select_from(User)):
            row = {"username": "ada", "token_sha256": b"a", "created_at_s": 0}
            connection.execute(insert(User).values(id=1, **row))
        there = connection.scalar(select(func.count()).select_from(Ecg)) or 0
        now = connection.scalar(select(now_s()))
        assert now is not None
        rows = [
            {
                "id": f"{there + n:036}",
                "user_id": 1,
                "created_at_s": 0.0,
                "recorded_at_s": 0.0,
                "baseline": 0.0,
                "leads": "[]",
                "number_of_leads": 0,
                "request_id": "",
                "status": PENDING,
                "attempts": 0,
                "rung_at_s": now - rung_s_ago,
            }
            for n in range(number)
        ]
        if rows:
            connection.execute(insert(Ecg), rows)


def test_an_empty_queue_has_lost_what_was_rung_a_moment_ago(engine: Engine) -> None:
    assert presumed_lost_after_s(engine, IS_PENDING, 0, is_another=False) == LOST_AFTER_S
    assert presumed_lost_after_s(engine, IS_PENDING, 9, is_another=True) == LOST_AFTER_S


def test_while_there_is_a_queue_a_bell_is_given_time(engine: Engine) -> None:
    add_waiting(engine, 10)
    assert presumed_lost_after_s(engine, IS_PENDING, 9, is_another=False) == LATE_AFTER_S


def test_there_are_never_more_bells_than_rows_that_wait(engine: Engine) -> None:
    add_waiting(engine, 10)
    assert presumed_lost_after_s(engine, IS_PENDING, 10, is_another=False) is None
    assert presumed_lost_after_s(engine, IS_PENDING, 11, is_another=False) is None


def test_without_a_worker_the_queue_does_not_grow(
    engine: Engine, redis_url: str, broker: redis.Redis
) -> None:
    add_waiting(engine, 100, rung_s_ago=3600)
    rounds = Relay(engine, Broker(redis_url), celery_app(redis_url))
    for _ in range(50):
        rounds.go_round()
        # An hour goes by between two rounds, and nobody comes to work.
        with transaction(engine) as connection:
            connection.execute(update(Ecg).values(rung_at_s=now_s() - 3600))
    assert 100 // 8 <= broker.llen(INTERACTIVE) <= 2 * 100


def test_a_broker_that_came_back_empty_is_rung_at_once(
    engine: Engine, redis_url: str, broker: redis.Redis
) -> None:
    rounds = Relay(engine, Broker(redis_url), celery_app(redis_url))
    add_waiting(engine, 20, rung_s_ago=LOST_AFTER_S + 1)
    rounds.go_round()
    assert broker.llen(INTERACTIVE) > 0
    broker.flushall()
    with transaction(engine) as connection:
        connection.execute(update(Ecg).values(rung_at_s=now_s() - LOST_AFTER_S - 1))
    rounds.go_round()
    assert broker.llen(INTERACTIVE) > 0


def add(engine: Engine, prefix: str, number: int, **values: object) -> list[str]:
    """Write rows of one kind; return their ids."""
    ecg_ids = [f"{prefix}-{n:030}" for n in range(number)]
    row = {
        "user_id": 1,
        "created_at_s": 0.0,
        "recorded_at_s": 0.0,
        "baseline": 0.0,
        "leads": "[]",
        "number_of_leads": 0,
        "request_id": "",
        "status": PENDING,
        "attempts": 0,
        "rung_at_s": 1.0,
        **values,
    }
    with transaction(engine) as connection:
        connection.execute(insert(Ecg), [{"id": ecg_id, **row} for ecg_id in ecg_ids])
        if "batch_id" in values:
            for line, ecg_id in enumerate(ecg_ids, start=1):
                connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(line=line))
    return ecg_ids


def add_batch(engine: Engine, batch_id: str, total: int) -> None:
    """Write a batch that has come whole, and of which no line has ended."""
    counts = {"total": total, "last_number": total, "rejected": 0, "finished": 0, "failed": 0}
    times = {"created_at_s": 0.0, "received_at_s": 1.0}
    with transaction(engine) as connection:
        connection.execute(
            insert(Batch).values(id=batch_id, user_id=1, reception=1, **counts, **times)
        )


def messages_of(broker: redis.Redis, name: str) -> list[list[str]]:
    """What each message of a queue names, in the order in which they are taken."""
    found = []
    for message in reversed(cast(list[bytes], broker.lrange(name, 0, -1))):
        [[ecg_ids], _, _] = json.loads(b64decode(json.loads(message)["body"]))
        found.append(ecg_ids)
    return found


def named(broker: redis.Redis, name: str) -> Counter[str]:
    """How often each ecg is named by the messages of a queue."""
    return Counter(ecg_id for ecg_ids in messages_of(broker, name) for ecg_id in ecg_ids)


def test_two_relays_that_go_round_at_the_same_time_are_harmless(
    engine: Engine,
    redis_url: str,
    broker: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is taken back is due at once, so that it is rung for while both still go round.
    monkeypatch.setattr(endings, "FIRST_PAUSE_S", 0.0)
    add_waiting(engine, 1, rung_s_ago=3600)
    lapsed = {"status": RUNNING, "lease_until_s": 1.0, "held_by": "a message"}
    add_batch(engine, "lines", 120)
    add_batch(engine, "last", 40)
    lost = add(engine, "lost", 150)
    once = add(engine, "once", 100, attempts=1, **lapsed)
    thrice = add(engine, "three", 20, attempts=3, **lapsed)
    last = add(engine, "last", 40, attempts=MAX_ATTEMPTS, batch_id="last", **lapsed)
    lines = add(engine, "lines", 120, batch_id="lines")
    relays = [Relay(engine, Broker(redis_url), celery_app(redis_url)) for _ in range(2)]
    at_once = threading.Barrier(2)

    def go_round(one: Relay) -> None:
        for _ in range(4):
            at_once.wait(30)
            one.go_round()

    with ThreadPoolExecutor(2) as pool:
        for going in [pool.submit(go_round, one) for one in relays]:
            going.result()
    # Neither had to give up a round, nor anything else to complain of.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with reading(engine) as connection:
        rows = connection.execute(select(Ecg.id, Ecg.status, Ecg.attempts, Ecg.rung_at_s)).all()
        found = {row.id: row for row in rows}
        batches = connection.execute(select(Batch.id, Batch.failed)).all()
        failed = {batch.id: batch.failed for batch in batches}
    for ecg_ids, status, attempts in (
        (lost, PENDING, 0),
        (once, PENDING, 1),
        (thrice, PENDING, 3),
        (last, FAILED, MAX_ATTEMPTS),
        (lines, PENDING, 0),
    ):
        assert {(found[i].status, found[i].attempts) for i in ecg_ids} == {(status, attempts)}
    # Each end is counted once, whoever swept it.
    assert failed == {"lines": 0, "last": len(last)}
    # Of those that wait everybody is rung for, and by each relay once at the most; of the lines of
    # a batch no more than may stand in the queue.
    rung, rung_in_bulk = named(broker, INTERACTIVE), named(broker, BULK)
    assert set(lost + once + thrice) <= set(rung)
    assert max(rung.values()) <= 2
    assert set(rung_in_bulk) == set(lines)
    assert max(rung_in_bulk.values()) == 1
    assert not broker.llen(QUARANTINE)


@pytest.mark.parametrize(
    "much",
    [
        {"number_of_samples": WEIGHT_PER_MESSAGE // 2 + 1},
        {"number_of_leads": WEIGHT_PER_MESSAGE // SAMPLES_A_LEAD // 2 + 1},
    ],
    ids=["long", "many leads"],
)
def test_a_small_batch_stands_behind_three_messages_of_large_recordings(
    engine: Engine, redis_url: str, broker: redis.Redis, much: dict[str, int]
) -> None:
    add_waiting(engine, 0)
    bob = {"id": 2, "username": "bob", "token_sha256": b"b", "created_at_s": 0}
    with transaction(engine) as connection:
        connection.execute(insert(User).values(**bob))
    large = add(engine, "large", 100, batch_id="large", **much)
    app = celery_app(redis_url)
    while give_turn(engine, 1, partial(enqueue, app, queue=BULK)):
        pass
    # Whose first bell was lost.
    small = add(engine, "small", 5, batch_id="small", number_of_samples=5_000, user_id=2)
    Relay(engine, Broker(redis_url), app).go_round()
    assert messages_of(broker, BULK) == [large[:2], large[2:4], large[4:6], small]


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "kept by nobody"])
def test_from_the_third_attempt_on_it_is_rung_for_in_quarantine(
    engine: Engine, redis_url: str, broker: redis.Redis, is_kept: bool
) -> None:
    roll = Broker(redis_url)
    if is_kept:
        roll.beat("quarantine", "somebody")
    add_waiting(engine, 1)
    made = range(1, MAX_ATTEMPTS)
    retried = {n: add(engine, f"try-{n}", 1, attempts=n) for n in made}
    done = {"status": FINISHED, "redo_after": 1}
    redone = {n: add(engine, f"redo{n}", 1, attempts=1 + n, **done) for n in made}
    Relay(engine, roll, celery_app(redis_url)).go_round()
    second, third = retried[1], [ecg_id for n in made if n >= 2 for ecg_id in retried[n]]
    third_of_redone = [ecg_id for n in made if n >= 2 for ecg_id in redone[n]]
    in_quarantine, among_others = set(named(broker, QUARANTINE)), set(named(broker, INTERACTIVE))
    alone = {*third, *third_of_redone}
    assert in_quarantine == (alone if is_kept else set())
    # Where nobody keeps the quarantine, somebody works on it all the same.
    assert alone.isdisjoint(among_others) == is_kept
    assert set(second) <= among_others
    assert set(named(broker, BULK)) == set(redone[1])


def published(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return sorted(connection.scalars(select(InsightDefinition.name)))


def test_the_catalogue_is_published_however_late_the_database_comes(
    redis_url: str, postgresql_url: str
) -> None:
    # Empty at first: no tables yet.
    engine = database.connect(another_database(postgresql_url, "late"))
    rounds = Relay(engine, Broker(redis_url), celery_app(redis_url))
    rounds.go_round()
    from shared.migrations import schema

    schema.upgrade(engine)
    rounds.go_round()
    assert published(engine) == [entry["name"] for entry in catalogue()]
    engine.dispose()


def test_two_relays_publish_the_catalogue_at_the_same_moment(engine: Engine) -> None:
    for _ in range(10):
        at_once = threading.Barrier(2)
        errors: list[BaseException] = []

        def publish(at_once: threading.Barrier, errors: list[BaseException]) -> None:
            at_once.wait()
            try:
                relay.publish_catalogue(engine)
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=publish, args=(at_once, errors)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert published(engine) == [entry["name"] for entry in catalogue()]


def test_what_is_gone_from_the_bench_is_gone_from_the_catalogue(engine: Engine) -> None:
    with transaction(engine) as connection:
        old = {"name": "of yore", "version": 1, "unit": "", "definition": ""}
        connection.execute(insert(InsightDefinition), old)
    relay.publish_catalogue(engine)
    assert "of yore" not in published(engine)


def test_a_relay_without_a_broker_still_takes_back_and_publishes(engine: Engine) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    Relay(engine, Broker(nowhere), celery_app(nowhere)).go_round()
    assert published(engine)


def test_that_it_waits_is_told_when_it_begins_ever_more_seldom_and_when_it_is_over(
    engine: Engine, redis_url: str, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    going_round = Relay(engine, Broker(nowhere), celery_app(nowhere))
    for _ in range(300):
        going_round.go_round()
        # A second goes by.
        going_round._waits_since_s -= 1
    going_round._broker = Broker(redis_url)
    going_round.go_round()
    lines = told_by("worker.relay", caplog.records)
    told = [(line["event"], line.get("for_s", line.get("after_s"))) for line in lines]
    *waits, over = [line for line in told if line[0].startswith("relay waits")]
    assert waits[0] == ("relay waits", 0)
    assert 3 <= len(waits) <= 5
    assert over[0] == "relay waits no more"
    assert over[1] is not None
    assert over[1] >= 300


@pytest.mark.parametrize("kept_bytes", [0, 4096], ids=["all of it", "all but the first page"])
def test_a_relay_waits_for_a_database_that_is_damaged(
    sqlite_engine: Engine, redis_url: str, kept_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    damage(sqlite_engine, kept_bytes=kept_bytes)
    going_round = Relay(sqlite_engine, Broker(redis_url), celery_app(redis_url))
    for _ in range(3):
        going_round.go_round()
    [told] = told_by("worker.relay", caplog.records)
    assert (told["event"], told["error"]) == ("relay waits", "DatabaseDamaged")


def test_what_was_erased_leaves_the_files_of_the_database(
    sqlite_door: Door, redis_url: str
) -> None:
    door = sqlite_door
    ada = door.user("canary-username")
    leads = [{"name": "canary-lead", "signal": [1, -1]}]
    body = {"unit": "canary-unit", "leads": leads}
    ecg_id = door.post("/ecgs", json=body, headers=ada).json["id"]
    door.work()
    path = Path(door.engine.url.database or "")

    def everything() -> bytes:
        return path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()

    assert b"canary-lead" in everything()
    door.delete(f"/ecgs/{ecg_id}", headers=ada)
    Relay(door.engine, Broker(redis_url), celery_app(redis_url)).go_round()
    for canary in (b"canary-lead", b"canary-unit", ecg_id.encode()):
        assert canary not in everything()


def test_what_was_erased_while_somebody_read_leaves_the_files_once_they_are_done(
    sqlite_door: Door, redis_url: str
) -> None:
    door = sqlite_door
    ada = door.user("ada")
    path = Path(door.engine.url.database or "")
    going_round = Relay(door.engine, Broker(redis_url), celery_app(redis_url))
    leads = [{"name": "canary-lead", "signal": [1, -1]}]
    ecg_id = door.post("/ecgs", json={"leads": leads}, headers=ada).json["id"]
    door.work()

    def go_till_it_is_emptied() -> bytes:
        for _ in range(ROUNDS_AN_EMPTYING):
            going_round.go_round()
        return path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()

    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        seen = somebody.execute("SELECT id, leads FROM ecgs").fetchall()
        door.delete(f"/ecgs/{ecg_id}", headers=ada)
        # They still see what they began with: it has to be somewhere.
        assert b"canary-lead" in go_till_it_is_emptied()
        assert somebody.execute("SELECT id, leads FROM ecgs").fetchall() == seen
    left = go_till_it_is_emptied()
    for canary in (b"canary-lead", ecg_id.encode()):
        assert canary not in left


def test_a_log_that_leaves_no_room_on_the_disk_is_brought_home_before_anything_is_written(
    sqlite_engine: Engine, broker: redis.Redis, redis_url: str
) -> None:
    file = Path(sqlite_engine.url.database or "")
    log = file.with_name(file.name + "-wal")
    add_waiting(sqlite_engine, 3)
    sqlite_log.empty(sqlite_engine)
    # The last of them is what the relay has to write about.
    while log.stat().st_size <= file.stat().st_size:
        with transaction(sqlite_engine) as connection:
            lapsed = {"status": RUNNING, "attempts": 1, "lease_until_s": now_s() - 1}
            connection.execute(update(Ecg).values(**lapsed))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))
    try:
        Relay(sqlite_engine, Broker(redis_url), celery_app(redis_url)).go_round()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with reading(sqlite_engine) as connection:
        assert set(connection.scalars(select(Ecg.status))) == {PENDING}


def test_what_a_full_disk_lets_nobody_stamp_is_not_rung_for_round_after_round(
    sqlite_engine: Engine, broker: redis.Redis, redis_url: str
) -> None:
    going_round = Relay(sqlite_engine, Broker(redis_url), celery_app(redis_url))
    going_round.go_round()
    add_waiting(sqlite_engine, 0)
    add(sqlite_engine, "tried", 3, attempts=1, rung_at_s=0.0)
    sqlite_log.empty(sqlite_engine)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Not a single page of the log.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        for _ in range(10):
            going_round.go_round()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert broker.llen(INTERACTIVE) == 1
    for _ in range(2):
        going_round.go_round()
    # Each of them once, the first one too.
    assert sorted(named(broker, INTERACTIVE).values()) == [1, 1, 1]


def test_the_relay_brings_the_log_of_the_database_home_each_time(
    sqlite_door: Door, redis_url: str
) -> None:
    door = sqlite_door
    path = Path(door.engine.url.database or "")
    ada = door.user("ada")
    going_round = Relay(door.engine, Broker(redis_url), celery_app(redis_url))
    for number in range(ROUNDS_AN_EMPTYING + 1):
        unit = f"unit-{number}".encode()
        door.post("/ecgs", json={"unit": unit.decode(), "leads": []}, headers=ada)
        assert unit not in path.read_bytes()
        going_round.go_round()
        assert unit in path.read_bytes()


@pytest.mark.parametrize(("busy_pages", "rounds"), [(0, 30), (10**6, 5)])
def test_a_log_that_grows_quickly_is_emptied_more_seldom_and_never_grows_long(
    sqlite_door: Door,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    busy_pages: int,
    rounds: int,
) -> None:
    monkeypatch.setattr("worker.relay.BUSY_PAGES", busy_pages)
    door = sqlite_door
    path = Path(door.engine.url.database or "")
    log = path.with_name(path.name + "-wal")
    ada = door.user("ada")
    going_round = Relay(door.engine, Broker(redis_url), celery_app(redis_url))
    sizes = []
    for _ in range(rounds + 1):
        door.post("/ecgs", json={"leads": []}, headers=ada)
        going_round.go_round()
        sizes.append(log.stat().st_size)
    # The first round writes down which insights there are, after it has emptied the log.
    assert [size == 0 for size in sizes[1:]] == [*[False] * (rounds - 1), True]
    # What a round brings is written where that of the round before was.
    assert max(sizes[2:]) == sizes[2]


def test_after_the_clock_was_set_back_nobody_waits_for_an_hour_that_is_over(
    engine: Engine, broker: redis.Redis, redis_url: str
) -> None:
    going_round = Relay(engine, Broker(redis_url), celery_app(redis_url))
    add_waiting(engine, 3)
    going_round.go_round()
    with transaction(engine) as connection:
        ahead = {"due_at_s": now_s() + 3600.0, "rung_at_s": now_s() + 3600.0}
        connection.execute(update(Ecg).values(**ahead))
    going_round.go_round()
    assert not broker.llen(INTERACTIVE)
    # What was an hour later a moment ago.
    going_round._known_s += 3600.0
    going_round.go_round()
    with reading(engine) as connection:
        due = connection.scalars(select(Ecg.id).where(Ecg.due_at_s <= now_s())).all()
    assert len(due) == 3
    assert broker.llen(INTERACTIVE) == 1


def test_a_clock_that_could_not_be_heeded_is_heeded_the_next_time(
    engine: Engine, broker: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_round = Relay(engine, Broker(redis_url), celery_app(redis_url))
    add_waiting(engine, 2)
    going_round.go_round()
    with transaction(engine) as connection:
        connection.execute(
            update(Ecg).values(due_at_s=now_s() + 3600.0, rung_at_s=now_s() + 3600.0)
        )
    going_round._known_s += 3600.0

    def locked(engine: Engine) -> int:
        raise DatabaseUnavailable("The database is locked.")

    with monkeypatch.context() as now:
        now.setattr(relay, "heed_the_clock", locked)
        going_round.go_round()
    assert not broker.llen(INTERACTIVE)
    going_round.go_round()
    assert broker.llen(INTERACTIVE) == 1


def test_a_bell_among_the_messages_of_others_is_presumed_lost_sometime(engine: Engine) -> None:
    add_waiting(engine, 1, rung_s_ago=3600)
    for is_eaten, expected in ((False, None), (True, LATE_AFTER_S)):
        found = presumed_lost_after_s(engine, IS_PENDING, 3, is_another=False, is_eaten=is_eaten)
        assert found == expected


@pytest.mark.parametrize("is_worker_there", [True, False])
def test_what_is_retried_is_rung_for_though_the_queue_is_never_empty(
    engine: Engine, redis_url: str, broker: redis.Redis, is_worker_there: bool
) -> None:
    add_waiting(engine, 1, rung_s_ago=3600)
    with transaction(engine) as connection:
        connection.execute(update(Ecg).values(attempts=1, due_at_s=now_s() - 3600))
    if is_worker_there:
        Broker(redis_url).beat("worker", "a name")
    app = celery_app(redis_url)
    rounds = Relay(engine, Broker(redis_url), app)
    # To begin with it takes the broker for another one, and rings for all.
    rounds.go_round()
    broker.delete(INTERACTIVE)
    for number in range(5):
        enqueue(app, [f"of another {number}"])
    with transaction(engine) as connection:
        connection.execute(update(Ecg).values(rung_at_s=now_s() - 3600))
    rounds.go_round()
    assert broker.llen(INTERACTIVE) == 5 + is_worker_there


def test_what_a_worker_has_given_back_before_the_stamp_is_rung_for_when_it_is_due(
    engine: Engine,
) -> None:
    add_waiting(engine, 1, rung_s_ago=3600)

    def be_quicker(ecg_ids: Sequence[str]) -> None:
        [claimed] = claim(engine, ecg_ids, "a message").claims
        endings.give_back(engine, claimed, "no")

    ring_again(engine, IS_PENDING, be_quicker, 16, LOST_AFTER_S, [])
    with reading(engine) as connection:
        assert connection.scalar(select(Ecg.rung_at_s)) == 0.0
