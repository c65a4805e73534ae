"""Lines of batches go one at a time, and let single uploads go first; but not for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

import api.lane
from api.app import create_app
from api.lane import Lane
from api.routes.desk import desk_of
from shared.settings import Settings
from tests.parts import ADMIN, wait_until

FOR_EVER_S = 3600.0


def test_a_line_lets_an_upload_go_ahead_until_it_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.lane, "AHEAD_S", FOR_EVER_S)
    monkeypatch.setattr(api.lane, "PATIENCE_S", FOR_EVER_S)
    lane, order = Lane(), list[str]()

    def work_on_a_line() -> None:
        with lane:
            order.append("line")

    line = threading.Thread(target=work_on_a_line)
    with lane.overtaking():
        line.start()
        wait_until(lane._lane.locked, what="for the line")
        order.append("upload")
    line.join(30)
    assert order == ["upload", "line"]


def test_however_many_uploads_come_a_batch_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.lane, "AHEAD_S", FOR_EVER_S)
    lane = Lane()
    with lane.overtaking(), lane.overtaking():
        for _ in range(3):
            with lane:
                pass


def test_lines_are_worked_on_for_as_long_as_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.lane, "AHEAD_S", FOR_EVER_S)
    monkeypatch.setattr(api.lane, "PATIENCE_S", 1.0)
    lane = Lane()
    with lane.overtaking():
        began_s = time.monotonic()
        for _ in range(30):
            with lane:
                pass
    # Each of them would wait for a second.
    assert time.monotonic() - began_s < 10


def test_an_upload_that_waits_for_something_else_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.lane, "AHEAD_S", -1.0)
    monkeypatch.setattr(api.lane, "PATIENCE_S", FOR_EVER_S)
    lane = Lane()
    with lane.overtaking(), lane:
        pass


def test_an_upload_is_ahead_from_its_body_to_its_answer(
    settings: Settings, sqlite_engine: Engine
) -> None:
    clear: list[bool] = []

    def ring(ecg_ids: Sequence[str], queue: str) -> None:
        clear.append(desk_of(app).lane._is_clear())

    app = create_app(settings, engine=sqlite_engine, ring=ring)
    client = app.test_client()
    token = client.post("/users", json={"username": "ada"}, headers=ADMIN).json["token"]
    answer = client.post("/ecgs", json={"leads": []}, headers={"x-user-token": token})
    assert answer.status_code == 201
    assert clear == [False]
    assert desk_of(app).lane._is_clear()
