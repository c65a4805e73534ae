"""A disk that is full: what cannot be stored is refused, and nothing is half there."""

from __future__ import annotations

import random

from sqlalchemy import event, func, select

from shared import database
from shared.database import reading
from shared.models import Ecg, Signal
from shared.settings import Settings
from tests.parts import Door


def test_an_upload_that_finds_no_room_is_refused_and_leaves_nothing(
    settings: Settings, sqlite_door: Door
) -> None:
    # A limit of SQLite's own, which answers like a disk without room: SQLITE_FULL.
    ada = sqlite_door.user()
    with sqlite_door.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    sqlite_door.engine.dispose()
    most = [pages]
    full = database.connect(str(sqlite_door.engine.url))

    def no_more_pages(connection: object, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {most[-1]}")  # type: ignore[attr-defined]

    event.listen(full, "connect", no_more_pages)
    door = Door(settings, full)
    chance = random.Random(1)
    signal = [chance.randrange(2**31) for _ in range(20_000)]
    body = {"leads": [{"name": "I", "signal": signal}]}
    answer = door.post("/ecgs", json=body, headers=ada)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert not door.rung
    # It can be read, which is no use to those who upload.
    ready = door.get("/health/ready")
    assert (ready.status_code, ready.json["database"]) == (503, "unavailable")
    with reading(full) as connection:
        for table in (Ecg, Signal):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    # There is room again.
    most.append(2**30)
    full.dispose()
    assert door.post("/ecgs", json=body, headers=ada).status_code == 201
    assert door.get("/health/ready").json["database"] == "ok"
    full.dispose()
