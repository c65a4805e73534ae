"""A disk that is full: what cannot be stored is refused, and nothing is half there."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from shared.database import reading
from shared.models import Ecg, RejectedLine, Signal
from shared.settings import Settings
from tests.databases import Disk
from tests.door import Door

CHANCE = random.Random(1)
SIGNAL = [CHANCE.randrange(2**31) for _ in range(20_000)]
BODY = {"leads": [{"name": "I", "signal": SIGNAL}]}


def upload(door: Door, user: dict[str, str]) -> TestResponse:
    return door.post("/ecgs", json=BODY, headers=user)


def submit(door: Door, user: dict[str, str]) -> TestResponse:
    return door.submit(user, json.dumps(BODY))


@pytest.mark.parametrize("send", [upload, submit])
def test_what_finds_no_room_is_refused_and_leaves_nothing(
    settings: Settings, sqlite_door: Door, send: Callable[[Door, dict[str, str]], TestResponse]
) -> None:
    ada = sqlite_door.user()
    full = Disk(sqlite_door.engine)
    door = Door(settings, full.engine)
    answer = send(door, ada)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert not door.rung
    # It can be read, which is no use to those who upload.
    ready = door.get("/health/ready")
    assert (ready.status_code, ready.json["database"]) == (503, "unavailable")
    with reading(full.engine) as connection:
        for table in (Ecg, Signal, RejectedLine):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    full.make_room()
    assert send(door, ada).status_code in {201, 202}
    assert door.get("/health/ready").json["database"] == "ok"
    full.engine.dispose()
