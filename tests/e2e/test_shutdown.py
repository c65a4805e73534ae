"""Told to end, every process first answers, finishes or gives back what it has begun."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from sqlalchemy import select, update

from shared import database
from shared.broker import HEARD_WITHIN_S, Broker, Role
from shared.database import reading, transaction
from shared.jobs import BULK, INTERACTIVE, TAKEN
from shared.models import Ecg
from tests.parts import wait_until
from tests.poison.insights.poison import KINDS, MAGIC
from tests.stack import Stack


@pytest.fixture(scope="module")
def stack(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("shutdown")
    url = f"sqlite:///{folder / 'isoline.db'}"
    # Poisoned, so that a job takes as long as its samples say.
    with Stack(folder, database_url=url, redis_url=redis_url, poisoned=True) as stack:
        yield stack


LARGE = {"leads": [{"name": str(n), "signal": [1, -1] * 50_000} for n in range(12)]}
SMALL = {"leads": [{"name": "I", "signal": [1, -1]}]}


def are_connected(stack: Stack, number: int) -> bool:
    """Whether this process has so many connections to the API."""
    port = urlsplit(stack.url).port
    mine = psutil.Process().net_connections("tcp")
    return number <= sum(bool(one.raddr) and one.raddr.port == port for one in mine)


def test_requests_in_flight_are_answered_before_the_api_ends(
    stack: Stack, isoline: httpx.Client
) -> None:
    stack.stop("worker")
    large = json.dumps(LARGE).encode()
    with ThreadPoolExecutor(8) as callers:
        waiting = [
            callers.submit(isoline.post, "/ecgs", json=SMALL, headers={"Prefer": "wait=20"})
            for _ in range(4)
        ]
        time.sleep(0.3)
        headers = {"Content-Type": "application/json"}
        arriving = [
            callers.submit(isoline.post, "/ecgs", content=large, headers=headers) for _ in range(4)
        ]
        wait_until(lambda: are_connected(stack, 8), what="for all of them")
        time.sleep(0.1)
        began_s = time.monotonic()
        stack.stop("api")
        assert time.monotonic() - began_s < 15
        answers = [future.result() for future in [*waiting, *arriving]]
    assert [answer.status_code for answer in answers] == [201] * 8
    stack.start("api")
    stack.start("worker")
    wait_until(stack.answers, what="for the API")

    def all_ended() -> bool:
        polls = [isoline.get(f"/ecgs/{answer.json()['id']}/insights") for answer in answers]
        return all(poll.json()["status"] == "finished" for poll in polls)

    wait_until(all_ended, 30, "for what was in flight")


def test_an_upload_that_takes_its_time_is_answered_although_the_api_was_told_to_end(
    stack: Stack, isoline: httpx.Client
) -> None:
    body = json.dumps(LARGE).encode()
    has_begun, may_end = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield body[:-1000]
        has_begun.set()
        assert may_end.wait(20)
        yield body[-1000:]

    json_of_that_length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    api = stack.process("api")
    with ThreadPoolExecutor(2) as callers:
        uploading = callers.submit(
            isoline.post, "/ecgs", content=slowly(), headers=json_of_that_length
        )
        assert has_begun.wait(20)
        stopping = callers.submit(stack.stop, "api")
        # Longer than it once was given, and than a supervisor gives by habit.
        with pytest.raises(subprocess.TimeoutExpired):
            api.wait(12)
        may_end.set()
        assert uploading.result().status_code == 201
        stopping.result()
    assert api.returncode == 0
    stack.start("api")
    wait_until(stack.answers, what="for the API")


def test_a_rolling_restart_of_the_worker_shows_in_no_job(
    stack: Stack, isoline: httpx.Client
) -> None:
    took_s: list[float] = []
    is_over = threading.Event()

    def work_on() -> None:
        with stack.client() as client:
            client.headers.update(isoline.headers)
            while not is_over.is_set():
                began_s = time.monotonic()
                answer = client.post("/ecgs", json=SMALL, headers={"Prefer": "wait=20"})
                took_s.append(time.monotonic() - began_s)
                assert answer.json()["status"] == "finished", answer.text

    def has_another_worker() -> bool:
        return bool(isoline.get("/health/ready").json()["workers_online"] == 2)

    wait_until(lambda: isoline.get("/health/ready").json()["workers_online"] == 1, 30)
    with ThreadPoolExecutor(4) as callers:
        running = [callers.submit(work_on) for _ in range(4)]
        for _ in range(3):
            # The new one comes before the old one goes.
            stack.replace("worker", has_another_worker)
        is_over.set()
        for future in running:
            future.result()
    assert len(took_s) > 50
    # Quoted, not judged by the clock of a busy machine: nobody waited for a lease or a relay.
    assert max(took_s) < 10, sorted(took_s)[-5:]


@pytest.mark.parametrize("name", ["worker", "bulk", "quarantine"])
def test_a_job_in_flight_is_brought_to_its_end_by_a_worker_told_to_end(
    stack: Stack, isoline: httpx.Client, redis_url: str, name: str
) -> None:
    engine = database.connect(stack.environ["ISOLINE_DATABASE_URL"], pool_size=1)
    lead = {"name": "I", "signal": [MAGIC, KINDS.index("naps")]}
    if name == "bulk":
        line = json.dumps({"leads": [lead]})
        ndjson = {"Content-Type": "application/x-ndjson"}
        batch = isoline.post("/batches", content=line, headers=ndjson).headers["Location"]
        wait_until(lambda: isoline.get(batch).json()["counts"]["total"] == 1, what="for a line")
        with reading(engine) as connection:
            ecg_id = connection.scalar(select(Ecg.id).where(Ecg.batch_id.is_not(None)))
    else:
        if name == "quarantine":
            wait_until(lambda: heard(redis_url, "quarantine") == 1, what="for the quarantine")
            stack.stop("worker")
        ecg_id = isoline.post("/ecgs", json={"leads": [lead]}).json()["id"]
        if name == "quarantine":
            # As after two attempts that took their worker along.
            twice = {"attempts": 2, "rung_at_s": 0.0}
            with transaction(engine) as connection:
                connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(**twice))
    begun = select(Ecg.status).where(Ecg.id == ecg_id)

    def status() -> str | None:
        with reading(engine) as connection:
            return connection.scalar(begun)

    wait_until(lambda: status() == "running", 20, "for the job to begin")
    # Whoever waits for what nobody will tell him holds out for longer than he is given here.
    stack.stop(name)
    # It ended with its job done, or put it back; either way the next one leaves nothing over.
    left = status()
    assert left in {"finished", "pending"}
    for missing in {name, "worker"} - set(stack.running()):
        stack.start(missing)
    wait_until(lambda: status() == "finished", 20, "for what was in flight")
    with reading(engine) as connection:
        attempts = connection.scalar(select(Ecg.attempts).where(Ecg.id == ecg_id))
        waiting = connection.scalars(select(Ecg.id).where(Ecg.status.in_(["pending", "running"])))
        assert not waiting.all()
    assert attempts == (3 if name == "quarantine" else 1) + (left == "pending")
    engine.dispose()


def test_a_worker_whose_terminal_was_closed_ends_as_if_it_had_been_told_to(
    stack: Stack, redis_url: str
) -> None:
    wait_until(lambda: heard(redis_url, "worker") == 1, what="for the worker")
    worker = stack.process("worker")
    worker.send_signal(signal.SIGHUP)
    assert worker.wait(20) == 0
    stack.start("worker")


@pytest.mark.parametrize(("name", "queue"), [("worker", INTERACTIVE), ("bulk", BULK)])
def test_a_worker_told_to_end_hands_back_at_once_what_no_child_has_begun(
    stack: Stack, isoline: httpx.Client, redis_url: str, name: str, queue: str
) -> None:
    worker = psutil.Process(stack.process(name).pid)

    def grown_up() -> list[psutil.Process]:
        # Who has not told its parent after four seconds that it is up is replaced.
        born_before_s = time.time() - 5.0
        return [child for child in worker.children() if child.create_time() < born_before_s]

    wait_until(lambda: len(grown_up()) == 2, what="for its children")
    children = worker.children()
    for child in children:
        child.suspend()
    where = "/batches" if name == "bulk" else "/ecgs"
    media_type = "application/x-ndjson" if name == "bulk" else "application/json"
    isoline.post(where, content=json.dumps(SMALL), headers={"Content-Type": media_type})
    wait_until(lambda: stack.redis.hlen(TAKEN[queue]) == 1, what="for the message to be taken")
    stack.process(name).terminate()
    # It cannot have ended: its children cannot.
    wait_until(lambda: stack.redis.hlen(TAKEN[queue]) == 0, what="for it to be handed back")
    assert stack.redis.llen(queue)
    assert stack.is_running(name)
    for child in children:
        child.resume()
    # One of them got to it after all, and is heard: who is not heard holds out for half a minute.
    assert stack.process(name).wait(20) == 0
    stack.start(name)
    engine = database.connect(stack.environ["ISOLINE_DATABASE_URL"], pool_size=1)

    def newest() -> tuple[str, int]:
        asked = select(Ecg.status, Ecg.attempts).order_by(Ecg.id.desc()).limit(1)
        with reading(engine) as connection:
            status, attempts = connection.execute(asked).one()
            return status, attempts

    # Whoever takes a message has it for a moment where nobody else can count it.
    wait_until(lambda: newest()[0] == "finished", what="for the job")
    on_its_way = partial(Broker(redis_url).on_its_way, queue)
    wait_until(lambda: on_its_way() == 0, what="for the message to be put away")
    assert newest() == ("finished", 1)
    engine.dispose()


def heard(redis_url: str, role: Role) -> int:
    """How many in this role the broker has heard."""
    roll = Broker(redis_url).roll()
    return roll.online(role) if roll else 0


def test_the_api_is_heard_until_it_ends(stack: Stack, redis_url: str) -> None:
    wait_until(lambda: heard(redis_url, "api") == 1, what="for the API to be heard")
    stack.stop("api")
    silence_s = 2 * HEARD_WITHIN_S
    wait_until(lambda: heard(redis_url, "api") == 0, silence_s, "for the API to be missed")
    stack.start("api")
    wait_until(stack.answers, what="for the API")


def test_the_relay_ends_at_once_and_is_forgotten(stack: Stack, isoline: httpx.Client) -> None:
    wait_until(lambda: isoline.get("/health/ready").json()["relay"] == "ok", 20)
    began_s = time.monotonic()
    stack.stop("relay")
    assert time.monotonic() - began_s < 15
    wait_until(lambda: isoline.get("/health/ready").json()["relay"] == "silent", 20)
    stack.start("relay")
    wait_until(lambda: isoline.get("/health/ready").json()["relay"] == "ok", 20)
