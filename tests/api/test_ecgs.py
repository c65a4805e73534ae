"""Uploads, lists and polls at the door, on both databases."""

from __future__ import annotations

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, event

from shared.errors import DatabaseUnavailable
from tests.door import Door
from tests.parts import wait_until
from worker import claims

SMALL = {"leads": [{"name": "I", "number_of_samples": 8, "signal": [1, 0, -1, 0, 1, 0, 0, 1]}]}


def test_an_upload_is_answered_with_where_to_find_it_and_rung_for(door: Door) -> None:
    ada = door.user()
    response = door.post("/ecgs", json=SMALL, headers=ada)
    assert response.status_code == 201
    assert response.json["status"] == "pending"
    assert response.headers["Location"] == f"/ecgs/{response.json['id']}"
    assert response.headers["Retry-After"] == "1"
    assert door.rung == [response.json["id"]]


def test_a_poll_says_pending_and_then_finished(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1, 0, -1, 0, 1, 0, 0, 1], [1, -2, 0, 3, -4, 0, 0, 5, 6, -7])
    pending = door.get(f"/ecgs/{ecg_id}/insights", headers=ada)
    assert pending.status_code == 202
    assert pending.headers["Retry-After"] == "1"
    assert pending.json == {
        "ecg_id": ecg_id,
        "status": "pending",
        "detail": "Insights are still being processed",
        # No worker runs in this test, and the answer says so.
        "waiting_for": "worker",
        "ahead": None,
    }
    door.work()
    finished = door.get(f"/ecgs/{ecg_id}/insights", headers=ada)
    assert finished.status_code == 200
    assert finished.json["status"] == "finished"
    assert [lead["number_of_zero_crossings"] for lead in finished.json["leads"]] == [2, 5]


def test_names_stay_as_sent_in_order_and_doubled(door: Door) -> None:
    ada = door.user()
    names = ["V1", "", "V1", "é 心", "I"]
    leads = [{"name": name, "signal": [n]} for n, name in enumerate(names)]
    ecg_id = door.post("/ecgs", json={"leads": leads}, headers=ada).json["id"]
    door.work()
    finished = door.get(f"/ecgs/{ecg_id}/insights", headers=ada).json
    assert [lead["name"] for lead in finished["leads"]] == names
    described = door.get(f"/ecgs/{ecg_id}", headers=ada).json
    assert [lead["name"] for lead in described["leads"]] == names


def test_what_was_said_of_the_recording_comes_back_in_utc(door: Door) -> None:
    ada = door.user()
    fields = {"sampling_rate": 500, "unit": "adc", "gain": 200, "baseline": 1024}
    ecg_id = door.upload(ada, [1025, 1023], date="2026-11-23T08:00:00+01:00", **fields)
    described = door.get(f"/ecgs/{ecg_id}", headers=ada).json
    assert described["date"] == "2026-11-23T07:00:00Z"
    assert {name: described[name] for name in fields} == fields
    assert described["leads"] == [{"name": "lead 0", "number_of_samples": 2}]


def test_the_baseline_is_subtracted_first(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1025, 1024, 1023], baseline=1024)
    door.work()
    finished = door.get(f"/ecgs/{ecg_id}/insights", headers=ada).json
    assert finished["leads"][0]["number_of_zero_crossings"] == 1


def test_an_ecg_without_leads_or_samples_finishes(door: Door) -> None:
    ada = door.user()
    empty, silent = door.upload(ada), door.upload(ada, [])
    door.work()
    assert door.get(f"/ecgs/{empty}/insights", headers=ada).json["leads"] == []
    leads = door.get(f"/ecgs/{silent}/insights", headers=ada).json["leads"]
    assert leads[0]["number_of_zero_crossings"] == 0


