"""A PostgreSQL that is away for longer than a worker waits with what it would begin."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from shared import database
from shared.database import reading
from shared.errors import DatabaseUnavailable
from shared.migrations import schema
from shared.models import PENDING, Ecg
from shared.settings import Settings
from tests.databases import PostgreSql, another_database
from tests.door import Door, bring_to_their_end
from worker import claims, tasks


def test_a_claim_of_which_nobody_heard_is_taken_back_when_it_is_too_late_to_begin_again(
    postgresql: PostgreSql, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = another_database(postgresql.url, "away_for_long")
    engine = database.connect(url)
    schema.upgrade(engine)
    door = Door(settings, engine)
    ecg_id = door.upload(door.user(), [1, 0, -1])
    server = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")

    def close_to_all(is_closed: bool) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(
                f"ALTER DATABASE away_for_long WITH ALLOW_CONNECTIONS {not is_closed}"
            )
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = 'away_for_long'"
            )

    back = threading.Timer(2.0, close_to_all, [False])
    tries: list[bool] = []

    def claim_and_break(*arguments: Any) -> Any:
        tries.append(True)
        claims.claim(*arguments)
        close_to_all(True)
        back.start()
        raise DatabaseUnavailable("It was committed, and then the connection broke.")

    monkeypatch.setattr(tasks, "claim", claim_and_break)
    monkeypatch.setattr(tasks, "CLAIM_WITHIN_S", 1.0)
    again: list[str] = []
    bring_to_their_end(engine, [ecg_id], again)
    back.join()
    with reading(engine) as connection:
        left = connection.execute(select(Ecg.status, Ecg.attempts, Ecg.held_by)).one()
    assert tuple(left) == (PENDING, 1, None)
    assert (again, tries) == ([ecg_id], [True])
    for one in (engine, server):
        one.dispose()
