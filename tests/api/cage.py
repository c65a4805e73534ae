"""Somebody whose every name and sample is marked, and what must never be said again of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from werkzeug.test import TestResponse

from shared.database import transaction
from tests.door import Door
from tests.parts import ADMIN, lines_of

NAME = "canary-lead"
USERNAME = "canary-username"
TOKEN = "canary-token-of-nobody"
# As a text, as a number beyond 32 bits, and as one that is within.
SAMPLE, LARGE_SAMPLE, SMALL_SAMPLE = "canary-sample", 271828182845, 271828182
SECRETS = ("canary", "271828182")

JSON = {"Content-Type": "application/json"}
MARKED = {"name": NAME, "signal": [1, SMALL_SAMPLE]}


class Cage:
    """A door, somebody with a marked name, and one marked recording of theirs."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.user = door.user(USERNAME)
        self.other = door.user("other")
        self.ecg_id = self.upload(MARKED, **{"Idempotency-Key": "a-key"}).json["id"]

    def upload(self, *leads: Any, **headers: str) -> TestResponse:
        return self.post(json.dumps({"leads": leads, "unit": "canary-unit"}), **headers)

    def post(self, body: str | bytes, **headers: str) -> TestResponse:
        return self.door.post("/ecgs", data=body, headers={**JSON, **self.user, **headers})

    def execute(self, statement: str) -> None:
        with transaction(self.door.engine) as connection:
            connection.exec_driver_sql(statement)

    def describe(self) -> TestResponse:
        return self.door.get(f"/ecgs/{self.ecg_id}", headers=self.user)


def check(cage: Cage, act: Callable[[Cage], TestResponse], expected: int) -> str:
    """Have it answered so, with nothing quoted in answer and log; return what was logged."""
    answers: list[TestResponse] = []
    logged = lines_of(lambda: answers.append(act(cage)))
    [answer] = answers
    assert answer.status_code == expected, answer.text
    assert answer.json["detail"]
    # The line of this very request.
    assert f'"status": {expected}' in logged
    assert answer.json["request_id"] in logged
    for secret in (*SECRETS, cage.user["x-user-token"], ADMIN["x-admin-token"]):
        assert secret not in answer.text
        assert secret not in str(answer.headers)
        assert secret not in logged
    return logged
