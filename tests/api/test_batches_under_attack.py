"""Batches that somebody means ill with, or ends while they come: no count is ever wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from shared.database import reading
from shared.models import Batch, Ecg, Insights, RejectedLine, Signal
from tests.api.test_batches import counts, good, lines_of, post_in_parts, work
from tests.door import Door
from tests.parts import ADMIN
from worker.relay import publish_catalogue, retire_cancelled

NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {**NDJSON, "Content-Encoding": "gzip"}


@pytest.fixture
def ada(door: Door) -> dict[str, str]:
    publish_catalogue(door.engine)
    return door.user("ada")


def rows(door: Door) -> dict[str, int]:
    with reading(door.engine) as connection:
        return {
            table.__tablename__: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (Batch, Ecg, Signal, Insights, RejectedLine)
        }


def chunk_of(first: int) -> bytes:
    """Lines enough to be committed at once."""
    return b"".join(f"{good(n)}\n".encode() for n in range(first, first + 64))


def named(custom_id: Any) -> str:
    return json.dumps({"custom_id": custom_id, "leads": [{"name": "I", "signal": [1, -1]}]})


@pytest.mark.parametrize(
    "custom_id",
    [
        *("a\u2028b", "a\u2029b", "a b", "é", "e\u0301", "💓", "\u202e", "\ufeff", "x" * 255),
        *("../../etc/passwd", "'; DROP TABLE ecgs; --", "%s", "{}", "null", "\\", '"', "\ufffe"),
    ],
)
def test_ugly_names_come_back_as_they_were(door: Door, ada: dict[str, str], custom_id: str) -> None:
    raw = json.dumps({"custom_id": custom_id, "leads": []}, ensure_ascii=False)
    # The same name, written with escapes and as it is.
    answer = door.submit(ada, named(custom_id), raw)
    assert (answer.json["accepted"], answer.json["rejected"]) == (1, 1)
    work(door)
    [line] = lines_of(door, ada, answer.json["id"], "insights")
    assert line["custom_id"] == custom_id
    [error] = lines_of(door, ada, answer.json["id"], "errors")
    assert error["custom_id"] == custom_id


@pytest.mark.parametrize(
    "text",
    [
        *(r'"\u0000"', r'"a\u0000b"', r'"\u001f"', r'"\u0085"', r'"a\n"', '"' + "x" * 256 + '"'),
        *(r'"\ud800"', r'"\udc00\ud800"', '"' + "x" * 2**20 + '"', '""', "1", "[]", "{}", "true"),
        '"\\ud83d"',
    ],
    ids=lambda text: text[:16],
)
def test_names_that_cannot_be_are_rejected_and_harm_nobody(
    door: Door, ada: dict[str, str], text: str
) -> None:
    line = f'{{"custom_id": {text}, "leads": [{{"name": "I", "signal": [1]}}]}}'
    answer = door.submit(ada, good(1), line, good(2))
    assert (answer.status_code, answer.json["accepted"], answer.json["rejected"]) == (202, 2, 1)
    work(door)
    [error] = lines_of(door, ada, answer.json["id"], "errors")
    assert (error["line"], error["custom_id"]) == (2, None)
    assert error["problem"]["status"] in {400, 422}
    again = door.get(f"/batches/{answer.json['id']}/errors?format=csv", headers=ada)
    assert again.status_code == 200


def test_a_line_separator_within_a_text_ends_no_line(door: Door, ada: dict[str, str]) -> None:
    body = "\n".join(
        json.dumps({"leads": [{"name": f"a{odd}b", "signal": [1]}]}, ensure_ascii=False)
        for odd in ("\u2028", "\u2029", "\u00a0", "\u3000")
    )
    answer = door.post("/batches", data=body.encode(), headers={**ada, **NDJSON})
    assert (answer.json["accepted"], answer.json["rejected"]) == (4, 0)


MANY = [good(n) for n in range(200)]
BODY = "".join(f"{line}\n" for line in MANY).encode()
HALF = len(BODY) // 2 + 11


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (gzip.compress(BODY), 202),
        # Members that end anywhere, also within a line; and one with nothing in it.
        (gzip.compress(BODY[:HALF]) + gzip.compress(BODY[HALF:]), 202),
        (gzip.compress(b"") + gzip.compress(BODY) + gzip.compress(b""), 202),
        (b"".join(gzip.compress(BODY[n : n + 97]) for n in range(0, len(BODY), 97)), 202),
        (gzip.compress(BODY) + b"garbage", 400),
        (gzip.compress(BODY) + gzip.compress(BODY)[:9], 400),
        (gzip.compress(BODY)[:-1], 400),
        (gzip.compress(BODY)[:-8] + bytes(8), 400),
        (zlib.compress(BODY), 400),
        (BODY, 400),
        (b"", 400),
    ],
    ids=[
        *("one member", "two members", "empty members", "many members", "garbage behind"),
        *("a member cut", "a byte short", "a wrong checksum", "zlib", "not packed", "nothing"),
    ],
)
def test_packed_bodies_are_whole_or_to_be_gone_on_with(
    door: Door, ada: dict[str, str], packed: bytes, status: int
) -> None:
    key = {"Idempotency-Key": "k"}
    answer = door.post("/batches", data=packed, headers={**ada, **GZIP, **key})
    assert answer.status_code == status
    [batch] = door.get("/batches", headers=ada).json["data"]
    assert batch["status"] == ("running" if status == 202 else "receiving")
    assert batch["counts"]["rejected"] == 0
    whole = door.submit(ada, *MANY, **key)
    assert (whole.status_code, whole.json["total"]) == (202, 200)
    assert whole.json["known"] == batch["counts"]["total"]
    work(door)
    names = [line["custom_id"] for line in lines_of(door, ada, batch["id"], "insights")]
    assert names == [f"line {n}" for n in range(200)]


@pytest.mark.parametrize("name", ['"custom_id": "a", ', ""])
def test_packed_and_cut_within_a_line_where_a_member_ends_it_is_gone_on_with(
    door: Door, ada: dict[str, str], name: str
) -> None:
    line = f'{{{name}"leads": [{{"name": "I", "signal": [1, -1]}}]}}\n'
    body = f"{good(1)}\n{line}".encode()
    cut = len(body) - 20
    members = [gzip.compress(body[:cut]), gzip.compress(body[cut:])]
    headers = {**ada, **GZIP, "Idempotency-Key": "k"}
    first = post_in_parts(door, headers, members[:1])
    assert (first.status_code, first.json["type"]) == (400, "/problems/malformed-request")
    whole = post_in_parts(door, headers, members)
    assert (whole.json["total"], whole.json["rejected"], whole.json["known"]) == (2, 0, 1)


def test_a_key_is_its_users_own(door: Door, ada: dict[str, str]) -> None:
    bob, key = door.user("bob"), {"Idempotency-Key": "k"}
    first = door.submit(ada, good(1), **key)
    second = door.submit(bob, good(1), good(2), **key)
    assert second.json["id"] != first.json["id"]
    assert (second.json["total"], second.json["known"]) == (2, 0)
    assert counts(door, ada, first.json["id"])["total"] == 1


def while_it_comes(door: Door, user: dict[str, str], act: Callable[[str], None]) -> Any:
    """Submit three chunks, and act between the first and the second."""

    def parts() -> Iterable[bytes]:
        yield chunk_of(0)
        [batch] = door.get("/batches", headers=user).json["data"]
        assert batch["counts"]["total"] == 64
        act(batch["id"])
        yield chunk_of(64)
        yield chunk_of(128)

    return post_in_parts(door, {**user, "Idempotency-Key": "k"}, parts())


def test_cancelled_while_it_comes(door: Door, ada: dict[str, str]) -> None:
    def cancel(batch_id: str) -> None:
        assert door.post(f"/batches/{batch_id}/cancel", headers=ada).status_code == 200

    answer = while_it_comes(door, ada, cancel)
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/batch-cancelled")
    [batch] = door.get("/batches", headers=ada).json["data"]
    work(door)
    retire_cancelled(door.engine)
    found = counts(door, ada, batch["id"])
    assert (found["total"], found["pending"], found["failed"]) == (64, 0, 64)
    assert rows(door)["ecgs"] == 64


def test_erased_while_it_comes(door: Door, ada: dict[str, str]) -> None:
    def erase(batch_id: str) -> None:
        assert door.delete(f"/batches/{batch_id}", headers=ada).status_code == 204

    answer = while_it_comes(door, ada, erase)
    # Not that another one has taken over: whoever hears that sends everything again.
    assert answer.status_code == 404
    work(door)
    assert set(rows(door).values()) == {0}
    # The key is free again, and begins anew.
    again = door.submit(ada, good(1), **{"Idempotency-Key": "k"})
    assert (again.json["total"], again.json["known"]) == (1, 0)


def test_whose_user_is_erased_while_it_comes(door: Door, ada: dict[str, str]) -> None:
    def erase(batch_id: str) -> None:
        assert door.delete("/users/ada", headers=ADMIN).status_code == 204

    answer = while_it_comes(door, ada, erase)
    assert answer.status_code == 401
    work(door)
    assert set(rows(door).values()) == {0}


def test_worked_on_while_it_comes(door: Door, ada: dict[str, str]) -> None:
    answer = while_it_comes(door, ada, lambda batch_id: work(door))
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    work(door)
    assert counts(door, ada, answer.json["id"])["finished"] == 192


def test_an_ecg_erased_between_two_requests_is_counted_once(
    door: Door, ada: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "k"}
    batch_id = door.submit(ada, good(1), good(2), **key).json["id"]
    door.delete(f"/ecgs/{door.rung[1]}", headers=ada)
    again = door.submit(ada, good(1), good(2), good(3), **key)
    work(door)
    found = counts(door, ada, batch_id)
    assert found["pending"] == 0
    assert found["total"] == again.json["total"]


def test_the_same_key_from_many_at_once_stores_each_line_once(
    door: Door, ada: dict[str, str]
) -> None:
    lines = [good(n) for n in range(150)]
    key = {"Idempotency-Key": "k"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: door.submit(ada, *lines, **key), range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    last = door.submit(ada, *lines, **key)
    assert (last.status_code, last.json["total"], last.json["rejected"]) == (202, 150, 0)
    work(door)
    names = [line["custom_id"] for line in lines_of(door, ada, last.json["id"], "insights")]
    assert sorted(names) == sorted(f"line {n}" for n in range(150))
    assert rows(door)["ecgs"] == 150
