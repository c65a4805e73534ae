"""A database that is damaged: everything is refused in those words, and may be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import damage
from tests.door import Door
from tests.parts import ADMIN

UPLOAD = {"leads": [{"name": "I", "signal": [1, -1]}]}


@pytest.mark.parametrize("kept_bytes", [0, 4096], ids=["all of it", "all but the first page"])
def test_a_damaged_database_refuses_everything_in_words_of_its_own(
    sqlite_door: Door, kept_bytes: int
) -> None:
    door = sqlite_door
    ada = door.user()
    ecg_id = door.upload(ada, [1, -1])
    door.work()
    damage(door.engine, kept_bytes=kept_bytes)
    file = Path(door.engine.url.database or "")
    before = file.read_bytes()
    for answer in (
        door.post("/ecgs", json=UPLOAD, headers=ada),
        door.submit(ada, '{"leads": []}'),
        door.get(f"/ecgs/{ecg_id}/insights", headers=ada),
        door.get("/ecgs", headers=ada),
        door.delete(f"/ecgs/{ecg_id}", headers=ada),
        door.post("/users", json={"username": "bob"}, headers=ADMIN),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert answer.json["detail"].startswith("The database is damaged: restore it from a backup")
    ready = door.get("/health/ready")
    assert (ready.status_code, ready.json["database"]) == (503, "unavailable")
    assert door.get("/health/ping").status_code == 200
    # Nobody has made it worse.
    assert file.read_bytes() == before
    assert not door.rung