def test_gzip_is_accepted(door: Door) -> None:
    ada = door.user()
    response = door.post(
        "/ecgs",
        data=gzip.compress(json.dumps(SMALL).encode()),
        headers={**ada, "Content-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert response.status_code == 201


def test_the_same_key_and_body_give_the_first_answer_again(door: Door) -> None:
    ada = {**door.user(), "Idempotency-Key": "one"}
    first = door.post("/ecgs", json=SMALL, headers=ada)
    door.work()
    again = door.post("/ecgs", json=SMALL, headers=ada)
    assert (again.status_code, again.data) == (201, first.data)
    assert door.rung == []
    assert len(door.get("/ecgs", headers=ada).json["data"]) == 1


def test_the_same_key_with_another_body_is_refused(door: Door) -> None:
    ada = {**door.user(), "Idempotency-Key": "one"}
    door.post("/ecgs", json=SMALL, headers=ada)
    response = door.post("/ecgs", json={"leads": []}, headers=ada)
    assert response.status_code == 422
    assert response.json["type"] == "/problems/idempotency-conflict"


def test_a_key_belongs_to_one_user(door: Door) -> None:
    ada, bob = door.user("ada"), door.user("bob")
    key = {"Idempotency-Key": "one"}
    ids = {door.post("/ecgs", json=SMALL, headers={**who, **key}).json["id"] for who in (ada, bob)}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é"])
def test_an_unfit_idempotency_key_is_refused(sqlite_door: Door, key: str) -> None:
    headers = {**sqlite_door.user(), "Idempotency-Key": key}
    assert sqlite_door.post("/ecgs", json=SMALL, headers=headers).status_code == 400


def test_two_identical_requests_at_the_same_instant_make_one_row(door: Door) -> None:
    ada = {**door.user(), "Idempotency-Key": "one"}
    for _ in range(10):
        ada["Idempotency-Key"] += "x"
        together = threading.Barrier(4)
        answers: list[bytes] = []

        def send(headers: dict[str, str] = dict(ada)) -> None:  # noqa: B006
            together.wait()  # noqa: B023
            answers.append(door.app.test_client().post("/ecgs", json=SMALL, headers=headers).data)  # noqa: B023

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(answers)) == 1, answers
    assert len(door.get("/ecgs", headers=ada).json["data"]) == 10


def test_who_polls_and_for_what_is_found_out_in_one_reading(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    door.work()
    begun: list[Connection] = []
    note = begun.append
    event.listen(door.engine, "begin", note)
    try:
        assert door.get(f"/ecgs/{ecg_id}/insights", headers=ada).status_code == 200
    finally:
        event.remove(door.engine, "begin", note)
    assert len(begun) == 1


@pytest.mark.parametrize("narrowed", ["", "&status=pending"])
def test_the_list_is_paged_newest_first_without_gap_or_double(door: Door, narrowed: str) -> None:
    ada, bob = door.user("ada"), door.user("bob")
    ids = [door.upload(ada, [n]) for n in range(7)]
    door.upload(bob, [1])
    # What has begun is among what has not.
    for ecg_id in ids[1::2]:
        claims.claim(door.engine, [ecg_id], "a message")
    seen, cursor = [], ""
    while True:
        page = door.get(f"/ecgs?limit=3{narrowed}{cursor}", headers=ada).json
        seen += [ecg["id"] for ecg in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


def test_the_list_can_be_narrowed_to_a_status(door: Door) -> None:
    ada = door.user()
    first = door.upload(ada, [1])
    door.work()
    second = door.upload(ada, [1])

    def listed(status: str) -> list[str]:
        page = door.get(f"/ecgs?status={status}", headers=ada).json
        return [ecg["id"] for ecg in page["data"]]

    assert (listed("finished"), listed("pending"), listed("failed")) == ([first], [second], [])


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=1e3", "cursor=", "cursor=x", "status=x"],
)
def test_an_unfit_query_is_refused_with_its_place(sqlite_door: Door, query: str) -> None:
    response = sqlite_door.get(f"/ecgs?{query}", headers=sqlite_door.user())
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


def test_an_erased_ecg_is_gone_also_when_its_job_is_in_flight(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    assert door.delete(f"/ecgs/{ecg_id}", headers=ada).status_code == 204
    door.work()
    for path in (f"/ecgs/{ecg_id}", f"/ecgs/{ecg_id}/insights"):
        assert door.get(path, headers=ada).status_code == 404
    assert door.delete(f"/ecgs/{ecg_id}", headers=ada).status_code == 404


@pytest.mark.parametrize("path", ["/ecgs/{}", "/ecgs/{}/insights"])
def test_a_strangers_ecg_does_not_exist(door: Door, path: str) -> None:
    ada, bob = door.user("ada"), door.user("bob")
    ecg_id = door.upload(ada, [1])
    door.work()
    unknown = ecg_id[:-4] + "0000"
    request_id = {"X-Request-ID": "the-same"}
    answers = [
        door.get(path.format(some_id), headers={**bob, **request_id})
        for some_id in (ecg_id, unknown, "no-uuid", "%00", "x" * 500)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    assert door.delete(path.format(ecg_id), headers=bob).status_code in {404, 405}


def test_waiting_ends_when_the_insights_are_there(door: Door) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1, -1])
    waiting = {**ada, "Prefer": "respond-async, wait=10"}
    with ThreadPoolExecutor(1) as caller:
        polled = caller.submit(door.get, f"/ecgs/{ecg_id}/insights", headers=waiting)
        time.sleep(0.1)
        door.work()
        response = polled.result()
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=10"


def test_an_upload_that_waits_brings_its_insights_along(door: Door) -> None:
    ada = {**door.user(), "Prefer": "wait=10"}
    with ThreadPoolExecutor(1) as caller:
        uploaded = caller.submit(door.post, "/ecgs", json=SMALL, headers=ada)
        wait_until(lambda: door.rung, what="for the bell")
        door.work()
        response = uploaded.result()
    assert (response.status_code, response.json["status"]) == (201, "finished")
    assert response.json["insights"]["leads"][0]["number_of_zero_crossings"] == 2
    # There is nothing left to come back for.
    assert "Retry-After" not in response.headers
    described = door.get(f"/ecgs/{response.json['id']}", headers=ada).json
    assert response.json["finished_at"] == described["finished_at"] is not None


def test_an_upload_that_is_erased_while_it_waits_was_stored_all_the_same(door: Door) -> None:
    ada = door.user()

    def erase() -> None:
        (listed,) = wait_until(lambda: door.get("/ecgs", headers=ada).json["data"])
        door.delete(f"/ecgs/{listed['id']}", headers=ada)

    eraser = threading.Thread(target=erase)
    eraser.start()
    response = door.post("/ecgs", json=SMALL, headers={**ada, "Prefer": "wait=10"})
    eraser.join()
    assert (response.status_code, response.json["status"]) == (201, "pending")
    assert response.headers["Retry-After"] == "1"


def test_an_upload_whose_database_goes_away_while_it_waits_was_stored_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = door.user()

    def go_away(*_: object) -> None:
        raise DatabaseUnavailable("The database is not available.")

    monkeypatch.setattr("api.polls.find_progress", go_away)
    response = door.post("/ecgs", json=SMALL, headers={**ada, "Prefer": "wait=10"})
    assert (response.status_code, response.json["status"]) == (201, "pending")
    assert door.rung == [response.json["id"]]
    asked = door.get(f"/ecgs/{response.json['id']}/insights", headers=ada)
    assert asked.status_code == 503


def test_the_first_answer_says_what_was_stored(door: Door) -> None:
    ada = {**door.user(), "Idempotency-Key": "one"}
    body = {
        **SMALL,
        "date": "2026-11-23T08:00:00.123456+01:00",
        "sampling_rate": 257.1,
        "unit": "é",
        "gain": 1e-9,
        "baseline": -0.0,
    }
    first = door.post("/ecgs", json=body, headers=ada)
    assert door.get(f"/ecgs/{first.json['id']}", headers=ada).data == first.data
    assert door.post("/ecgs", json=body, headers=ada).data == first.data


def test_waiting_in_vain_is_answered_as_pending(sqlite_door: Door) -> None:
    ada = {**sqlite_door.user(), "Prefer": "wait=0"}
    response = sqlite_door.post("/ecgs", json=SMALL, headers=ada)
    assert response.json["status"] == "pending"
    assert response.headers["Preference-Applied"] == "wait=0"


def test_with_every_chair_taken_the_answer_comes_at_once(sqlite_door: Door) -> None:
    ada = {**sqlite_door.user(), "Prefer": "wait=20"}
    ecg_id = sqlite_door.upload(sqlite_door.user("bob"), [1])
    room = sqlite_door.app.extensions["isoline"].waiting_room
    while room._chairs.acquire(blocking=False):
        pass
    response = sqlite_door.post("/ecgs", json=SMALL, headers=ada)
    assert response.json["status"] == "pending"
    assert "Preference-Applied" not in response.headers
    assert ecg_id
