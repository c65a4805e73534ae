"""Broker and database fall away under the processes of production, and come back."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.chaos.clients import Clients
from tests.chaos.house import House
from tests.chaos.uploads import make_harmless
from tests.e2e.muting_proxy import MutingProxy
from tests.parts import open_postgresql_server, wait_until

# Enough for a hundredth of them to be some.
MANY = 100
SMALL = {"leads": [{"name": "I", "signal": [1, -1, 1]}]}


@pytest.fixture(scope="module")
def house(empty_database: str, stack_folder: Path) -> Iterator[House]:
    with House(stack_folder, empty_database) as house:
        yield house


@pytest.fixture(scope="module")
def isoline(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        client.headers["x-user-token"] = house.register(client, "ada")
        yield client


def upload(isoline: httpx.Client, number: int) -> tuple[list[str], list[float]]:
    """Upload so many; return their ids, and how long each took."""
    ecg_ids, took_s = [], []
    for _ in range(number):
        began_s = time.monotonic()
        answer = isoline.post("/ecgs", json=SMALL)
        took_s.append(time.monotonic() - began_s)
        assert answer.status_code == 201, answer.text
        ecg_ids.append(answer.json()["id"])
    return ecg_ids, took_s


def test_a_worker_tells_whoever_waits_what_it_has_ended(
    house: House, isoline: httpx.Client
) -> None:
    ears: redis.client.PubSub
    with house.redis.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
        ears.subscribe("isoline:news")
        ears.get_message(timeout=10)
        [ecg_id], _ = upload(isoline, 1)
        told = wait_until(lambda: ears.get_message(timeout=1), what="for the news")
    assert told["data"] == ecg_id.encode()
    assert isoline.get(f"/ecgs/{ecg_id}/insights").status_code == 200


def all_finished(isoline: httpx.Client, ecg_ids: list[str]) -> bool:
    answers = (isoline.get(f"/ecgs/{ecg_id}/insights") for ecg_id in ecg_ids)
    return all(answer.json()["status"] == "finished" for answer in answers)


@pytest.mark.parametrize("fault", ["killed", "paused", "full"])
def test_uploads_do_not_wait_for_a_broker_that_is_not_well(
    house: House, isoline: httpx.Client, fault: str
) -> None:
    if fault == "killed":
        house.kill_the_broker()
    elif fault == "paused":
        # Connections stay open, and nothing is ever said on them again.
        house.broker.send_signal(signal.SIGSTOP)
    else:
        house.redis.config_set("maxmemory", 1)
    ecg_ids, took_s = upload(isoline, MANY)
    assert quantiles(took_s, n=100)[98] < 0.5
    if fault == "killed":
        house.bring_back_the_broker()
    elif fault == "paused":
        house.broker.send_signal(signal.SIGCONT)
    else:
        house.redis.config_set("maxmemory", 0)
    wait_until(lambda: all_finished(isoline, ecg_ids), 60, f"after the broker was {fault}")
    assert house.is_running("worker")
    assert house.is_running("relay")


def test_uploads_do_not_wait_on_lines_to_the_broker_that_went_dead(tmp_path: Path) -> None:
    with ExitStack() as stack:
        house = House(tmp_path, f"sqlite:///{tmp_path / 'isoline.db'}")
        line = stack.enter_context(MutingProxy(urlsplit(house.redis_url).port or 0))
        # The house's own eyes see past it.
        house.environ["ISOLINE_REDIS_URL"] = f"redis://:a-password@127.0.0.1:{line.port}/0"
        stack.enter_context(house)
        isoline = stack.enter_context(house.client())
        isoline.headers["x-user-token"] = house.register(isoline, "ada")
        ready = wait_until(lambda: is_ready(isoline), 30, "for everybody to be heard")
        assert ready["workers_online"] == 1
        ecg_ids, _ = upload(isoline, 5)
        wait_until(lambda: all_finished(isoline, ecg_ids), 20, "on a line that is well")
        processes = {name: house.process(name).pid for name in house.MODULES}
        # API, three workers with what they hear and what they say, and the relay.
        assert line.fall_silent() >= 8
        ecg_ids, took_s = upload(isoline, MANY)
        assert quantiles(took_s, n=100)[98] < 0.5
        wait_until(lambda: all_finished(isoline, ecg_ids), 60, "after the lines went dead")
        # By those who were there, on new lines: nobody had to be started again.
        assert {name: house.process(name).pid for name in house.MODULES} == processes
        wait_until(lambda: is_ready(isoline), 30, "for everybody to be heard again")


def is_ready(isoline: httpx.Client) -> dict[str, Any] | None:
    """What /health/ready says, once nothing is amiss."""
    answer: dict[str, Any] = isoline.get("/health/ready").json()
    return answer if answer["status"] == "ok" else None


def test_a_worker_that_starts_while_the_broker_is_full_waits_for_it(
    house: House, isoline: httpx.Client
) -> None:
    house.stop("worker")
    house.redis.config_set("maxmemory", 1)
    try:
        house.start("worker")
        process = house.process("worker")
        ecg_ids, _ = upload(isoline, 3)
        # It is at work, and what it says of that is not taken.
        unheard = '"heartbeat not heard"'
        said = house.log("worker").count(unheard)
        wait_until(lambda: house.log("worker").count(unheard) > said, 30, "for it to be refused")
        assert house.is_running("worker")
    finally:
        house.redis.config_set("maxmemory", 0)
    wait_until(lambda: all_finished(isoline, ecg_ids), 60, "after the broker had room")
    assert house.process("worker") is process


def test_workers_wait_for_a_locked_database_and_lose_nothing(
    house: House, isoline: httpx.Client
) -> None:
    house.stop("worker")
    ecg_ids, _ = upload(isoline, 20)
    house.start("worker")
    house.lock_the_database(8.0)
    wait_until(lambda: all_finished(isoline, ecg_ids), 60, "after the database was unlocked")
    assert house.is_running("worker")
    assert house.is_running("relay")


def test_a_database_that_stays_locked_is_a_503_with_nothing_half_written(
    house: House, isoline: httpx.Client
) -> None:
    before = len(isoline.get("/ecgs?limit=500").json()["data"])
    if house.database_url.startswith("sqlite"):
        path = house.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            answer = isoline.post("/ecgs", json=SMALL)
            connection.execute("ROLLBACK")
    else:
        engine = create_engine(house.database_url)
        with engine.begin() as held:
            held.execute(text("LOCK TABLE ecgs IN SHARE MODE"))
            answer = isoline.post("/ecgs", json=SMALL)
        engine.dispose()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert len(isoline.get("/ecgs?limit=500").json()["data"]) == before
    # The same request again, and it is there.
    assert isoline.post("/ecgs", json=SMALL).status_code == 201


def test_a_postgresql_that_dies_under_load_costs_nobody_more_than_time(tmp_path: Path) -> None:
    with (
        open_postgresql_server() as server,
        House(tmp_path, server.url, postgresql=server) as house,
    ):
        with house.client() as client:
            token = house.register(client, "ada")
            processes = {name: house.process(name).pid for name in house.MODULES}
            # They accept nothing but 201, and 503 as often as it takes.
            with Clients(house.url, token, threads=4) as clients:
                clients.give(make_harmless(number, seed=1) for number in range(1, 200))
                wait_until(lambda: len(clients.accepted) > 20, what="for the first uploads")
                server.crash()
                wait_until(lambda: clients.refused.get("503"), what="for a 503")
                refused = client.post("/ecgs", json=SMALL, headers={"x-user-token": token})
                assert refused.status_code == 503
                assert refused.headers["Retry-After"]
                assert client.get("/health/ready").json()["database"] == "unavailable"
                server.start()
                clients.finish()
            client.headers["x-user-token"] = token
            ecg_ids = list(clients.accepted.values())
            assert len(set(ecg_ids)) == 199
            wait_until(lambda: all_finished(client, ecg_ids), 60, "after the database came back")
        # Nobody had to be started again.
        assert {name: house.process(name).pid for name in house.MODULES} == processes
        assert set(clients.refused) == {"503"}


def test_an_api_that_is_killed_in_the_middle_gets_one_ecg_of_a_retry(
    house: House, isoline: httpx.Client
) -> None:
    before = len(isoline.get("/ecgs?limit=500").json()["data"])
    house.stop("worker")
    for number in range(5):
        headers = {"Idempotency-Key": f"again-{number}", "Prefer": "wait=20"}
        with ThreadPoolExecutor(1) as caller:
            # Stored, but not answered yet: nobody works, and the caller waits for news.
            first = caller.submit(isoline.post, "/ecgs", json=SMALL, headers=headers)
            time.sleep(0.1 * number)
            house.kill("api")
            assert isinstance(first.exception(), httpx.TransportError)
        house.start("api")
        wait_until(house.answers, what="for the API")
        again = isoline.post("/ecgs", json=SMALL, headers={**headers, "Prefer": ""})
        assert again.status_code == 201
    house.start("worker")
    assert len(isoline.get("/ecgs?limit=500").json()["data"]) == before + 5
