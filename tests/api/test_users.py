"""Users and their tokens, on both databases."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from api.clerks import Clerks
from api.ecgs import submit
from api.ledger import Ledger
from api.users import authenticate
from shared.database import reading, transaction
from shared.errors import DatabaseUnavailable
from shared.models import Ecg, Signal, User
from tests.door import Door
from tests.parts import ADMIN


def rows_of_each(engine: Engine) -> tuple[int | None, ...]:
    """How many ecgs, signals and users there are."""
    with reading(engine) as connection:
        return tuple(
            connection.scalar(select(func.count()).select_from(table))
            for table in (Ecg, Signal, User)
        )


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
    assert rows_of_each(door.engine) == (1, 1, 1)


def test_however_many_ecgs_a_user_has_they_are_erased_some_at_a_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    ada, bob = door.user("ada"), door.user("bob")
    for who in (*[ada] * 7, bob):
        door.upload(who, [1])
    at_once: list[int] = []

    def listen(_: Any, __: Any, statement: str, named: Any, *___: Any) -> None:
        if statement.startswith("DELETE FROM ecgs"):
            at_once.append(len(named))

    event.listen(door.engine, "after_cursor_execute", listen)
    try:
        assert door.delete("/users/ada", headers=ADMIN).status_code == 204
    finally:
        event.remove(door.engine, "after_cursor_execute", listen)
    assert at_once == [3, 3, 1]
    assert rows_of_each(door.engine) == (1, 1, 1)


def test_an_erasure_cut_short_lets_nothing_new_in_and_goes_on_when_repeated(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.AT_ONCE", 3)
    ada = door.user("ada")
    for _ in range(7):
        door.upload(ada, [1])
    transactions: list[int] = []

    @contextmanager
    def breaking(engine: Engine) -> Iterator[Connection]:
        transactions.append(1)
        if len(transactions) == 3:
            raise DatabaseUnavailable("The database is not available.")
        with transaction(engine) as connection:
            yield connection

    monkeypatch.setattr("api.users.transaction", breaking)
    monkeypatch.setattr("api.erasure.transaction", breaking)
    assert door.delete("/users/ada", headers=ADMIN).status_code == 503
    assert rows_of_each(door.engine) == (4, 4, 1)
    assert door.post("/ecgs", json={"leads": []}, headers=ada).status_code == 401
    assert door.delete("/users/ada", headers=ADMIN).status_code == 204
    assert rows_of_each(door.engine) == (0, 0, 0)


def test_what_was_let_in_before_an_erasure_goes_with_its_user(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = door.user("ada")
    door.upload(ada, [1])
    with reading(door.engine) as connection:
        authenticated = authenticate(connection, ada["x-user-token"])
    transactions: list[int] = []

    @contextmanager
    def visited(engine: Engine) -> Iterator[Connection]:
        transactions.append(1)
        if len(transactions) == 3:
            submit(
                *(Ledger(engine), Clerks(), authenticated, b'{"leads": []}'),
                request_id="",
                ring=lambda ecg_ids, queue: door.rung.extend(ecg_ids),
            )
        with transaction(engine) as connection:
            yield connection

    monkeypatch.setattr("api.users.transaction", visited)
    monkeypatch.setattr("api.erasure.transaction", visited)
    assert door.delete("/users/ada", headers=ADMIN).status_code == 204
    assert len(transactions) == 3
    assert rows_of_each(door.engine) == (0, 0, 0)


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


def test_the_answer_to_an_erasure_is_nothing_and_has_no_type(sqlite_door: Door) -> None:
    ecg_id = sqlite_door.upload(ada := sqlite_door.user(), [1])
    for path, who in ((f"/ecgs/{ecg_id}", ada), ("/users/ada", ADMIN)):
        erased = sqlite_door.delete(path, headers=who)
        assert (erased.status_code, erased.data) == (204, b"")
        assert "Content-Type" not in erased.headers
