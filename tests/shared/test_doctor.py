"""The doctor's page: right about what is well, and never silent about what is not."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, event, make_url, update

from shared import doctor, sqlite, sqlite_log
from shared.broker import Broker
from shared.database import now_s, reading, transaction
from shared.findings import Finding
from shared.migrations.schema import upgrade
from shared.models import FAILED, RUNNING, Ecg
from shared.settings import Settings
from shared.states import CANCELLED
from standalone import valkey
from standalone.processes import spawn
from tests.databases import another_database, damage
from tests.door import Door
from tests.parts import ADMIN, ADMIN_TOKEN, HOUSE, free_port, wait_until


@pytest.fixture
def house(door: Door, redis_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a house in which everybody is at work."""
    url = door.engine.url.render_as_string(hide_password=False)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        broker = Broker(redis_url)
        for role in ("api", "worker", "bulk", "quarantine", "relay"):
            broker.beat(role, "somebody@somewhere")
        yield settings_for(url, redis_url, tmp_path)
        client.flushall()


def settings_for(database_url: str, redis_url: str, folder: Path) -> Settings:
    environ = {
        "ISOLINE_DATABASE_URL": database_url,
        "ISOLINE_REDIS_URL": redis_url,
        "ISOLINE_DATA_DIR": str(folder),
        "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    return Settings.from_environ(environ)


def page(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    began_s = time.monotonic()
    code = doctor.main(settings, [])
    assert time.monotonic() - began_s < 5
    return code, capsys.readouterr().out


def test_all_is_well(house: Settings, door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.upload(door.user("canary-username"), [1])
    door.work()
    code, said = page(house, capsys)
    assert (code, "All is well." in said) == (0, True), said
    assert "1 finished" in said
    assert "canary" not in said
    assert ADMIN_TOKEN not in said


def test_what_waits_for_long_is_told_with_what_to_do(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.upload(door.user(), [1])
    assert page(house, capsys)[0] == 0
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(due_at_s=now_s() - 7300))
    code, said = page(house, capsys)
    assert code == 1
    assert "1 due, the oldest for 2 h" in said
    assert "add workers" in said


def test_a_database_that_takes_nothing_is_told_though_it_answers(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.upload(door.user(), [1])
    lock = "LOCK TABLE ecgs IN SHARE MODE"
    if door.engine.dialect.name == "sqlite":
        lock = "BEGIN IMMEDIATE"
    engine = create_engine(door.engine.url)
    if lock.startswith("BEGIN"):
        event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
    with engine.connect() as somebody:
        somebody.exec_driver_sql(lock)
        code, said = page(house, capsys)
        assert code == 1
        assert "1 pending" in said
        # Before what there may be no time for.
        of_database, refused = said.splitlines()[:2]
        assert "answers, at revision" in of_database
        assert "is refused: the database is full, or read-only, or locked" in refused
        if lock.startswith("BEGIN"):
            somebody.exec_driver_sql("ROLLBACK")
    engine.dispose()
    assert page(house, capsys)[0] == 0


@contextmanager
def no_room(door: Door) -> Iterator[None]:
    """Let nothing be written that takes more room than is there already."""
    if door.engine.dialect.name == "postgresql":
        name = door.engine.url.database
        # The server is others' too: of its own it bounds only what it writes beside the tables.
        with door.engine.begin() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET temp_file_limit = 1024')
        try:
            yield
        finally:
            with door.engine.begin() as connection:
                connection.exec_driver_sql(f'ALTER DATABASE "{name}" RESET temp_file_limit')
        return
    file = sqlite.file_of(str(door.engine.url))
    assert file is not None
    most = max(one.stat().st_size for one in (file, file.with_name(file.name + "-wal")))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_without_room_is_told_though_it_answers_and_nobody_holds_it(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_room(door):
        code, said = page(house, capsys)
    assert (code, "!!  writing        is refused: the database is full" in said) == (1, True), said
    assert "Make room" in said
    assert "none yet" in said
    assert page(house, capsys)[0] == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_log_that_somebody_holds_is_told_and_keeps_nobody_from_answering(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sqlite.file_of(house.database_url)
    assert file is not None
    with closing(sqlite3.connect(file, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        somebody.execute("SELECT count(*) FROM ecgs").fetchone()
        with transaction(door.engine) as connection:
            connection.exec_driver_sql("CREATE TABLE much AS SELECT zeroblob(300000000) AS room")
        code, said = page(house, capsys)
        assert (code, "!!  SQLite's log   has grown to 2" in said) == (1, True), said
        assert "a backup that runs" in said
        assert said.count("!!") == 1
    # It is not for the doctor to bring it home, which may take longer than anybody waits.
    size_bytes = file.stat().st_size
    assert page(house, capsys)[1].count("!!") == 1
    assert file.stat().st_size == size_bytes
    sqlite_log.empty(door.engine)
    assert page(house, capsys)[0] == 0


def test_whether_there_is_room_is_tried_without_a_trace(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    def traces() -> object:
        if door.engine.dialect.name == "sqlite":
            asked = "SELECT name FROM sqlite_master ORDER BY name"
        else:
            asked = "SELECT oid::int, relname::text, xmin::text FROM pg_class ORDER BY oid"
        with reading(door.engine) as connection:
            return connection.exec_driver_sql(asked).all()

    before = traces()
    assert page(house, capsys)[0] == 0
    assert traces() == before


def test_a_broker_that_is_full_is_told_instead_of_everybody_missed(
    house: Settings, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            code, said = page(house, capsys)
        finally:
            client.config_set("maxmemory", 0)
    assert code == 1
    assert "takes nothing, neither messages nor signs of life" in said
    assert "maxmemory" in said
    assert "start `python -m worker`" not in said


def test_what_failed_is_told_with_its_reason_and_wakes_nobody(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    ecg_id = door.upload(door.user(), [1])
    with transaction(door.engine) as connection:
        connection.execute(
            update(Ecg).values(status=FAILED, failure="The moon was full.", finished_at_s=now_s())
        )
    code, said = page(house, capsys)
    assert code == 0
    assert f"1: The moon was full. (one is {ecg_id})\n" in said
    assert "upload again once the cause is mended" in said
    # Nothing is to be mended where somebody wanted no more.
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(failure=CANCELLED))
    code, said = page(house, capsys)
    assert (code, CANCELLED in said, "upload again" in said) == (0, True, False)


def test_what_waits_to_be_computed_anew_is_told_and_alarms_once_nobody_comes(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.upload(door.user(), [1])
    door.work()
    asked = {"redo_after": Ecg.attempts, "due_at_s": now_s() - 7300, "rung_at_s": now_s() - 10}
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(**asked))
    code, said = page(house, capsys)
    assert (code, "ok  recompute      1 finished ECGs wait" in said) == (0, True), said
    assert "asked for 2 h ago" in said
    # It is finished all the while.
    assert "ok  ECGs           1 finished\n" in said
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(rung_at_s=now_s() - 600))
    code, said = page(house, capsys)
    assert (code, "!!  recompute      1 finished ECGs wait" in said) == (1, True), said
    assert "Nobody has come for them for 10 min" in said
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(lease_until_s=now_s() + 60, attempts=2))
    assert page(house, capsys)[0] == 0


def test_a_lease_that_nobody_takes_back_is_told(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door.upload(door.user(), [1])
    with transaction(door.engine) as connection:
        connection.execute(update(Ecg).values(status=RUNNING, lease_until_s=now_s() - 1))
    code, said = page(house, capsys)
    assert (code, "1 have run out" in said) == (1, True)


@pytest.mark.parametrize("role", ["api", "worker", "bulk", "quarantine", "relay"])
def test_whoever_is_not_heard_is_missed(
    house: Settings, redis_url: str, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.zincrby("isoline:heartbeats", -60, f"{role}:somebody@somewhere")
    code, said = page(house, capsys)
    assert code == 1
    assert "0 online (somebody@somewhere 60 s ago)" in said or "61 s ago" in said


@pytest.mark.parametrize(
    ("module", "named"), [("worker.relay", "{pid}"), ("worker", "interactive-{pid}")]
)
def test_who_is_frozen_is_to_be_killed_and_nobody_who_has_got_its_number(
    house: Settings,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    module: str,
    named: str,
) -> None:
    environ = {
        **os.environ,
        "ISOLINE_DATABASE_URL": house.database_url,
        "ISOLINE_REDIS_URL": redis_url,
        "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
        "ISOLINE_DATA_DIR": str(house.data_dir),
    }
    role = "relay" if module == "worker.relay" else "worker"
    frozen = subprocess.Popen(
        [sys.executable, "-m", module], env=environ, cwd=HOUSE, stderr=subprocess.DEVNULL
    )
    beat = f"{role}:{named.format(pid=frozen.pid)}@{socket.gethostname()}"
    anybody = f"{role}:{named.format(pid=os.getpid())}@{socket.gethostname()}"
    with redis.Redis.from_url(redis_url) as client:
        try:
            wait_until(lambda: client.zscore("isoline:heartbeats", beat), 60, "for it to be heard")
            frozen.send_signal(signal.SIGSTOP)
            client.zadd("isoline:heartbeats", {anybody: client.time()[0]})
            for member in (beat, anybody, f"{role}:somebody@somewhere"):
                client.zincrby("isoline:heartbeats", -60, member)
            code, said = page(house, capsys)
            # Beside one that is well, too.
            client.zadd("isoline:heartbeats", {f"{role}:another": client.time()[0]})
            code_beside, said_beside = page(house, capsys)
        finally:
            frozen.send_signal(signal.SIGCONT)
            frozen.terminate()
            frozen.wait(30)
    assert code == code_beside == 1
    assert f"It is there, and says nothing: `kill -9 {frozen.pid}`. " in said
    assert re.search(r"1 online \(another \d s ago\), and one is silent", said_beside)
    assert f"It is there, and says nothing: `kill -9 {frozen.pid}`. " in said_beside


def test_who_died_long_ago_is_not_listed_beside_the_living(
    house: Settings, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("isoline:heartbeats", {"worker:dead@somewhere": client.time()[0] - 3600})
    code, said = page(house, capsys)
    assert (code, "dead@somewhere" in said) == (0, False)


def test_nobody_is_missed_just_after_the_broker_was_started(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    server = spawn(valkey.program(tmp_path / "valkey", port, "a-password"))
    url = valkey.url(port, "a-password")
    try:
        wait_until(lambda: valkey.answers(url), what="for Valkey")
        database_url = door.engine.url.render_as_string(hide_password=False)
        code, said = page(settings_for(database_url, url, tmp_path), capsys)
    finally:
        server.terminate()
        server.wait(10)
    assert code == 0, said
    assert said.count("not heard yet, the broker is") == 5


def test_it_works_when_everything_is_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = free_port()
    url = f"postgresql://a:a-secret@127.0.0.1:{nowhere}/c"
    code, said = page(
        settings_for(url, f"redis://:a-secret@127.0.0.1:{nowhere}/0", tmp_path), capsys
    )
    assert code == 1
    assert said.count("does not answer") == 2
    assert "a-secret" not in said


def test_it_works_when_nobody_says_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://a:b@127.0.0.1:{port}/c"
        code, said = page(settings_for(url, f"redis://127.0.0.1:{port}/0", tmp_path), capsys)
    assert code == 1
    assert said.count("does not answer") == 2


@pytest.mark.parametrize("kept_bytes", [0, 4096], ids=["all of it", "all but the first page"])
def test_a_database_that_is_damaged_is_told_with_what_to_do(
    sqlite_door: Door,
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kept_bytes: int,
) -> None:
    damage(sqlite_door.engine, kept_bytes=kept_bytes)
    settings = settings_for(str(sqlite_door.engine.url), redis_url, tmp_path)
    code, said = page(settings, capsys)
    assert code == 1
    assert "!!  database       is damaged" in said
    assert "restore a backup: see docs/operations.md" in said
    assert doctor.main(settings, ["--audit"]) == 1
    assert capsys.readouterr().err.startswith("The database is damaged: restore it from a backup")


def test_tables_that_are_not_there_are_told(
    postgresql_url: str, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = another_database(postgresql_url, "for_the_doctor")
    code, said = page(settings_for(bare, redis_url, tmp_path), capsys)
    assert code == 1
    assert "is at revision none" in said
    assert "python -m shared.migrations" in said


def test_before_the_first_start_it_says_so_and_makes_nothing(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "not there" / "isoline.db"
    code, said = page(settings_for(f"sqlite:///{path}", redis_url, tmp_path), capsys)
    assert (code, "is not there" in said) == (1, True)
    path.parent.mkdir()
    page(settings_for(f"sqlite:///{path}", redis_url, tmp_path), capsys)
    assert not path.exists()


def test_a_database_that_refuses_a_question_is_told(
    postgresql_url: str, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = make_url(another_database(postgresql_url, "without_rights"))
    owner = create_engine(url)
    upgrade(owner)
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE a_stranger LOGIN PASSWORD 'a-secret'")
    owner.dispose()
    stranger = url.set(username="a_stranger", password="a-secret")
    settings = settings_for(stranger.render_as_string(hide_password=False), redis_url, tmp_path)
    code, said = page(settings, capsys)
    assert code == 1
    assert "!!  database       refuses a question (InsufficientPrivilege)" in said
    assert "the rights to all tables" in said
    assert doctor.main(settings, ["--audit"]) == 1
    assert capsys.readouterr() == (
        "",
        "The database refuses the question (InsufficientPrivilege).\n",
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError("a-secret"), "what is noted of it cannot be read (PermissionError)"),
        (KeyError("a-secret"), "which is a fault of the doctor's own (KeyError)"),
    ],
)
def test_a_part_of_which_nothing_can_be_said_is_not_well(
    house: Settings, error: Exception, expected: str
) -> None:
    def ask() -> Iterator[Finding]:
        yield Finding("a part", "answers")
        raise error

    answers, failed = (
        one for one in doctor.examine(house, {"a part": ask}) if one.what == "a part"
    )
    assert answers.is_well
    assert (failed.is_well, expected in failed.says) == (False, True)
    assert "a-secret" not in str(failed)


def test_a_trail_that_is_not_there_yet_is_a_sentence_and_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "isoline.db"
    assert doctor.main(settings_for(f"sqlite:///{path}", "redis://x", tmp_path), ["--audit"]) == 1
    assert capsys.readouterr() == ("", f"{path} is not there.\n")
    assert not path.exists()


def test_a_trail_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = settings_for(f"postgresql://a:b@127.0.0.1:{free_port()}/c", "redis://x", tmp_path)
    assert doctor.main(nowhere, ["--audit"]) == 1
    assert capsys.readouterr() == ("", "The database does not answer.\n")


def test_the_audit_trail_tells_what_was_done_and_no_token(
    house: Settings, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {**ADMIN, "X-Request-ID": "the-request"}
    first = door.post("/users", json={"username": "eve"}, headers=asked).json["token"]
    second = door.post("/users/eve/token", headers=asked).json["token"]
    # What did not happen leaves nothing.
    assert door.post("/users", json={"username": "eve"}, headers=asked).status_code == 409
    assert door.delete("/users/nobody", headers=asked).status_code == 404
    door.delete("/users/eve", headers=asked)
    assert doctor.main(house, ["--audit"]) == 0
    said = capsys.readouterr().out
    acts = [line.split()[1:] for line in said.splitlines()]
    assert acts == [[act, "eve", "the-request"] for act in ("register", "rotate_token", "erase")]
    for token in (first, second, ADMIN_TOKEN):
        assert token not in said
