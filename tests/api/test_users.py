"""Users and their tokens, on both databases."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import func, select

from shared.database import reading
from shared.models import Ecg, Signal, User
from tests.parts import ADMIN, Door


def test_a_token_is_shown_once_and_only_its_hash_is_kept(door: Door) -> None:
    token = door.user()["x-user-token"]
    assert len(token) >= 43  # 256 bits in base64
    with reading(door.engine) as connection:
        (row,) = connection.execute(select(User.__table__)).all()
    assert token not in str(row)
    assert len(row.token_sha256) == 32
    assert token not in door.get("/users", headers=ADMIN).text


def test_a_taken_name_is_409(door: Door) -> None:
    door.user("ada")
    response = door.post("/users", json={"username": "ada"}, headers=ADMIN)
    assert response.status_code == 409


def test_rotating_kills_the_old_token(door: Door) -> None:
    old = door.user("ada")
    rotated = door.post("/users/ada/token", headers=ADMIN)
    assert rotated.status_code == 200
    assert door.get("/ecgs", headers=old).status_code == 401
    assert door.get("/ecgs", headers={"x-user-token": rotated.json["token"]}).status_code == 200


def test_erasing_a_user_erases_everything_of_theirs_and_nothing_else(door: Door) -> None:
    ada, bob = door.user("ada"), door.user("bob")
    door.upload(ada, [1])
    kept = door.upload(bob, [1])
    assert door.delete("/users/ada", headers=ADMIN).status_code == 204
    assert door.get("/ecgs", headers=ada).status_code == 401
    assert door.get(f"/ecgs/{kept}", headers=bob).status_code == 200
    with reading(door.engine) as connection:
        for table in (Ecg, Signal, User):
            assert connection.scalar(select(func.count()).select_from(table)) == 1


@pytest.mark.parametrize(("method", "path"), [("POST", "/users/x/token"), ("DELETE", "/users/x")])
def test_an_unknown_user_is_404(door: Door, method: str, path: str) -> None:
    assert door.ask(method, path, headers=ADMIN).status_code == 404


def test_the_list_of_users_is_paged_by_name(door: Door) -> None:
    for name in ("cy", "ada", "bob"):
        door.user(name)
    first = door.get("/users?limit=2", headers=ADMIN).json
    assert [user["username"] for user in first["data"]] == ["ada", "bob"]
    rest = door.get(f"/users?limit=2&cursor={first['next_cursor']}", headers=ADMIN).json
    assert [user["username"] for user in rest["data"]] == ["cy"]
    assert rest["next_cursor"] is None


def test_nothing_of_a_user_is_in_any_log_line(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ada = door.user("canary-username")
    ecg_id = door.upload(ada, [123454321], unit="canary-unit")
    door.post("/ecgs", json={"leads": [{"name": "canary-lead", "signal": "x"}]}, headers=ada)
    door.post("/ecgs", data="{canary-body", headers=ada)
    door.post("/users", json={"username": "canary-username"}, headers=ADMIN)
    door.post("/users/canary-username/token", headers=ADMIN)
    door.work()
    logged = caplog.text + str([record.__dict__ for record in caplog.records])
    assert "/ecgs" in logged
    for secret in ("canary", ada["x-user-token"], ADMIN["x-admin-token"], "123454321"):
        assert secret not in logged
    assert ecg_id
