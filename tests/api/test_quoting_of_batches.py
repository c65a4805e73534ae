"""What goes wrong with a batch or a line of it quotes nothing but what the line calls itself."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.app import EXPORTS
from api.problems import ALL_KINDS
from api.routes.desk import Desk
from tests.api.cage import (
    LARGE_SAMPLE,
    MARKED,
    NAME,
    SAMPLE,
    SECRETS,
    SMALL_SAMPLE,
    TOKEN,
    USERNAME,
    Cage,
    check,
)
from tests.api.test_batches import post_in_parts
from tests.api.test_quoting import FAULTS, REFUSALS
from tests.door import Door
from tests.parts import ADMIN
from worker.relay import publish_catalogue

GOOD = json.dumps({"custom_id": "canary-good", "leads": [MARKED]})


def line(*leads: Any, **fields: Any) -> str:
    return json.dumps({"custom_id": f"canary-{len(leads)}-{fields}", "leads": leads, **fields})


BAD: list[str | bytes] = [
    '{"custom_id": "canary-cut", "leads": [{"name": "canary-lead", "signal": [271828182, canary',
    b'{"custom_id": "canary-bytes", "leads": [{"name": "canary-lead\xff", "signal": [271828182]}]}',
    f"{NAME},{SMALL_SAMPLE}",
    f'"{SAMPLE}"',
    f"[{SMALL_SAMPLE}]",
    GOOD,
    json.dumps({"custom_id": 271828182, "leads": [MARKED]}),
    json.dumps({"custom_id": "canary\0", "leads": [MARKED]}),
    json.dumps({"custom_id": "canary-no-leads", "canary": SAMPLE}),
    line({"name": NAME, "signal": [1, SAMPLE]}),
    line({"name": NAME, "signal": [1, [SMALL_SAMPLE]]}),
    line({"name": NAME, "signal": [1, LARGE_SAMPLE]}),
    line({"name": NAME, "signal": [SMALL_SAMPLE, float("nan")]}),
    line({"name": NAME, "signal": SAMPLE}),
    line({"name": SMALL_SAMPLE, "signal": [SMALL_SAMPLE]}),
    line({"name": NAME * 100, "signal": [SMALL_SAMPLE]}),
    line({"name": f"{NAME}\0", "signal": [SMALL_SAMPLE]}),
    line({**MARKED, "number_of_samples": 3}),
    line({"canary": NAME}, NAME),
    line(MARKED, date="canary", unit=[NAME], gain="canary", baseline=-LARGE_SAMPLE),
    line(MARKED, sampling_rate=-SMALL_SAMPLE, unit="canary" * 100),
    line(MARKED) + " " * 5 * 2**20,
]


def submit(cage: Cage, *lines: str | bytes, **headers: str) -> TestResponse:
    return cage.door.submit(cage.user, *lines, **headers)


def batch(cage: Cage, **headers: str) -> str:
    return f"/batches/{submit(cage, GOOD, **headers).json['id']}"


def cut(cage: Cage) -> TestResponse:
    return post_in_parts(cage.door, cage.user, [GOOD[:-9].encode()])


def cut_gzip(cage: Cage) -> TestResponse:
    headers = {**cage.user, "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    return cage.door.post("/batches", data=gzip.compress(GOOD.encode())[:-9], headers=headers)


def bad_key(cage: Cage) -> TestResponse:
    return submit(cage, GOOD, **{"Idempotency-Key": "canary key"})


def unknown_token(cage: Cage) -> TestResponse:
    return submit(cage, GOOD, **{"x-user-token": TOKEN})


def no_administrator(cage: Cage) -> TestResponse:
    return cage.door.get(f"/recompute?insight={NAME}", headers={"x-admin-token": TOKEN})


def no_such_insight(cage: Cage) -> TestResponse:
    publish_catalogue(cage.door.engine)
    return cage.door.post(f"/recompute?insight={NAME}", headers=ADMIN)


def no_lines(cage: Cage) -> TestResponse:
    return submit(cage, GOOD, **{"Content-Type": f"text/{NAME}"})


def another_charset(cage: Cage) -> TestResponse:
    return submit(cage, GOOD, **{"Content-Type": f"application/x-ndjson; charset={NAME}"})


def no_such_form(cage: Cage) -> TestResponse:
    return cage.door.get(
        f"{batch(cage)}/insights", headers={**cage.user, "Accept": f"text/{USERNAME}"}
    )


def unfit_format(cage: Cage) -> TestResponse:
    return cage.door.get(f"{batch(cage)}/errors?format={NAME}", headers=cage.user)


def unfit_after(cage: Cage) -> TestResponse:
    return cage.door.get(f"{batch(cage)}/errors?after={NAME}", headers=cage.user)


def other_columns(cage: Cage) -> TestResponse:
    return cage.door.get(f"{batch(cage)}/errors?format=csv&columns={NAME}", headers=cage.user)


def unfit_page(cage: Cage) -> TestResponse:
    return cage.door.get(f"/batches?limit={NAME}&cursor={NAME}", headers=cage.user)


def somebody_elses(cage: Cage) -> TestResponse:
    return cage.door.post(f"{batch(cage)}/cancel", headers=cage.other)


def no_such_batch(cage: Cage) -> TestResponse:
    return cage.door.delete(f"/batches/{NAME}", headers=cage.user)


def cancelled(cage: Cage) -> TestResponse:
    key = {"Idempotency-Key": "cancelled"}
    cage.door.post(f"{batch(cage, **key)}/cancel", headers=cage.user)
    return submit(cage, GOOD, **key)


def no_place(cage: Cage) -> TestResponse:
    path, desk = f"{batch(cage)}/errors", cage.door.app.extensions["isoline"]
    assert isinstance(desk, Desk)
    for somebody_else in range(-EXPORTS, 0):
        desk.exports.take(somebody_else)
    return cage.door.get(path, headers=cage.user)


def taken_over(cage: Cage) -> TestResponse:
    key = {"Idempotency-Key": "taken-over"}

    def dawdle() -> Iterator[bytes]:
        submit(cage, GOOD, **key)
        yield GOOD.encode()

    return post_in_parts(cage.door, {**cage.user, **key}, dawdle())


BATCH_REFUSALS: dict[Callable[[Cage], TestResponse], int] = {
    cut: 400,
    cut_gzip: 400,
    bad_key: 400,
    unknown_token: 401,
    no_administrator: 401,
    somebody_elses: 404,
    no_such_batch: 404,
    no_such_form: 406,
    taken_over: 409,
    cancelled: 409,
    other_columns: 409,
    no_lines: 415,
    another_charset: 415,
    no_such_insight: 422,
    unfit_format: 422,
    unfit_after: 422,
    unfit_page: 422,
    no_place: 503,
}


@pytest.fixture
def cage(sqlite_door: Door) -> Cage:
    return Cage(sqlite_door)


@pytest.mark.parametrize(
    ("act", "expected"),
    [pytest.param(act, status, id=act.__name__) for act, status in BATCH_REFUSALS.items()],
)
def test_no_refusal_of_a_batch_quotes_what_was_sent_or_stored(
    cage: Cage, act: Callable[[Cage], TestResponse], expected: int
) -> None:
    check(cage, act, expected)


def test_no_line_at_fault_is_quoted(cage: Cage) -> None:
    received = submit(cage, GOOD, *BAD)
    assert (received.status_code, received.json["rejected"]) == (202, len(BAD))
    # And one is accepted that fails later.
    cage.execute("UPDATE signals SET encoded = CAST('canary-lead 271828182' AS BLOB)")
    cage.door.work()
    path = f"/batches/{received.json['id']}/errors"
    rows = cage.door.get(path, headers=cage.user)
    sheet = cage.door.get(f"{path}?format=csv", headers=cage.user)
    as_lines = [json.loads(text) for text in rows.text.splitlines()]
    as_rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert len(as_lines) == len(as_rows) == 1 + len(BAD)
    failed = as_lines[0]
    assert failed["verdict"] == "failed"
    poll = cage.door.get(f"/ecgs/{failed['ecg_id']}/insights", headers=cage.user)
    assert poll.json["status"] == "failed"
    # What a line calls itself is what its sender knows it by.
    assert as_lines[0].pop("custom_id") == as_rows[0].pop("custom_id") == "canary-good"
    for one in (*as_lines[1:], *as_rows[1:]):
        del one["custom_id"]
    said = f"{received.text} {as_lines} {as_rows} {poll.text}"
    for secret in (*SECRETS, cage.user["x-user-token"]):
        assert secret not in said


def test_every_kind_of_problem_is_provoked(sqlite_door: Door) -> None:
    cage = Cage(sqlite_door)
    # Last what leaves the database damaged.
    acts = [*REFUSALS, *BATCH_REFUSALS, *FAULTS]
    provoked = {str(act(cage).json["type"]) for act in acts}
    # Of the one every word is a constant, and it takes half a minute; the other is of lines, above.
    others = {"/problems/too-slow", "/problems/analysis-failed"}
    assert provoked | others == {f"/problems/{kind.slug}" for kind in ALL_KINDS}
