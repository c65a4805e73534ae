"""Batches: whatever comes in a line, it is counted once, and spoils nothing."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, event, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.test import TestResponse

from api import open_batch, reception, uploads
from api.erasure import erase_every
from api.polls import _count_ahead, find_progress
from api.users import Caller
from shared.database import reading, transaction
from shared.jobs import LINES_PER_MESSAGE, SAMPLES_A_LEAD, WEIGHT_PER_MESSAGE
from shared.models import Batch, Ecg, Insights, RejectedLine, Signal, User
from shared.states import CANCELLED
from shared.turns import LINES_IN_QUEUE, MESSAGES_IN_QUEUE
from tests.door import Door
from tests.parts import ADMIN
from worker import claims, endings, tasks
from worker.relay import publish_catalogue, retire_cancelled

NDJSON = {"Content-Type": "application/x-ndjson"}
BAD: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("nonsense", "malformed-request"),
    "cut JSON": ('{"leads": [{"name": "I", "sig', "malformed-request"),
    "not UTF-8": (b'{"leads": [{"name": "\xff", "signal": []}]}', "malformed-request"),
    "an array": ("[1, 2]", "invalid-request"),
    "no leads": ('{"custom_id": "named"}', "invalid-request"),
    "a text among samples": (
        '{"custom_id": "named", "leads": [{"name": "I", "signal": [1, "2"]}]}',
        "invalid-request",
    ),
    "NaN": ('{"leads": [{"name": "I", "signal": [NaN]}]}', "invalid-request"),
    "a number as its name": ('{"custom_id": 7, "leads": []}', "invalid-request"),
    "an empty name": ('{"custom_id": "", "leads": []}', "invalid-request"),
    "a name with a newline": ('{"custom_id": "a\\nb", "leads": []}', "invalid-request"),
    "too long": ('{"leads": [], "x": "' + "x" * 4 * 2**20 + '"}', "too-large"),
}


def good(number: int, *signal: int) -> str:
    leads = [{"name": "I", "signal": signal or (1, -1)}]
    return json.dumps({"custom_id": f"line {number}", "leads": leads})


def counts(door: Door, user: dict[str, str], batch_id: str) -> dict[str, int]:
    batch = door.get(f"/batches/{batch_id}", headers=user).json
    found: dict[str, int] = batch["counts"]
    parts = ("pending", "finished", "failed", "rejected")
    assert found["total"] == sum(found[part] for part in parts)
    assert 0 <= batch["progress"] <= 1
    assert (batch["progress"] == 1) == (batch["finished_at"] is not None)
    return found


def lines_of(door: Door, user: dict[str, str], batch_id: str, what: str) -> list[dict[str, Any]]:
    text = door.get(f"/batches/{batch_id}/{what}", headers=user).text
    return [json.loads(line) for line in text.splitlines()]


def work(door: Door) -> None:
    """Everything that is rung for, and what that rings for, until all is still."""
    while door.rung:
        door.work()


@pytest.fixture
def ada(door: Door) -> dict[str, str]:
    publish_catalogue(door.engine)
    return door.user("ada")


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_is_rejected_with_its_number_and_spoils_nothing(
    door: Door, ada: dict[str, str], kind: str, place: int
) -> None:
    bad, slug = BAD[kind]
    lines: list[str | bytes] = [good(0), good(1)]
    lines.insert(place, bad)
    answer = door.submit(ada, *lines)
    assert answer.status_code == 202
    assert (answer.json["total"], answer.json["accepted"], answer.json["rejected"]) == (3, 2, 1)
    work(door)
    batch_id = answer.json["id"]
    [error] = lines_of(door, ada, batch_id, "errors")
    assert (error["line"], error["verdict"], error["ecg_id"]) == (place + 1, "rejected", None)
    assert error["problem"]["type"] == f"/problems/{slug}"
    assert error["custom_id"] == ("named" if b"named" in str(bad).encode() else None)
    finished = lines_of(door, ada, batch_id, "insights")
    assert [line["line"] for line in finished] == [n for n in (1, 2, 3) if n != place + 1]
    assert [line["custom_id"] for line in finished] == ["line 0", "line 1"]
    assert door.get(f"/batches/{batch_id}", headers=ada).json["status"] == "finished"


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "too long"])
def test_the_problem_of_a_line_is_that_of_a_single_upload(sqlite_door: Door, kind: str) -> None:
    door = sqlite_door
    ada = door.user()
    bad, _ = BAD[kind]
    batch_id = door.submit(ada, bad).json["id"]
    [error] = lines_of(door, ada, batch_id, "errors")
    single = door.post("/ecgs", data=bad, headers={**ada, "Content-Type": "application/json"})
    if single.status_code == 201:
        # What only a line has: its name.
        assert error["problem"]["errors"][0]["pointer"] == "/custom_id"
        return
    for name in ("type", "title", "status", "detail", "errors"):
        assert error["problem"].get(name) == (single.json or {}).get(name)


@pytest.mark.parametrize(
    ("body", "total", "rejected"),
    [
        (b"", 0, 0),
        (b"\n\n  \n\r\n", 0, 0),
        (good(1).encode(), 1, 0),
        (good(1).encode() + b"\n", 1, 0),
        (b"\xef\xbb\xbf" + good(1).encode() + b"\n", 1, 0),
        (f"{good(1)}\r\n{good(2)}\r\n".encode(), 2, 0),
        (f"\n{good(1)}\n\n\n{good(2)}".encode(), 2, 0),
        (b"x\n" * 200, 200, 200),
        (b"no end", 1, 1),
        (f"{good(1)}\r{good(2)}".encode(), 1, 1),
    ],
    ids=[
        *("nothing", "only empty lines", "no newline", "one line", "BOM"),
        *("CRLF", "empty ones between", "all bad", "bad without an end", "CR is no end of line"),
    ],
)
def test_lines_are_what_people_take_for_lines(
    sqlite_door: Door, body: bytes, total: int, rejected: int
) -> None:
    ada = sqlite_door.user()
    answer = sqlite_door.post("/batches", data=body, headers={**ada, **NDJSON})
    assert answer.status_code == 202
    assert (answer.json["total"], answer.json["rejected"]) == (total, rejected)
    assert answer.json["status"] == ("finished" if total == rejected else "running")
    counts(sqlite_door, ada, answer.json["id"])


def test_the_number_of_a_line_is_its_number_in_the_body(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, "", good(1), "", "bad", good(2)).json["id"]
    work(door)
    assert [line["line"] for line in lines_of(door, ada, batch_id, "insights")] == [2, 5]
    assert [line["line"] for line in lines_of(door, ada, batch_id, "errors")] == [4]


def test_a_name_is_for_one_line_whether_that_was_good_or_bad(
    door: Door, ada: dict[str, str]
) -> None:
    bad = '{"custom_id": "line 3", "leads": 1}'
    lines = [good(1), good(2), good(1), bad, *(good(n) for n in range(100, 170)), good(2), good(3)]
    batch_id = door.submit(ada, *lines).json["id"]
    work(door)
    errors = lines_of(door, ada, batch_id, "errors")
    assert [error["line"] for error in errors] == [3, 4, 75, 76]
    assert errors[0]["problem"]["errors"] == [
        {"pointer": "/custom_id", "detail": "is that of an earlier line"}
    ]
    assert counts(door, ada, batch_id)["finished"] == 72
    # Another batch, or another user, is another matter.
    assert door.submit(ada, good(1)).json["rejected"] == 0
    assert door.submit(door.user("bob"), good(1)).json["rejected"] == 0


def test_every_line_gets_its_own_insights(door: Door, ada: dict[str, str]) -> None:
    lines = [good(n, *[1, -1] * n, 1) for n in range(200)]
    batch_id = door.submit(ada, *lines).json["id"]
    assert counts(door, ada, batch_id)["pending"] == 200
    work(door)
    finished = lines_of(door, ada, batch_id, "insights")
    found = [line["leads"][0]["number_of_zero_crossings"] for line in finished]
    assert found == [2 * n for n in range(200)]
    for line in finished[::50]:
        poll = door.get(f"/ecgs/{line['ecg_id']}/insights", headers=ada).json
        assert poll == {name: line[name] for name in ("ecg_id", "status", "leads", "insights")}


@pytest.mark.parametrize("cut_at", [10, 100, 1000, 5000])
def test_what_came_before_broken_gzip_stays_and_is_gone_on_with(
    door: Door, ada: dict[str, str], cut_at: int
) -> None:
    lines = [good(n, *range(-n, n)) for n in range(300)]
    packed = gzip.compress("\n".join(lines).encode())
    headers = {**ada, **NDJSON, "Content-Encoding": "gzip", "Idempotency-Key": "k"}
    answer = door.post("/batches", data=packed[:cut_at], headers=headers)
    assert answer.status_code == 400
    answer = door.get("/batches", headers=ada)
    [batch] = answer.json["data"]
    assert batch["status"] == "receiving"
    assert batch["counts"]["rejected"] == 0
    again = door.post("/batches", data=packed, headers=headers)
    assert (again.status_code, again.json["id"]) == (202, batch["id"])
    assert (again.json["total"], again.json["known"]) == (300, batch["counts"]["total"])
    work(door)
    finished = lines_of(door, ada, batch["id"], "insights")
    assert [line["custom_id"] for line in finished] == [f"line {n}" for n in range(300)]
    assert counts(door, ada, batch["id"]) == {
        "total": 300,
        "pending": 0,
        "finished": 300,
        "failed": 0,
        "rejected": 0,
    }


def test_a_line_that_is_cut_is_not_taken_for_a_bad_one(door: Door, ada: dict[str, str]) -> None:
    whole = f"{good(1)}\n{good(2)}\n{good(3)}"
    for cut_at in range(len(good(1)) + 2, len(whole), 7):
        headers = {**ada, **NDJSON, "Idempotency-Key": str(cut_at)}
        # Nobody knows where the end should have been.
        answer = post_in_parts(door, headers, [whole[:cut_at].encode()])
        assert answer.status_code in {202, 400}
        again = door.submit(ada, *whole.split("\n"), **{"Idempotency-Key": str(cut_at)})
        assert (again.status_code, again.json["total"], again.json["rejected"]) == (202, 3, 0)


class Parts:
    """A body as it comes through a server, without a length."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)

    def read(self, size: int) -> bytes:
        return next(self._parts, b"")


