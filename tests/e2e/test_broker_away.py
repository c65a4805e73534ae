"""The broker falls away under the processes of production, and comes back.

On one database: what is done without a broker is done before, or beside, what is asked of that.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import redis

from tests.chaos.house import House
from tests.e2e.muting_proxy import MutingProxy
from tests.e2e.test_away import SMALL, all_finished, upload
from tests.parts import wait_until

# Enough for a hundredth of them to be some.
MANY = 100


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("a house")
    with House(folder, f"sqlite:///{folder / 'isoline.db'}") as house:
        yield house


@pytest.fixture(scope="module")
def isoline(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        client.headers["x-user-token"] = house.register(client, "ada")
        yield client


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


def test_a_worker_all_of_whose_children_died_survives_that_its_broker_goes_away(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        house = House(tmp_path, f"sqlite:///{tmp_path / 'isoline.db'}")
        # The more end at once, the more surely some of them are taken for their successors.
        house.environ["ISOLINE_WORKERS"] = "4"
        stack.enter_context(house)
        isoline = stack.enter_context(house.client())
        isoline.headers["x-user-token"] = house.register(isoline, "ada")
        assert_all_are_at_work(isoline)
        workers = [psutil.Process(house.process(name).pid) for name in ("worker", "bulk")]
        for worker in workers:
            lose_all_children(worker)
        house.kill_the_broker()
        house.bring_back_the_broker()
        assert_all_are_at_work(isoline)
        # By those who were there: nobody had to be started again.
        assert all(worker.is_running() for worker in workers)
        assert not house.ended_by_themselves


def assert_all_are_at_work(isoline: httpx.Client) -> None:
    """Upload one ECG, and a batch of one, and wait for the insights of both."""
    ecg_ids, _ = upload(isoline, 1)
    ndjson = {"Content-Type": "application/x-ndjson"}
    batch = isoline.post("/batches", content=json.dumps(SMALL), headers=ndjson).headers["Location"]
    wait_until(lambda: all_finished(isoline, ecg_ids), 60, "for the worker")
    wait_until(lambda: isoline.get(batch).json()["counts"]["finished"] == 1, 60, "for the other")


def lose_all_children(worker: psutil.Process) -> None:
    """Kill a pool so that its parent hears of all ends at once; wait for the successors."""
    lost = wait_until(lambda: len(worker.children()) == 4 and worker.children())
    worker.suspend()
    for child in lost:
        child.kill()
    wait_until(lambda: all(child.status() == psutil.STATUS_ZOMBIE for child in lost))
    worker.resume()
    wait_until(lambda: len(set(worker.children()) - set(lost)) == 4, what="for others")


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
