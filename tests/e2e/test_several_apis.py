"""An API of several processes behind one port: whoever answers, it is the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from shared.broker import Broker
from tests.parts import ADMIN, wait_until
from tests.stack import Stack

SMALL = {"leads": [{"name": "I", "signal": [1, -1]}]}
PROCESSES = 3


@pytest.fixture(scope="module")
def stack(empty_database: str, stack_folder: Path, redis_url: str) -> Iterator[Stack]:
    stack = Stack(stack_folder, database_url=empty_database, redis_url=redis_url)
    stack.environ["ISOLINE_API_PROCESSES"] = str(PROCESSES)
    with stack:
        yield stack


def another(stack: Stack, like: httpx.Client) -> httpx.Client:
    """Another connection of the same user, to whichever process takes it."""
    return httpx.Client(base_url=stack.url, headers=like.headers, timeout=60)


def pending(client: httpx.Client) -> list[object]:
    return list(client.get("/ecgs", params={"status": "pending"}).json()["data"])


def heard(stack: Stack) -> int:
    roll = Broker(stack.environ["ISOLINE_REDIS_URL"]).roll()
    return roll.online("api") if roll else 0


def test_one_that_dies_is_replaced_while_the_others_answer(
    stack: Stack, isoline: httpx.Client
) -> None:
    wait_until(lambda: heard(stack) == PROCESSES, what="for all of them to be heard")
    processes = psutil.Process(stack.process("api").pid).children
    before = set(processes())
    assert len(before) == PROCESSES
    is_over = threading.Event()
    ids: list[str] = []

    def upload() -> None:
        number = 0
        while not is_over.is_set():
            key = {"Idempotency-Key": f"{threading.get_ident()}-{number}"}
            # Over a connection of its own each time, so that all of them are asked.
            with another(stack, isoline) as client:
                try:
                    answer = client.post("/ecgs", json=SMALL, headers=key)
                except httpx.TransportError:
                    # It met the one that died: the same key again makes the same ECG.
                    continue
            assert answer.status_code == 201, answer.text
            ids.append(answer.json()["id"])
            number += 1

    with ThreadPoolExecutor(4) as callers:
        running = [callers.submit(upload) for _ in range(4)]
        try:
            wait_until(lambda: len(ids) > 20, what="for uploads")
            before.pop().kill()
            wait_until(lambda: set(processes()) - before, what="for it to be replaced")
            enough = len(ids) + 20
            wait_until(lambda: len(ids) > enough, what="for uploads after that")
        finally:
            is_over.set()
        for future in running:
            future.result()
    assert len(set(ids)) == len(ids)

    def all_are_finished() -> bool:
        polls = (isoline.get(f"/ecgs/{ecg_id}/insights") for ecg_id in ids)
        return all(poll.json()["status"] == "finished" for poll in polls)

    wait_until(all_are_finished, 30, "for the insights")


def test_whoever_waits_in_any_of_them_is_told_and_a_batch_goes_on_through_another(
    stack: Stack, isoline: httpx.Client
) -> None:
    lines = [json.dumps({"custom_id": str(number), **SMALL}) for number in range(12)]
    ndjson = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "in-pieces"}
    for end in range(1, len(lines) + 1):
        with another(stack, isoline) as client:
            prefer = {"Prefer": "wait=20"}
            assert client.post("/ecgs", json=SMALL, headers=prefer).json()["status"] == "finished"
            answer = client.post("/batches", content="\n".join(lines[:end]), headers=ndjson)
            assert answer.is_success, answer.text
    batch = answer.headers["Location"]
    wait_until(lambda: isoline.get(batch).json()["counts"]["finished"] == 12, what="for the lines")
    assert isoline.get(batch).json()["counts"]["total"] == 12


def test_a_token_that_is_no_more_is_refused_by_all_of_them(stack: Stack) -> None:
    with stack.client() as client:
        client.headers["x-user-token"] = stack.register(client, "grace")
        assert client.get("/ecgs").status_code == 200
        assert client.post("/users/grace/token", headers=ADMIN).is_success
        for _ in range(10 * PROCESSES):
            with another(stack, client) as again:
                assert again.get("/ecgs").status_code == 401


def test_told_to_end_all_of_them_answer_first(stack: Stack, isoline: httpx.Client) -> None:
    stack.stop("worker")
    with ThreadPoolExecutor(8) as callers:

        def wait_in_vain() -> int:
            with another(stack, isoline) as client:
                prefer = {"Prefer": "wait=20"}
                return client.post("/ecgs", json=SMALL, headers=prefer).status_code

        asked = [callers.submit(wait_in_vain) for _ in range(8)]
        wait_until(lambda: len(pending(isoline)) == 8, what="for all of them")
        api = stack.process("api")
        stack.stop("api")
        assert [future.result() for future in asked] == [201] * 8
    assert api.returncode == 0
