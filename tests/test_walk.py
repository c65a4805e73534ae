"""The story of one upload, with the processes of production: it reads like the README."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.parts import ADMIN, wait_until
from tests.stack import Stack


@pytest.fixture(scope="module")
def stack(empty_database: str, stack_folder: Path, redis_url: str) -> Iterator[Stack]:
    with Stack(stack_folder, database_url=empty_database, redis_url=redis_url) as stack:
        yield stack


@pytest.fixture
def isoline(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def test_the_walk_of_one_upload(isoline: httpx.Client) -> None:
    # The administrator registers Ada, who gets a token.
    registered = isoline.post("/users", json={"username": "ada"}, headers=ADMIN)
    assert registered.status_code == 201
    ada = {"x-user-token": registered.json()["token"]}

    # Ada uploads an ECG.
    leads = [
        {"name": "I", "number_of_samples": 8, "signal": [1, 0, -1, 0, 1, 0, 0, 1]},
        {"name": "II", "signal": [1, -2, 0, 3, -4, 0, 0, 5, 6, -7]},
    ]
    uploaded = isoline.post(
        "/ecgs", json={"leads": leads}, headers={**ada, "X-Request-ID": "the-walk"}
    )
    assert uploaded.status_code == 201
    assert uploaded.json()["status"] == "pending"
    assert uploaded.headers["X-Request-ID"] == "the-walk"

    # She polls until the insights are there.
    where = f"{uploaded.headers['Location']}/insights"

    def finished() -> httpx.Response | None:
        polled = isoline.get(where, headers=ada)
        assert polled.status_code in {200, 202}
        return polled if polled.status_code == 200 else None

    insights = wait_until(finished, what="for the insights").json()
    assert insights["status"] == "finished"
    crossings = {lead["name"]: lead["number_of_zero_crossings"] for lead in insights["leads"]}
    assert crossings == {"I": 2, "II": 5}
    assert insights["leads"][0]["insights"]["zero_crossings"] == {
        "version": 1,
        "count": 2,
        "touches": 1,
    }

    # What is measured is defined.
    definitions = {entry["name"]: entry for entry in isoline.get("/insights").json()["data"]}
    assert definitions["zero_crossings"]["version"] == 1
    assert "-0.0 is zero" in definitions["zero_crossings"]["definition"]

    # She takes her recording back.
    assert isoline.delete(uploaded.headers["Location"], headers=ada).status_code == 204
    assert isoline.get(where, headers=ada).status_code == 404


def test_one_request_from_upload_to_insight(isoline: httpx.Client, stack: Stack) -> None:
    bob = {"x-user-token": stack.register(isoline, "bob")}
    signal = [1, -1] * 5000
    answer = isoline.post(
        "/ecgs",
        json={"sampling_rate": 500, "leads": [{"name": "V1", "signal": signal}]},
        headers={**bob, "Prefer": "wait=20"},
    ).json()
    assert answer["status"] == "finished"
    computed = answer["insights"]["leads"][0]["insights"]["zero_crossings"]
    assert computed == {"version": 1, "count": 9999, "touches": 0, "rate_hz": 499.95}


def test_the_request_id_travels_into_the_log_of_the_worker(
    isoline: httpx.Client, stack: Stack
) -> None:
    cy = {"x-user-token": stack.register(isoline, "cy"), "X-Request-ID": "follow-me"}
    isoline.post("/ecgs", json={"leads": []}, headers={**cy, "Prefer": "wait=20"})
    wait_until(lambda: "follow-me" in stack.log("worker"), what="for the worker's log line")
    assert "follow-me" in stack.log("api")


def test_a_worker_is_seen_online(isoline: httpx.Client) -> None:
    def ready() -> bool:
        answer = isoline.get("/health/ready")
        return answer.status_code == 200 and answer.json()["workers_online"] == 1

    wait_until(ready, what="for a heartbeat")
    wait_until(lambda: isoline.get("/health/ready").json()["status"] == "ok", what="for all")


def test_nothing_of_a_recording_or_its_owner_is_in_logs_or_broker(
    isoline: httpx.Client, stack: Stack
) -> None:
    token = stack.register(isoline, "canary-username")
    recording = {
        "unit": "canary-unit",
        "leads": [{"name": "canary-lead", "signal": [271828182, -314159265]}],
    }
    eve = {"x-user-token": token}
    # Seen by a worker; and, with no worker there, kept by the broker.
    isoline.post("/ecgs", json=recording, headers={**eve, "Prefer": "wait=20"})
    stack.stop("worker")
    kept = isoline.post("/ecgs", json=recording, headers=eve).json()["id"]
    wait_until(lambda: stack.redis.llen("interactive") > 0, what="for the bell")
    broker = b"".join(stack.redis.dump(key) or b"" for key in stack.redis.scan_iter())
    message = json.loads(stack.redis.lindex("interactive", 0) or "{}")
    said = broker + base64.b64decode(message["body"]) + json.dumps(message).encode()
    said += "".join(stack.log(name) for name in stack.MODULES).encode()
    stack.start("worker")
    assert kept.encode() in said
    for secret in ("canary", token, "271828182", "314159265", ADMIN["x-admin-token"]):
        assert secret.encode() not in said, secret


def test_what_could_not_be_rung_is_rung_later(isoline: httpx.Client, stack: Stack) -> None:
    # Every message there is gets lost, as with a broker that forgot its data.
    dan = {"x-user-token": stack.register(isoline, "dan")}
    stack.stop("worker")
    began_s = time.monotonic()
    answers = [isoline.post("/ecgs", json={"leads": []}, headers=dan) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [201] * 20
    wait_until(lambda: stack.redis.llen("interactive") > 0, what="for the bell")
    stack.redis.flushall()
    stack.start("worker")

    def all_finished() -> bool:
        page = isoline.get("/ecgs?status=finished", headers=dan).json()
        return len(page["data"]) == 20

    wait_until(all_finished, 30, "for the relay")
    assert time.monotonic() - began_s < 30
