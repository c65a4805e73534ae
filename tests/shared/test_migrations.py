"""Models and migrations say the same, both ways, on both databases; and questions use an index."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, bindparam, event, insert, inspect, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex

from api import batches, ecgs, exports, polls, recompute
from api.bodies import Budget
from api.earlier import find_lines, find_names
from api.health import find_readiness
from api.ledger import Ledger
from api.pages import Paging
from api.users import Caller
from shared import database, database_examination, turns, waits
from shared.broker import Broker
from shared.database import now_s, reading, transaction
from shared.errors import NotFound
from shared.fingerprints import fingerprint
from shared.migrations import revisions, schema
from shared.models import (
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    Base,
    Batch,
    Ecg,
    InsightDefinition,
    User,
)
from shared.settings import Settings
from shared.states import IS_FRESH, IS_RETRIED, IS_RETRIED_REDO
from tests.databases import another_database
from tests.parts import HOUSE, free_port
from worker import claims, endings, ringing


def test_models_and_migrations_are_equal(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert revisions.current_revision(connection) == revisions.newest_revision()


def test_the_partial_indexes_hold_what_the_models_say(sqlite_engine: Engine) -> None:
    # Which Alembic does not compare; and a statement must say it in the same words.
    partial = text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
    with reading(sqlite_engine) as connection:
        migrated = set(connection.scalars(partial))
    indexes = [index for table in Base.metadata.tables.values() for index in table.indexes]
    meant = {str(CreateIndex(index).compile(sqlite_engine)) for index in indexes}
    assert migrated
    assert migrated == {statement for statement in meant if " WHERE " in statement}


def test_every_step_can_be_taken_back_and_again(engine: Engine) -> None:
    schema.downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    schema.upgrade(engine)
    schema.upgrade(engine)
    test_models_and_migrations_are_equal(engine)


def test_it_waits_for_whoever_writes(engine: Engine) -> None:
    schema.downgrade(engine, "0001")
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "shared.migrations"]
    environ = {**os.environ, "ISOLINE_DATABASE_URL": url}
    with transaction(engine) as connection:
        connection.execute(text("UPDATE users SET username = username"))
        migrating = subprocess.Popen(command, env=environ, cwd=HOUSE, stdout=subprocess.PIPE)
        time.sleep(2.0)
        assert migrating.poll() is None
    said, _ = migrating.communicate(timeout=60)
    assert migrating.returncode == 0
    assert f"at revision {revisions.newest_revision()}" in said.decode()


def test_a_step_may_take_longer_than_any_question_of_the_house(postgresql_url: str) -> None:
    url = another_database(postgresql_url, "a_long_step")
    # Neither it nor its server waits for longer than two seconds for an answer.
    impatient = database.connect(url, patience_s=0.5, pool_size=1)
    with impatient.begin() as connection:
        connection.exec_driver_sql(
            """CREATE FUNCTION take_long() RETURNS event_trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep(3); DROP EVENT TRIGGER long; END $$"""
        )
        connection.exec_driver_sql(
            """CREATE EVENT TRIGGER long ON ddl_command_start
            WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION take_long()"""
        )
    schema.upgrade(impatient)
    with impatient.connect() as connection:
        assert revisions.current_revision(connection) == revisions.newest_revision()
        # For everybody else it is as it was.
        with pytest.raises(OperationalError, match="statement timeout"):
            connection.exec_driver_sql("SELECT pg_sleep(3)")
    impatient.dispose()


def test_postgresql_does_not_try_to_compress_what_is_compressed(postgresql_url: str) -> None:
    engine = database.connect(postgresql_url)
    schema.upgrade(engine)
    storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'signals'::regclass"
    with engine.connect() as connection:
        of = connection.exec_driver_sql(f"{storage} AND attname = 'encoded'").scalar()
    assert of in ("e", b"e")
    engine.dispose()


def test_sqlite_is_durable_and_forgets_what_is_erased(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        values = {
            name: connection.scalar(text(f"PRAGMA {name}"))
            for name in (
                *("journal_mode", "synchronous", "foreign_keys", "secure_delete"),
                # In pages of 4 KiB: the relay brings them home, long before a commit has to.
                *("page_size", "wal_autocheckpoint"),
            )
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "page_size": 4096,
        "wal_autocheckpoint": 2**30 // 4096,
    }


def plans_of(engine: Engine, question: Callable[[Engine], object]) -> str:
    """Ask, and have the database explain each statement just before it carries it out."""
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    plans: list[str] = []

    def listen(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            cursor.execute(explain + statement, parameters)
            plans.append("\n".join(str(tuple(row)) for row in cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", listen)
    try:
        question(engine)
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    assert plans
    return "\n".join(plans)


# Without an index the whole table is read, however small it is; with one, it is no more of so many.
MANY = 5_000


@pytest.fixture
def crowded(engine: Engine) -> Engine:
    """Enough rows of two users that PostgreSQL would notice a missing index."""
    with transaction(engine) as connection:
        for user_id in (1, 2):
            connection.execute(
                insert(User).values(
                    id=user_id, username=str(user_id), token_sha256=bytes([user_id]), created_at_s=0
                )
            )
        connection.execute(
            insert(Ecg),
            [
                {
                    "id": f"{number:08}-0000-0000-0000-000000000000",
                    "user_id": 1 + number % 2,
                    "created_at_s": 0.0,
                    "recorded_at_s": 0.0,
                    "baseline": 0.0,
                    "leads": "[]",
                    "number_of_leads": 0,
                    "request_id": "",
                    "status": {0: PENDING, 51: FAILED}.get(number % 100, FINISHED),
                    "finished_at_s": 0.0 if number % 100 == 51 else None,
                    "attempts": 0,
                    "rung_at_s": 0.0,
                    "batch_id": BATCH if number % 40 == 0 else None,
                    "line": number,
                    "custom_id": f"line {number}",
                    "catalogue": "" if number % 100 == 1 else fingerprint(VERSIONS),
                    "redo_after": 0 if number % 100 == 2 else None,
                }
                for number in range(MANY)
            ],
        )
        connection.execute(
            insert(Batch).values(
                id=BATCH,
                user_id=1,
                reception=1,
                last_number=MANY,
                total=125,
                rejected=0,
                finished=100,
                failed=0,
                created_at_s=0,
            )
        )
        declared = [{"name": name, "version": n} for name, n in VERSIONS.items()]
        declared = [{"unit": "", "definition": "", **one} for one in declared]
        connection.execute(insert(InsightDefinition), declared)
        connection.execute(text("ANALYZE"))
    return engine


# An index of some rows may be walked through: those are the rows that are asked for.
WHOLE_TABLE = re.compile(r"Seq Scan on ecgs|SCAN ecgs(?! USING (COVERING )?INDEX ix_ecgs_)")
VERSIONS = {"beats": 2, "rr": 1}
ME = Caller(1)
BATCH = "0000000b-0000-0000-0000-000000000000"
SOME_ID = f"{100:08}-0000-0000-0000-000000000000"
FIRST, NEXT = Paging(50, None), Paging(50, SOME_ID)


def poll(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(NotFound):
        polls.find_progress(connection, ME, "0" * 8 + "-0000-0000-0000-" + "f" * 12)


def turn(engine: Engine) -> None:
    with transaction(engine) as connection:
        assert turns.take_turn(connection, 1)


def redo(engine: Engine) -> None:
    with transaction(engine) as connection:
        assert turns.take_turn(connection, turns.REDO)


def known(engine: Engine) -> None:
    with reading(engine) as connection:
        assert find_names(connection, BATCH, {"line 40", "line 41"}) == {"line 40"}
        assert find_lines(connection, BATCH, {"line 40"}, 100) == {"line 40": array("I", [40])}


def export(engine: Engine, what: Callable[..., Iterator[bytes]], after: int) -> None:
    assert list(what(engine, ME, BATCH, after=after, form="ndjson"))


QUESTIONS: dict[str, Callable[[Engine], object]] = {
    "poll": poll,
    "list": lambda engine: ecgs.find_all(engine, ME, FIRST, None),
    "next page": lambda engine: ecgs.find_all(engine, ME, NEXT, None),
    "list of pending": lambda engine: ecgs.find_all(engine, ME, FIRST, "pending"),
    "list of finished": lambda engine: ecgs.find_all(engine, ME, NEXT, "finished"),
    "relay": lambda engine: ringing.ring_again(engine, IS_FRESH, lambda ids: None, 8, 1, []),
    "sweep": endings.sweep,
    "turn": turn,
    "whose turn": lambda engine: ringing.give_turns(engine, lambda ids: None, 0, is_another=False),
    "relay, again": lambda engine: ringing.ring_again(
        engine, IS_RETRIED, lambda ids: None, 1, 1, []
    ),
    "retire": lambda engine: endings.retire(engine, BATCH, 1),
    "known lines": known,
    "results": lambda engine: export(engine, exports.export_insights, 0),
    "last results": lambda engine: export(engine, exports.export_insights, MANY - 100),
    "errors": lambda engine: export(engine, exports.export_errors, 0),
    "poll of a batch": lambda engine: batches.find_one(engine, ME, BATCH),
    "list of batches": lambda engine: batches.find_all(engine, ME, FIRST),
    "erase a batch": lambda engine: batches.erase(engine, ME, BATCH),
    "count what is stale": lambda engine: recompute.count(engine, None),
    "count what is stale in one": lambda engine: recompute.count(engine, "beats"),
    "ask for what is stale": lambda engine: recompute.queue(engine, None, request_id=""),
    "turn of what is done again": redo,
    "relay, done again": lambda engine: ringing.ring_again(
        engine, IS_RETRIED_REDO, lambda ids: None, 1, 1, []
    ),
    "claim": lambda engine: claims.claim(engine, [SOME_ID], "a message"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_table(crowded: Engine, question: str) -> None:
    plans = plans_of(crowded, QUESTIONS[question])
    assert not WHOLE_TABLE.search(plans), plans


def examine(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    settings = Settings.from_environ({"ISOLINE_DATABASE_URL": url})
    found = list(database_examination.examine_database(settings))
    assert {"database", "waiting", "recompute", "failed lately", "ECGs"} <= {f.what for f in found}


def be_ready(engine: Engine) -> None:
    broker = Broker(f"redis://127.0.0.1:{free_port()}/0")
    budget = Budget(readers=1, refused=1, most_bytes=1)
    readiness = find_readiness(Ledger(engine), budget, broker, revisions.newest_revision())
    assert (readiness.database, readiness.redo_idle_s is None) == ("ok", False)


@pytest.mark.parametrize("question", [examine, be_ready])
def test_the_operators_questions_are_answered_by_partial_indexes(
    crowded: Engine, monkeypatch: pytest.MonkeyPatch, question: Callable[[Engine], object]
) -> None:
    monkeypatch.setattr(database, "connect", lambda *_, **__: crowded)
    # As in a house with more ecgs than are counted.
    monkeypatch.setattr(waits, "MOST_COUNTED", 100)
    with transaction(crowded) as connection:
        connection.execute(
            update(Ecg).where(Ecg.status == FAILED).values(finished_at_s=now_s(), failure="Why.")
        )
        # Held, tried before, and tried before to be done again: one of each.
        held = {"status": RUNNING, "attempts": 1, "lease_until_s": now_s() - 1}
        one = update(Ecg).where(Ecg.id.like(bindparam("begins")))
        connection.execute(one.values(**held), {"begins": "00001003-%"})
        connection.execute(one.values(status=PENDING, attempts=1), {"begins": "00001004-%"})
        connection.execute(one.values(redo_after=0, attempts=1), {"begins": "00001005-%"})
    plans = plans_of(crowded, question)
    of_all = r"Seq Scan on ecgs|SCAN ecgs(?! USING)"
    assert not re.search(of_all, plans), plans
    named = r"(?:ecgs USING (?:COVERING )?INDEX|Scan using|Bitmap Index Scan on) (\w*ecgs\w*)"
    # The first of these is what the one that tries to write looks into.
    by_key = {"ecgs_pkey", "sqlite_autoindex_ecgs_1"}
    partial = {
        index.name
        for index in Base.metadata.tables["ecgs"].indexes
        if "WHERE" in str(CreateIndex(index).compile(crowded))
    }
    indexes = set(re.findall(named, plans)) - by_key
    assert indexes
    assert indexes <= partial - {"uq_ecgs_batch_id_line", "uq_ecgs_batch_id_custom_id"}, plans


@pytest.mark.parametrize("question", ["results", "errors"])
def test_the_end_of_the_results_is_found_without_passing_them(
    crowded: Engine, question: str
) -> None:
    assert "ix_ecgs_open_batch_id_line" in plans_of(crowded, QUESTIONS[question])


@pytest.mark.parametrize("question", ["list", "next page", "list of finished", "relay"])
def test_no_list_is_sorted_by_hand(crowded: Engine, question: str) -> None:
    plans = plans_of(crowded, QUESTIONS[question])
    assert "TEMP B-TREE" not in plans, plans
    assert "Sort" not in plans, plans


def test_a_database_that_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "isoline.db"
    program = (
        "import os, runpy; os.umask(0o022); "
        "runpy.run_module('shared.migrations', run_name='__main__')"
    )
    environ = {**os.environ, "ISOLINE_DATABASE_URL": f"sqlite:///{path}"}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_database_that_cannot_be_migrated_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "isoline.db"
    path.write_bytes(b"no database" * 1000)
    environ = {**os.environ, "ISOLINE_DATABASE_URL": f"sqlite:///{path}"}
    done = subprocess.run(
        [sys.executable, "-m", "shared.migrations"], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "The database cannot be migrated: file is not a database\n"
