"""A copy that is made while Isoline runs holds everything, and whoever restores it finds it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.schema import CreateTable

from shared import backup, database
from shared.backup import NotCopied, copy
from shared.database import reading, transaction
from shared.migrations.schema import upgrade
from shared.models import (
    AuditEntry,
    Base,
    Batch,
    Ecg,
    InsightDefinition,
    Insights,
    RejectedLine,
    Signal,
    User,
)
from shared.settings import Settings
from tests.databases import PostgreSql, another_database, damage, plain_url
from tests.door import Door
from tests.parts import ADMIN, HOUSE, wait_until

TABLES = [mapper.class_ for mapper in Base.registry.mappers]


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A new database of each kind."""
    url = f"sqlite:///{tmp_path / 'a copy.db'}"
    if request.param == "postgresql":
        name = f"copy_{abs(hash(request.node.name)) % 10**9}"
        url = another_database(request.getfixturevalue("postgresql_url"), name)
    engine = database.connect(url)
    yield engine
    engine.dispose()


def rows(engine: Engine, *tables: type) -> list[int]:
    with reading(engine) as connection:
        return [connection.scalar(select(func.count()).select_from(t)) or 0 for t in tables]


def test_everything_is_found_again_in_the_copy(
    settings: Settings, door: Door, target: Engine
) -> None:
    ada, bob = door.user("ada"), door.user("bob")
    done = [door.upload(ada, [1, 0, -1], [2.5, -0.5], date="2026-11-23T08:00:00Z")]
    door.work()
    done += [door.upload(bob, list(range(-500, 500)), baseline=1024) for _ in range(120)]
    copied = copy(door.engine, target)
    assert (copied["users"], copied["ecgs"], copied["signals"]) == (2, 121, 121)
    restored = Door(settings, target)
    for who, ecg_id in ((ada, done[0]), (bob, done[-1])):
        for path in (f"/ecgs/{ecg_id}", f"/ecgs/{ecg_id}/insights"):
            first, again = door.get(path, headers=who), restored.get(path, headers=who)
            assert (again.status_code, again.data) == (first.status_code, first.data)
    # And life goes on: what waited is worked on, somebody is registered, something is uploaded.
    restored.rung.extend(done)
    restored.work()
    assert restored.get(f"/ecgs/{done[-1]}/insights", headers=bob).json["status"] == "finished"
    restored.upload(restored.user("cy"), [1])
    assert restored.delete("/users/ada", headers=ADMIN).status_code == 204


def test_what_postgresql_dumps_by_itself_it_restores(
    settings: Settings, postgresql: PostgreSql, tmp_path: Path
) -> None:
    url = another_database(postgresql.url, "dumped")
    source = database.connect(url)
    upgrade(source)
    door = Door(settings, source)
    ada = door.user("ada")
    leads = [{"name": "canary-lead", "signal": list(range(-500, 500))}]
    body = {"leads": leads, "unit": "mV", "sampling_rate": 500}
    done = door.post("/ecgs", json=body, headers=ada).json["id"]
    door.work()
    batch = door.submit(ada, '{"custom_id": "a", "leads": []}', "no json").json["id"]
    waiting = door.upload(ada, [1, -1])
    dump = tmp_path / "isoline.dump"
    # As docs/operations.md says, while it is in use.
    postgresql.run("pg_dump", "-Fc", f"--file={dump}", plain_url(url))
    restored_url = another_database(postgresql.url, "restored")
    postgresql.run("pg_restore", "-d", plain_url(restored_url), str(dump))
    target = database.connect(restored_url)
    assert rows(target, *TABLES) == rows(source, *TABLES)
    with reading(source) as before, reading(target) as after:
        samples = select(Signal.encoded).where(Signal.ecg_id == done)
        assert after.scalar(samples) == before.scalar(samples)
    assert 0 not in rows(target, User, Batch, RejectedLine, Ecg, Signal, Insights, AuditEntry)
    restored = Door(settings, target)
    for path in (
        "/ecgs",
        f"/ecgs/{done}",
        f"/ecgs/{done}/insights",
        f"/batches/{batch}",
        f"/batches/{batch}/errors",
    ):
        first, again = door.get(path, headers=ada), restored.get(path, headers=ada)
        assert (again.status_code, again.data) == (first.status_code, first.data), path
    # And life goes on, with ids and numbers that nobody has.
    restored.rung.append(waiting)
    restored.work()
    assert restored.get(f"/ecgs/{waiting}/insights", headers=ada).json["status"] == "finished"
    restored.upload(restored.user("bob"), [1])
    assert restored.delete("/users/ada", headers=ADMIN).status_code == 204
    for engine in (source, target):
        engine.dispose()


