"""Whatever goes wrong, neither the answer nor the log quotes what was sent or stored."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

import api.ecgs
from tests.api.cage import (
    LARGE_SAMPLE,
    MARKED,
    NAME,
    SAMPLE,
    SMALL_SAMPLE,
    TOKEN,
    USERNAME,
    Cage,
    check,
)
from tests.door import Door
from tests.parts import ADMIN


def malformed(cage: Cage) -> TestResponse:
    return cage.post('{"leads": [{"name": "canary-lead", "signal": [271828182, canary')


def not_utf_8(cage: Cage) -> TestResponse:
    return cage.post(b'{"leads": [{"name": "canary-lead\xff", "signal": [271828182]}]}')


def no_gzip(cage: Cage) -> TestResponse:
    return cage.post(b"canary, not gzip", **{"Content-Encoding": "gzip"})


def cut_gzip(cage: Cage) -> TestResponse:
    body = gzip.compress(json.dumps({"leads": [MARKED]}).encode())
    return cage.post(body[:-9], **{"Content-Encoding": "gzip"})


def bad_key(cage: Cage) -> TestResponse:
    return cage.upload(MARKED, **{"Idempotency-Key": "canary key"})


def unknown_token(cage: Cage) -> TestResponse:
    return cage.upload(MARKED, **{"x-user-token": TOKEN})


def unknown_bearer(cage: Cage) -> TestResponse:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return cage.door.get(f"/ecgs/{cage.ecg_id}", headers=headers)


def unknown_admin(cage: Cage) -> TestResponse:
    return cage.door.post(f"/users/{USERNAME}/token", headers={"x-admin-token": TOKEN})


def nowhere(cage: Cage) -> TestResponse:
    return cage.door.get(f"/canary/{USERNAME}?token={TOKEN}", headers=cage.user)


def somebody_elses(cage: Cage) -> TestResponse:
    return cage.door.get(f"/ecgs/{cage.ecg_id}/insights", headers=cage.other)


def no_such_id(cage: Cage) -> TestResponse:
    return cage.door.delete(f"/ecgs/{NAME}", headers=cage.user)


def no_such_user(cage: Cage) -> TestResponse:
    return cage.door.delete(f"/users/{USERNAME}-too", headers=ADMIN)


def not_that_method(cage: Cage) -> TestResponse:
    return cage.door.ask("PUT", f"/ecgs/{NAME}", headers=cage.user)


def taken(cage: Cage) -> TestResponse:
    return cage.door.post("/users", json={"username": USERNAME}, headers=ADMIN)


def too_large(cage: Cage) -> TestResponse:
    return cage.post(json.dumps({"leads": [MARKED]}).encode() + b" " * 5 * 2**20)


def too_large_once_expanded(cage: Cage) -> TestResponse:
    body = json.dumps({"leads": [MARKED]}).encode() + b" " * 5 * 2**20
    return cage.post(gzip.compress(body), **{"Content-Encoding": "gzip"})


def not_json(cage: Cage) -> TestResponse:
    return cage.post(f"{NAME},{SMALL_SAMPLE}", **{"Content-Type": "text/canary-csv"})


def unknown_encoding(cage: Cage) -> TestResponse:
    return cage.upload(MARKED, **{"Content-Encoding": "canary"})


def text_for_a_sample(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME, "signal": [1, SAMPLE]})


def nested_samples(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME, "signal": [1, [SMALL_SAMPLE]]})


def beyond_32_bits(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME, "signal": [1, LARGE_SAMPLE]})


def another_number(cage: Cage) -> TestResponse:
    return cage.upload({**MARKED, "number_of_samples": 3})


def no_signal(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME, "signal": SAMPLE})


def name_too_long(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME * 100, "signal": [SMALL_SAMPLE]})


def control_character(cage: Cage) -> TestResponse:
    return cage.upload({"name": f"{NAME}\0", "signal": [SMALL_SAMPLE]})


def unfit_fields(cage: Cage) -> TestResponse:
    fields = {"unit": 7, "date": "canary", "gain": "canary", "sampling_rate": -SMALL_SAMPLE}
    return cage.post(json.dumps({"leads": [MARKED], **fields}))


def another_body(cage: Cage) -> TestResponse:
    return cage.upload({"name": NAME, "signal": [2]}, **{"Idempotency-Key": "a-key"})


def unfit_username(cage: Cage) -> TestResponse:
    return cage.door.post("/users", json={"username": f"{USERNAME} /"}, headers=ADMIN)


def unfit_query(cage: Cage) -> TestResponse:
    return cage.door.get("/ecgs?limit=canary&cursor=canary&status=canary", headers=cage.user)


REFUSALS: dict[Callable[[Cage], TestResponse], int] = {
    malformed: 400,
    not_utf_8: 400,
    no_gzip: 400,
    cut_gzip: 400,
    bad_key: 400,
    unknown_token: 401,
    unknown_bearer: 401,
    unknown_admin: 401,
    nowhere: 404,
    somebody_elses: 404,
    no_such_id: 404,
    no_such_user: 404,
    not_that_method: 405,
    taken: 409,
    too_large: 413,
    too_large_once_expanded: 413,
    not_json: 415,
    unknown_encoding: 415,
    text_for_a_sample: 422,
    nested_samples: 422,
    beyond_32_bits: 422,
    another_number: 422,
    no_signal: 422,
    name_too_long: 422,
    control_character: 422,
    unfit_fields: 422,
    another_body: 422,
    unfit_username: 422,
    unfit_query: 422,
}


def a_row_that_is_damaged(cage: Cage) -> TestResponse:
    cage.execute("UPDATE ecgs SET leads = 'canary-lead 271828182'")
    return cage.describe()


def a_database_that_refuses(cage: Cage) -> TestResponse:
    cage.execute(
        "CREATE TRIGGER refusing BEFORE INSERT ON signals "
        "BEGIN SELECT RAISE(ABORT, 'canary-lead 271828182'); END"
    )
    return cage.upload(MARKED)


def a_table_that_is_gone(cage: Cage) -> TestResponse:
    cage.execute("ALTER TABLE signals RENAME TO canary")
    return cage.upload(MARKED)


FAULTS: dict[Callable[[Cage], TestResponse], int] = {
    a_row_that_is_damaged: 500,
    a_database_that_refuses: 500,
    a_table_that_is_gone: 503,
}


@pytest.fixture
def cage(sqlite_door: Door) -> Cage:
    return Cage(sqlite_door)


@pytest.mark.parametrize(
    ("act", "expected"),
    [pytest.param(act, status, id=act.__name__) for act, status in (REFUSALS | FAULTS).items()],
)
def test_no_error_quotes_what_was_sent_or_stored(
    cage: Cage, act: Callable[[Cage], TestResponse], expected: int
) -> None:
    check(cage, act, expected)


def test_a_fault_in_a_view_is_logged_by_its_place_and_without_its_words(
    cage: Cage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        try:
            raise KeyError(NAME, SMALL_SAMPLE)
        except KeyError as error:
            raise RuntimeError(f"{TOKEN} {USERNAME}") from error

    monkeypatch.setattr(api.ecgs, "find_one", break_down)
    logged = check(cage, Cage.describe, 500)
    assert "RuntimeError" in logged
    assert "KeyError" in logged
    assert "test_quoting.py" in logged
