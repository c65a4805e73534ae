"""What the door asks of a database is found by an index, in a small house and in a large one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text

from api import ecgs, polls, users
from api.clerks import Clerks
from api.ledger import Ledger
from api.pages import Paging
from api.users import Caller
from shared.database import reading, transaction
from shared.errors import Unauthenticated
from shared.models import Ecg, User

SMALL, LARGE = 50, 5000
ME = Caller(1)
SOME_ID = "00000021-0000-0000-0000-000000000000"
CURSOR = "00002500-0000-0000-0000-000000000000"
BODY = b'{"leads": []}'
KEY = "key 21"
# An index of SQLite is also walked through in its order, with an end: that is no whole table.
WHOLE_TABLE = re.compile(r"Seq Scan on (ecgs|users)|SCAN (ecgs|users)(?! USING)")
# Pages of several walks are merged: SQLite puts each, which has an end, in its order once more.
PAGE_IN_ORDER = re.compile(r"SCAN anon_\d.*\n.*USE TEMP B-TREE FOR ORDER BY")


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def house(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """So many users and ecgs, one in fifty of them the first user's, with statistics."""
    size = request.param
    with transaction(engine) as connection:
        connection.execute(
            insert(User),
            [
                {
                    "id": number,
                    "username": f"user {number:04}",
                    "token_sha256": number.to_bytes(32),
                    "created_at_s": 0.0,
                }
                for number in range(1, size + 1)
            ],
        )
        connection.execute(
            insert(Ecg),
            [
                {
                    "id": f"{number:08}-0000-0000-0000-000000000000",
                    "user_id": ME.user_id if number % 50 == 21 else number,
                    "created_at_s": 0.0,
                    "recorded_at_s": 0.0,
                    "baseline": 0.0,
                    "leads": "[]",
                    "number_of_leads": 0,
                    "request_id": "",
                    "idempotency_key": f"key {number}",
                    "body_sha256": hashlib.sha256(BODY).digest(),
                    "status": ("finished", "failed", "pending")[number % 3],
                    "attempts": 0,
                    "due_at_s": float(number),
                    "rung_at_s": 0.0,
                }
                for number in range(1, size + 1)
            ],
        )
        connection.execute(text("ANALYZE"))
    return engine


def plans_of(
    engine: Engine, question: Callable[[Engine], object], sqlite: str = "EXPLAIN QUERY PLAN"
) -> str:
    """How the database goes about each statement of a question, as it is really asked."""
    is_sqlite = engine.dialect.name == "sqlite"
    plans: list[str] = []

    def listen(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            if not is_sqlite:
                # All of a small table lies on one page, and reading that is best; here it matters
                # whether there is another way at all.
                cursor.execute(f"SET LOCAL enable_seqscan = {'off' if is_small else 'on'}")
            explain = sqlite if is_sqlite else "EXPLAIN"
            cursor.execute(f"{explain} {statement}", parameters)
            plans.extend(str(tuple(row)) for row in cursor.fetchall())

    with engine.connect() as connection:
        is_small = connection.scalar(text("SELECT count(*) FROM users")) == SMALL
    event.listen(engine, "before_cursor_execute", listen)
    try:
        question(engine)
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return "\n".join(plans)


def authenticate(engine: Engine) -> None:
    # Nobody here has a token that could be known; nobody is found the same way as somebody.
    with reading(engine) as connection, pytest.raises(Unauthenticated):
        users.authenticate(connection, "a token")


def repeat(engine: Engine) -> None:
    rung: list[str] = []
    ecgs.submit(
        *(Ledger(engine), Clerks(), ME, BODY),
        request_id="",
        ring=lambda ecg_ids, queue: rung.extend(ecg_ids),
        key=KEY,
    )
    assert not rung


QUESTIONS: dict[str, Callable[[Engine], object]] = {
    "authenticate": authenticate,
    "list": lambda engine: ecgs.find_all(engine, ME, Paging(50, None), None),
    "next page": lambda engine: ecgs.find_all(engine, ME, Paging(50, CURSOR), None),
    "list of pending": lambda engine: ecgs.find_all(engine, ME, Paging(50, None), "pending"),
    "list of finished": lambda engine: ecgs.find_all(engine, ME, Paging(50, None), "finished"),
    "next failed": lambda engine: ecgs.find_all(engine, ME, Paging(50, CURSOR), "failed"),
    "users": lambda engine: users.find_all(engine, Paging(50, None)),
    "more users": lambda engine: users.find_all(engine, Paging(50, "user 0020")),
    "new token": lambda engine: users.rotate_token(engine, "user 0020", request_id=""),
    "repeated upload": repeat,
    "erase one": lambda engine: ecgs.erase(engine, ME, SOME_ID),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_at_the_door_reads_a_whole_table(house: Engine, question: str) -> None:
    plans = plans_of(house, QUESTIONS[question])
    assert re.search("(?i)using .*index|index (only )?scan", plans), plans
    assert not WHOLE_TABLE.search(plans), plans


@pytest.mark.parametrize("house", [LARGE], indirect=True)
@pytest.mark.parametrize("question", QUESTIONS)
def test_no_page_is_sorted_or_sifted_by_hand(house: Engine, question: str) -> None:
    plans = PAGE_IN_ORDER.sub("", plans_of(house, QUESTIONS[question]))
    assert not re.search(r"TEMP B-TREE|Sort +\(|Filter", plans), plans


@pytest.mark.parametrize("house", [LARGE], indirect=True)
@pytest.mark.parametrize("question", ["list of pending", "list of finished", "next failed"])
def test_a_list_of_a_status_passes_no_other(house: Engine, question: str) -> None:
    # SQLite does not say that it sifts what it walks through.
    plans = plans_of(house, QUESTIONS[question])
    assert set(re.findall(r"\bix_\w+", plans)) == {"ix_ecgs_user_id_status_id"}, plans


@pytest.mark.parametrize("house", [LARGE], indirect=True)
def test_who_is_ahead_is_counted_without_fetching_a_row(house: Engine) -> None:
    place = polls.Place(ME.user_id, False, tries=0, due_at_s=900.0, rung_at_s=0.0, waited_s=0.0)
    progress = polls.Progress(SOME_ID, place, begun_s_ago=None, ended=None)
    assert polls._count_ahead(house, progress) == 300
    # SQLite's plan names the index either way; its program tells whether the table is read, too.
    plans = plans_of(house, lambda engine: polls._count_ahead(engine, progress), sqlite="EXPLAIN")
    if house.dialect.name == "postgresql":
        assert "Index Only Scan using ix_ecgs_fresh_due_at_s" in plans, plans
        return
    with reading(house) as connection:
        page = connection.scalar(text("SELECT rootpage FROM sqlite_master WHERE name = 'ecgs'"))
    tables = re.findall(rf"'OpenRead', (\d+), {page},", plans)
    assert not [table for table in tables if f"'Column', {table}," in plans], plans