def post_in_parts(door: Door, headers: dict[str, str], parts: Iterable[bytes]) -> TestResponse:
    environ = {
        "wsgi.input": Parts(parts),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    return door.post("/batches", headers={**headers, **NDJSON}, environ_overrides=environ)


def test_the_same_key_again_stores_nothing_twice(door: Door, ada: dict[str, str]) -> None:
    unnamed = json.dumps({"leads": [{"name": "I", "signal": [1]}]})
    lines = [good(1), unnamed, "bad", good(1), unnamed]
    first = door.submit(ada, *lines, **{"Idempotency-Key": "k"})
    work(door)
    again = door.submit(ada, *lines, **{"Idempotency-Key": "k"})
    assert again.json["id"] == first.json["id"]
    assert again.json["known"] == 5
    # Nothing has come: it is as finished as it was.
    assert again.json["status"] == "finished"
    more = door.submit(ada, *lines, good(2), unnamed, **{"Idempotency-Key": "k"})
    assert (more.json["known"], more.json["total"], more.json["status"]) == (5, 7, "running")
    # The rest alone, as a client sends it that knows what it has sent.
    rest = door.submit(ada, good(2), good(3), **{"Idempotency-Key": "k"})
    assert (rest.json["known"], rest.json["total"]) == (1, 8)
    work(door)
    assert counts(door, ada, first.json["id"])["finished"] == 6
    names = [line["custom_id"] for line in lines_of(door, ada, first.json["id"], "insights")]
    assert names == ["line 1", None, None, "line 2", None, "line 3"]


def test_what_stands_where_it_stood_is_not_read_again(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed = json.dumps({"leads": [{"name": "I", "signal": [1]}]})
    # Two of one name, of which the second was rejected, and others that are bad.
    lines = [good(1), unnamed, "bad", good(1), *(good(n) for n in range(2, 150)), "{}"]
    key = {"Idempotency-Key": "k"}
    door.submit(ada, *lines, **key)
    read = []

    def look(text: bytes, kind: type[uploads.Upload]) -> uploads.Recording:
        read.append(text.decode())
        return uploads.parse(text, kind)

    monkeypatch.setattr(reception, "parse", look)
    again = door.submit(ada, *lines, good(150), good(2), **key)
    assert (again.json["known"], again.json["total"]) == (len(lines), len(lines) + 2)
    assert read == [good(150), good(2)]
    # In another order they are known as well, although that takes a look at them.
    turned = door.submit(ada, *reversed(lines), **key)
    assert (turned.json["known"], turned.json["total"]) == (len(lines), len(lines) + 2)


def test_progress_never_falls_when_more_lines_come(door: Door, ada: dict[str, str]) -> None:
    lines = [good(n) for n in range(4)]
    batch_id = door.submit(ada, *lines, **{"Idempotency-Key": "k"}).json["id"]
    path = f"/batches/{batch_id}"
    first, door.rung[:] = door.rung[:1], door.rung[1:]
    [claim] = claims.claim(door.engine, first, "a message").claims
    assert endings.finish(door.engine, [(claim, b"{}")])
    said = [door.get(path, headers=ada).json["progress"]]

    def more() -> Iterable[bytes]:
        yield "".join(f"{line}\n" for line in [*lines, *map(good, range(10, 80))]).encode()
        said.append(door.get(path, headers=ada).json["progress"])
        yield f"{good(100)}\n".encode()

    assert post_in_parts(door, {**ada, "Idempotency-Key": "k"}, more()).status_code == 202
    assert door.get(path, headers=ada).json["status"] == "running"
    said.append(door.get(path, headers=ada).json["progress"])
    assert said == [0.25, 0.25, 0.25]
    work(door)
    assert door.get(path, headers=ada).json["progress"] == 1
    # It had ended: now it begins anew.
    again = door.submit(ada, good(200), **{"Idempotency-Key": "k"}).json["id"]
    assert again == batch_id
    assert 0.9 < door.get(path, headers=ada).json["progress"] < 1


def test_a_request_that_took_over_fences_the_first(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dawdle() -> Iterable[bytes]:
        yield b"".join(f"{good(n)}\n".encode() for n in range(10, 80))
        assert door.submit(ada, good(1), good(500), **{"Idempotency-Key": "k"}).status_code == 202
        yield b"".join(f"{good(n)}\n".encode() for n in range(80, 160))

    late = post_in_parts(door, {**ada, "Idempotency-Key": "k"}, dawdle())
    assert (late.status_code, late.json["type"]) == (409, "/problems/batch-taken-over")
    assert late.json["detail"] == open_batch.TAKEN_OVER


def test_cancelling_stops_what_has_not_begun_and_keeps_what_has_finished(
    door: Door, ada: dict[str, str]
) -> None:
    batch_id = door.submit(ada, *(good(n) for n in range(100)), "bad").json["id"]
    first, door.rung[:] = door.rung[:10], []
    [begun, *_] = claims.claim(door.engine, first[:1], "a message").claims
    door.rung[:] = first[1:]
    door.work()
    cancelled = door.post(f"/batches/{batch_id}/cancel", headers=ada)
    assert cancelled.json["status"] == "cancelled"
    assert claims.claim(door.engine, first, "another").claims == []
    waiting = door.get("/ecgs?status=pending&limit=500", headers=ada).json["data"]
    assert len(waiting) == 91
    assert retire_cancelled(door.engine) == 90
    assert endings.finish(door.engine, [(begun, b"{}")])
    assert counts(door, ada, batch_id) == {
        "total": 101,
        "pending": 0,
        "finished": 10,
        "failed": 90,
        "rejected": 1,
    }
    failed = [
        error for error in lines_of(door, ada, batch_id, "errors") if error["verdict"] == "failed"
    ]
    assert {error["problem"]["detail"] for error in failed} == {CANCELLED}
    # Again, it is what it was; and it takes no more lines.
    batch = door.get(f"/batches/{batch_id}", headers=ada).json
    assert door.post(f"/batches/{batch_id}/cancel", headers=ada).json == batch


def test_a_batch_that_was_cancelled_takes_no_more_lines(door: Door, ada: dict[str, str]) -> None:
    key = {"Idempotency-Key": "k"}
    batch_id = door.submit(ada, good(1), **key).json["id"]
    door.post(f"/batches/{batch_id}/cancel", headers=ada)
    answer = door.submit(ada, good(1), good(2), **key)
    assert (answer.status_code, answer.json["detail"]) == (409, open_batch.CANCELLED)


def test_a_finished_batch_cannot_be_cancelled(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    work(door)
    batch = door.post(f"/batches/{batch_id}/cancel", headers=ada).json
    assert (batch["status"], batch["counts"]["finished"]) == ("finished", 1)


def test_erasing_takes_everything_along(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    batch_id = door.submit(ada, *(good(n) for n in range(10)), "bad").json["id"]
    kept = door.upload(ada, [1])
    work(door)
    assert door.delete(f"/batches/{batch_id}", headers=ada).status_code == 204
    assert door.get(f"/batches/{batch_id}", headers=ada).status_code == 404
    assert door.delete(f"/batches/{batch_id}", headers=ada).status_code == 404
    with reading(door.engine) as connection:
        for table, left in ((Ecg, 1), (Signal, 1), (Insights, 1), (Batch, 0), (RejectedLine, 0)):
            assert connection.scalar(select(func.count()).select_from(table)) == left
    assert door.get(f"/ecgs/{kept}", headers=ada).status_code == 200


@pytest.mark.parametrize("whom", ["batch", "user"])
def test_rejected_lines_are_erased_by_the_handful_before_their_batch(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    batch_id = door.submit(ada, good(1), *["bad"] * 10).json["id"]
    left: list[int | None] = []

    def look(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("DELETE FROM rejected_lines"):
            with reading(door.engine) as connection:
                left.append(connection.scalar(select(func.count()).select_from(RejectedLine)))
        if statement.startswith("DELETE FROM batches"):
            left.append(None)

    event.listen(door.engine, "before_cursor_execute", look)
    if whom == "batch":
        assert door.delete(f"/batches/{batch_id}", headers=ada).status_code == 204
    else:
        assert door.delete("/users/ada", headers=ADMIN).status_code == 204
    event.remove(door.engine, "before_cursor_execute", look)
    assert left == [10, 7, 4, 1, None]


def test_a_batch_whose_erasure_was_cut_short_still_comes_to_its_end(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    batch_id = door.submit(ada, *(good(n) for n in range(10))).json["id"]

    def end(_: float) -> None:
        raise SystemExit

    monkeypatch.setattr("api.erasure.time.sleep", end)
    with pytest.raises(SystemExit):
        door.delete(f"/batches/{batch_id}", headers=ada)
    with reading(door.engine) as connection:
        user_id = connection.scalar(select(Batch.user_id)) or 0
    # As the relay does with what is cancelled.
    assert endings.retire(door.engine, batch_id, user_id) == 7
    batch = door.get(f"/batches/{batch_id}", headers=ada).json
    assert batch["finished_at"]
    assert (batch["counts"]["pending"], batch["counts"]["failed"]) == (0, 10)


def test_lines_that_come_while_a_finished_batch_is_erased_are_not_left_behind(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    key = {"Idempotency-Key": "k"}
    batch_id = door.submit(ada, good(1), **key).json["id"]
    work(door)

    def erase_and_hold(*arguments: Any) -> None:
        erase_every(*arguments)
        late = door.submit(ada, *(good(n) for n in range(2, 12)), "bad", **key)
        assert (late.status_code, late.json["id"]) == (202, batch_id)

    monkeypatch.setattr("api.batches.erase_every", erase_and_hold)
    assert door.delete(f"/batches/{batch_id}", headers=ada).status_code == 204
    with reading(door.engine) as connection:
        for table in (Ecg, Signal, Insights, Batch, RejectedLine):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_an_ecg_that_is_erased_is_not_waited_for(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1), good(2)).json["id"]
    first, second = door.rung
    door.delete(f"/ecgs/{first}", headers=ada)
    assert counts(door, ada, batch_id)["failed"] == 1
    work(door)
    door.delete(f"/ecgs/{second}", headers=ada)
    assert counts(door, ada, batch_id) == {
        "total": 2,
        "pending": 0,
        "finished": 1,
        "failed": 1,
        "rejected": 0,
    }


def test_a_strangers_batch_does_not_exist(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    bob = door.user("bob")
    unknown = "00000000-0000-0000-0000-000000000000"
    for method, end in [
        *(("GET", ""), ("DELETE", ""), ("POST", "/cancel")),
        *(("GET", "/insights"), ("GET", "/errors")),
    ]:
        theirs = door.ask(method, f"/batches/{batch_id}{end}", headers=bob)
        nobodys = door.ask(method, f"/batches/{unknown}{end}", headers=bob)
        assert theirs.status_code == nobodys.status_code == 404
        alike = [{**(answer.json or {}), "request_id": ""} for answer in (theirs, nobodys)]
        assert alike[0] == alike[1]
    assert door.get("/batches", headers=bob).json == {"data": [], "next_cursor": None}
    assert door.get(f"/batches/{batch_id}", headers=ada).status_code == 200


def test_batches_are_listed_a_page_at_a_time_newest_first(door: Door, ada: dict[str, str]) -> None:
    ids = [door.submit(ada, good(1)).json["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = door.get(f"/batches?limit=2{cursor}", headers=ada).json
        seen += [batch["id"] for batch in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert door.get("/batches?cursor=x", headers=ada).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "text/csv"}, 415),
        ({"Content-Type": "application/x-ndjson; charset=latin-1"}, 415),
        ({**NDJSON, "Content-Encoding": "br"}, 415),
        ({**NDJSON, "Content-Encoding": "gzip"}, 400),
        ({**NDJSON, "Idempotency-Key": "ü"}, 400),
        ({**NDJSON, "x-user-token": "nobody's"}, 401),
    ],
)
def test_what_cannot_be_read_is_refused(
    sqlite_door: Door, headers: dict[str, str], status: int
) -> None:
    ada = sqlite_door.user()
    answer = sqlite_door.post("/batches", data=good(1), headers={**ada, **headers})
    assert answer.status_code == status


def test_an_unchanged_batch_is_not_sent_again(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    tag = door.get(f"/batches/{batch_id}", headers=ada).headers["ETag"]
    unchanged = {**ada, "If-None-Match": tag}
    assert door.get(f"/batches/{batch_id}", headers=unchanged).status_code == 304
    work(door)
    assert door.get(f"/batches/{batch_id}", headers=unchanged).status_code == 200


def test_waiting_for_a_batch_ends_with_it(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    with ThreadPoolExecutor(1) as pool:
        patient = {**ada, "Prefer": "wait=15"}
        waiting = pool.submit(door.get, f"/batches/{batch_id}", headers=patient)
        time.sleep(0.2)
        assert not waiting.done()
        door.work()
        answer = waiting.result(5)
    assert answer.json["status"] == "finished"
    assert answer.headers["Preference-Applied"] == "wait=15"


def test_no_more_of_a_user_stands_in_the_queue_than_may(door: Door, ada: dict[str, str]) -> None:
    door.submit(ada, *(good(n) for n in range(1000)))
    assert LINES_IN_QUEUE <= len(door.rung) < LINES_IN_QUEUE + LINES_PER_MESSAGE
    many = len(door.rung)
    door.submit(door.user("bob"), *(good(n) for n in range(10)))
    # Whoever comes later with a little stands behind that, and not behind all of it.
    assert len(door.rung) == many + 10


def test_what_has_many_leads_is_a_lot_however_short_they_are(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it is one message here, which a busy machine would have put down before its end.
    monkeypatch.setattr(tasks, "MESSAGE_S", 40.0)
    leads = [{"name": "I", "signal": [1]}] * (WEIGHT_PER_MESSAGE // SAMPLES_A_LEAD // 2 + 1)
    batch_id = door.submit(ada, *[json.dumps({"leads": leads})] * 10).json["id"]
    # Two are a message.
    assert len(door.rung) == 2 * MESSAGES_IN_QUEUE
    bob = door.user("bob")
    small = door.submit(bob, good(1)).json["id"]
    assert len(door.rung) == 2 * MESSAGES_IN_QUEUE + 1
    door.work()
    assert counts(door, bob, small)["finished"] == 1
    assert counts(door, ada, batch_id)["finished"] == 2 * MESSAGES_IN_QUEUE


def test_a_line_waits_in_its_own_queue(door: Door, ada: dict[str, str]) -> None:
    last = LINES_IN_QUEUE + 50
    batch_id = door.submit(ada, *(good(n) for n in range(last + 1))).json["id"]
    single = door.upload(ada, [1])
    with reading(door.engine) as connection:
        ids = connection.scalars(select(Ecg.id).where(Ecg.batch_id == batch_id).order_by(Ecg.line))
        lines = ids.all()
    answer = door.get(f"/ecgs/{single}/insights", headers=ada).json
    assert (answer["waiting_for"], answer["ahead"]) == ("worker", None)

    def ahead(ecg_id: str) -> int:
        with reading(door.engine) as connection:
            progress = find_progress(connection, Caller(1), ecg_id)
        return _count_ahead(door.engine, progress)

    assert ahead(single) == 0
    assert ahead(lines[0]) == 0
    behind = LINES_PER_MESSAGE + 6
    assert LINES_PER_MESSAGE <= ahead(lines[behind]) <= behind
    assert ahead(lines[last]) == last


def test_counting_costs_the_same_however_large_a_batch_is(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, *(good(n) for n in range(10))).json["id"]
    with transaction(door.engine) as connection:
        # The rows could be gone: a poll looks at none of them.
        connection.execute(delete(Ecg))
    assert counts(door, ada, batch_id)["pending"] == 10


def a_day_passes(door: Door, batch_id: str) -> None:
    """Have all that has happened to a batch have happened a day earlier."""
    past = ("created_at_s", "received_at_s", "progressed_at_s", "finished_at_s")
    earlier = {name: Batch.__table__.c[name] - 86_400.0 for name in past}
    with transaction(door.engine) as connection:
        connection.execute(update(Batch).where(Batch.id == batch_id).values(earlier))


def test_a_pause_is_no_part_of_the_rate(door: Door, ada: dict[str, str]) -> None:
    key = {"Idempotency-Key": "k"}
    lines = [good(n) for n in range(6)]

    def look() -> dict[str, Any]:
        found: dict[str, Any] = door.ask("GET", f"/batches/{batch_id}", headers=ada).json or {}
        return found

    batch_id = door.submit(ada, *lines[:3], **key).json["id"]
    assert (look()["rate_per_s"], look()["eta_s"]) == (None, None)
    work(door)
    first = look()["rate_per_s"]
    assert first > 0.1
    assert look()["eta_s"] == 0
    a_day_passes(door, batch_id)
    assert look()["rate_per_s"] == first
    # The other half comes on the next day.
    assert door.submit(ada, *lines, "bad", **key).json["total"] == 7
    assert look()["rate_per_s"] == first
    rest, door.rung[:] = door.rung[1:], door.rung[:1]
    door.work()
    assert look()["rate_per_s"] > 0.1
    assert look()["counts"]["pending"] == 2
    assert look()["eta_s"] == pytest.approx(2 / look()["rate_per_s"], abs=0.1)
    # And for another day nobody is at work.
    a_day_passes(door, batch_id)
    door.rung[:] = rest
    work(door)
    assert look()["rate_per_s"] > 6 / 700
    assert look()["status"] == "finished"


def test_too_many_lines_are_refused_and_those_before_are_kept(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "MOST_LINES", 100)
    answer = door.submit(ada, *(good(n) for n in range(101)))
    assert answer.status_code == 413
    [batch] = door.get("/batches", headers=ada).json["data"]
    assert (batch["status"], batch["counts"]["total"]) == ("receiving", 100)


def test_too_many_lines_of_several_requests_are_refused(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "MOST_LINES", 100)
    key = {"Idempotency-Key": "k"}
    assert door.submit(ada, *(good(n) for n in range(80)), **key).status_code == 202
    answer = door.submit(ada, *(good(n) for n in range(80, 180)), **key)
    assert answer.status_code == 413
    [batch] = door.get("/batches", headers=ada).json["data"]
    assert batch["counts"]["total"] == 80 + LINES_PER_MESSAGE


def test_a_user_who_is_erased_meanwhile_stores_nothing_more(door: Door) -> None:
    bob = door.user("bob")
    lines = [f"{good(n)}\n".encode() for n in range(2 * LINES_PER_MESSAGE)]
    # One chunk is stored by then, and some lines wait for the second.
    there = LINES_PER_MESSAGE + 6

    def part() -> Iterable[bytes]:
        yield b"".join(lines[:there])
        with transaction(door.engine) as connection:
            connection.execute(delete(Ecg))
            connection.execute(delete(User))
        yield b"".join(lines[there:])

    answer = post_in_parts(door, bob, part())
    assert answer.status_code in {401, 409}
    with reading(door.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(Ecg)) == 0


def test_a_row_that_is_taken_back_for_the_last_time_is_counted(
    door: Door, ada: dict[str, str]
) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    with transaction(door.engine) as connection:
        connection.execute(
            update(Ecg).values(status="running", attempts=claims.MAX_ATTEMPTS, lease_until_s=0)
        )
    assert endings.sweep(door.engine) == 1
    assert counts(door, ada, batch_id)["failed"] == 1
    [error] = lines_of(door, ada, batch_id, "errors")
    assert (error["verdict"], error["problem"]["detail"]) == ("failed", endings.GAVE_UP)
    assert error["problem"]["type"] == "/problems/analysis-failed"
    assert door.get("/problems/analysis-failed").status_code == 200


def test_the_index_keeps_two_lines_from_one_name(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada, good(1)).json["id"]
    with reading(door.engine) as connection:
        row = dict(connection.execute(select(Ecg.__table__)).mappings().one())
    for change in ({"line": 1, "custom_id": "b"}, {"line": 2}):
        with pytest.raises(IntegrityError), transaction(door.engine) as connection:
            connection.execute(insert(Ecg), {**row, "id": f"other {batch_id}"[:36], **change})