def test_a_copy_is_one_moment_however_much_is_uploaded_meanwhile(
    settings: Settings, door: Door, target: Engine
) -> None:
    ada = door.user()
    for number in range(60):
        door.upload(ada, [number])
    is_over = threading.Event()
    uploads = Door(settings, door.engine)

    def go_on() -> None:
        while not is_over.is_set():
            uploads.upload(ada, [1, -1])

    other = threading.Thread(target=go_on)
    other.start()
    try:
        copied = copy(door.engine, target)
    finally:
        is_over.set()
        other.join()
    # Of each ecg its signal, and none without.
    assert copied["ecgs"] == copied["signals"] >= 60
    assert rows(target, Ecg, Signal, Insights) == [copied["ecgs"], copied["ecgs"], 0]
    assert rows(door.engine, Ecg)[0] > 60


def test_a_target_that_holds_something_is_refused(door: Door, target: Engine) -> None:
    door.user()
    copy(door.engine, target)
    with pytest.raises(NotCopied, match="not empty"):
        copy(door.engine, target)


def test_a_copy_that_breaks_off_leaves_no_row(
    door: Door, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.upload(door.user(), [1])
    rows_of = backup._rows

    def break_off(connection, table):  # type: ignore[no-untyped-def]
        if table.name == "signals":
            raise KeyboardInterrupt
        return rows_of(connection, table)

    with monkeypatch.context() as broken:
        broken.setattr(backup, "_rows", break_off)
        with pytest.raises(KeyboardInterrupt):
            copy(door.engine, target)
    assert rows(target, User, Ecg, Signal) == [0, 0, 0]
    # And the same command once more finds nothing in its way.
    assert copy(door.engine, target)["signals"] == 1


def test_a_backup_that_is_killed_does_not_look_like_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    environ = {**os.environ, "ISOLINE_DATA_DIR": str(tmp_path), "ISOLINE_DATABASE_URL": url}
    migrations = [sys.executable, "-m", "shared.migrations"]
    subprocess.run(migrations, env=environ, cwd=HOUSE, check=True)
    path = tmp_path / "copies" / "backup.db"
    path.parent.mkdir()
    command = [sys.executable, "-m", "shared.backup", str(path)]
    with subprocess.Popen(command, env=environ, cwd=HOUSE) as copying:
        wait_until(lambda: list(path.parent.glob("*/backup.db")), what="for the copy to begin")
        copying.kill()
    assert not path.exists()
    # What is left says by its name what it is, and is in nobody's way.
    [left] = path.parent.iterdir()
    assert left.name.startswith("backup.db.incomplete-")
    assert run(tmp_path, str(path), **environ).returncode == 0
    assert path.exists()


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    path.write_text("something dear")
    (tmp_path / "isoline.db").touch()
    done = run(tmp_path, str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{path} is there already: name a new file.\n"
    assert path.read_text() == "something dear"


def test_a_file_that_appears_while_it_is_copied_is_not_written_over(
    sqlite_door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backup.db"
    go_on_counting = backup._go_on_counting

    def somebody_is_quicker(target):  # type: ignore[no-untyped-def]
        path.write_text("something dear")
        go_on_counting(target)

    monkeypatch.setattr(backup, "_go_on_counting", somebody_is_quicker)
    source = Settings.from_environ({"ISOLINE_DATABASE_URL": str(sqlite_door.engine.url)})

    def refuse(*_: object) -> None:
        raise PermissionError("Some file systems know no links.")

    for link in (os.link, refuse):
        monkeypatch.setattr(os, "link", link)
        with pytest.raises(NotCopied, match="is there already: name a new file"):
            backup.main(source, str(path))
        assert path.read_text() == "something dear"
        assert not list(tmp_path.glob("*incomplete*"))
        path.unlink()
    # And without links, where nobody is in the way.
    monkeypatch.setattr(backup, "_go_on_counting", go_on_counting)
    assert backup.main(source, str(path)) == 0
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_file_and_name_are_brought_to_the_disk_in_this_order(
    sqlite_door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copies" / "backup.db"
    path.parent.mkdir()
    fsync, synced = os.fsync, []

    def listen(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", listen)
    source = Settings.from_environ({"ISOLINE_DATABASE_URL": str(sqlite_door.engine.url)})
    backup.main(source, str(path))
    assert synced == [(False, False), (True, True)]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 250, "n" * 300])
def test_a_name_that_cannot_be_given_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "isoline.db").touch()
    done = run(tmp_path, str(tmp_path / name))
    assert (done.returncode, done.stdout) == (1, "")
    assert "File name too long" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_target_that_refuses_a_row_is_one_line_and_names_no_row(
    sqlite_door: Door, postgresql_url: str, tmp_path: Path
) -> None:
    sqlite_door.user("canary")
    url = another_database(postgresql_url, "fastidious")
    target = database.connect(url)
    upgrade(target)
    with target.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE users ADD CHECK (username <> 'canary')")
    done = run(tmp_path, url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The copy was not made: new row for relation")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stderr
    assert rows(target, User) == [0]
    target.dispose()


def test_texts_may_be_sorted_otherwise_on_the_other_side(sqlite_door: Door, tmp_path: Path) -> None:
    names = ["Beats", "a_rr", "aa", "b", "ab", "a-r"]
    with transaction(sqlite_door.engine) as connection:
        row = {"version": 1, "unit": "", "definition": ""}
        connection.execute(insert(InsightDefinition), [{"name": name, **row} for name in names])
    target = database.connect(f"sqlite:///{tmp_path / 'sorted otherwise.db'}")
    upgrade(target)
    table = Base.metadata.tables["insight_definitions"]
    with transaction(target) as connection:
        # As a PostgreSQL may that speaks a language; the one of the tests speaks none.
        made = str(CreateTable(table).compile(target))
        table.drop(connection)
        connection.exec_driver_sql(made.replace("VARCHAR(64)", "VARCHAR(64) COLLATE NOCASE", 1))
    assert copy(sqlite_door.engine, target)["insight_definitions"] == len(names)
    with reading(target) as connection:
        by_name = select(InsightDefinition.name).order_by(InsightDefinition.name)
        assert connection.scalars(by_name).all() != sorted(names)
    target.dispose()


def test_a_damaged_database_is_not_copied_and_that_is_one_line(
    sqlite_door: Door, tmp_path: Path
) -> None:
    sqlite_door.user()
    damage(sqlite_door.engine, kept_bytes=4096)
    done = run(tmp_path, str(tmp_path / "backup.db"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database is damaged: restore it from a backup")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "backup.db").exists()


def test_a_database_without_tables_is_not_copied(tmp_path: Path, target: Engine) -> None:
    bare = database.connect(f"sqlite:///{tmp_path / 'bare.db'}")
    with pytest.raises(NotCopied, match="another revision"):
        copy(bare, target)
    bare.dispose()


def test_what_arrives_otherwise_is_noticed(
    door: Door, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.upload(door.user(), [1])
    rows_of = backup._rows

    def damaged(connection, table):  # type: ignore[no-untyped-def]
        for some in rows_of(connection, table):
            if table.name == "ecgs" and connection.engine is not target:
                some = [{**row, "attempts": row["attempts"] + 1} for row in some]  # type: ignore[operator]
                monkeypatch.setattr(backup, "_rows", rows_of)
            yield some

    monkeypatch.setattr(backup, "_rows", damaged)
    with pytest.raises(NotCopied, match="ecgs differs"):
        copy(door.engine, target)


def test_the_command_makes_a_file_for_its_owner_alone(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door.user("canary")
    with transaction(door.engine) as connection:
        entry = {"at_s": 0.0, "act": "register", "username": "canary", "request_id": "r"}
        connection.execute(insert(AuditEntry).values(**entry))
    url = door.engine.url.render_as_string(hide_password=False)
    source = Settings.from_environ({"ISOLINE_DATABASE_URL": url})
    path = tmp_path / "backup.db"
    before = os.umask(0o077)
    try:
        assert backup.main(source, str(path)) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "users                         1 rows" in capsys.readouterr().out
    restored = database.connect(f"sqlite:///{path}")
    assert rows(restored, User, AuditEntry) == [1, 2]
    restored.dispose()
    with pytest.raises(NotCopied, match="itself"):
        backup.main(source, url)


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, as `make backup` gives it."""
    return subprocess.run(
        [sys.executable, "-m", "shared.backup", *arguments],
        env={**os.environ, "ISOLINE_DATA_DIR": str(folder), **environ},
        cwd=HOUSE,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("arguments", [[], [""], [" "], ["a.db", "b.db"]])
def test_whoever_names_no_target_is_told_how_in_one_sentence(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "make backup TO=backup.db" in done.stderr


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = run(tmp_path, str(tmp_path / "backup.db"))
    assert done.returncode == 1
    assert "There is no database to copy" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_be_opened_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "isoline.db").touch()
    done = run(tmp_path, str(tmp_path / "not there" / "backup.db"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"The target cannot be used: No such file or directory: {tmp_path / 'not there'}.\n"
    )
