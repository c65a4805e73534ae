"""The database or the API falls away under the processes of production, and comes back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.chaos.clients import Clients
from tests.chaos.house import House
from tests.chaos.uploads import make_harmless
from tests.databases import open_postgresql_server
from tests.parts import wait_until

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


def all_finished(isoline: httpx.Client, ecg_ids: list[str]) -> bool:
    answers = (isoline.get(f"/ecgs/{ecg_id}/insights") for ecg_id in ecg_ids)
    return all(answer.json()["status"] == "finished" for answer in answers)


def test_workers_wait_for_a_locked_database_and_lose_nothing(
    house: House, isoline: httpx.Client
) -> None:
    house.stop("worker")
    ecg_ids, _ = upload(isoline, 20)
    house.start("worker")
    # Longer than anybody waits for it at a time.
    house.lock_the_database(6.5)
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
    # Before it has stored anything, at about that moment, and long after.
    moments_s = (0.0, 0.1, 0.4)
    for number, after_s in enumerate(moments_s):
        headers = {"Idempotency-Key": f"again-{number}", "Prefer": "wait=20"}
        with ThreadPoolExecutor(1) as caller:
            # Not answered in any case: nobody works, and the caller waits for news.
            first = caller.submit(isoline.post, "/ecgs", json=SMALL, headers=headers)
            time.sleep(after_s)
            house.kill("api")
            assert isinstance(first.exception(), httpx.TransportError)
        house.start("api")
        wait_until(house.answers, what="for the API")
        again = isoline.post("/ecgs", json=SMALL, headers={**headers, "Prefer": ""})
        assert again.status_code == 201
    house.start("worker")
    assert len(isoline.get("/ecgs?limit=500").json()["data"]) == before + len(moments_s)
