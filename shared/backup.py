"""Copies a database while Isoline runs: a backup, a move to another kind, or the way back.

`python -m shared.backup TARGET`, where TARGET is the path of a new SQLite file, or the URL of an
empty database. What is copied is one moment of the configured database, row for row; both sides
are then counted and summed up, and compared. Only then is there a copy: whoever is killed before
leaves no file of that name, and in a database no row.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, func, insert, select, text, tuple_
from sqlalchemy.exc import DatabaseError

from shared import database, sqlite, sqlite_log
from shared.database import reading, transaction
from shared.errors import ServiceError
from shared.migrations.revisions import current_revision, newest_revision
from shared.migrations.schema import upgrade
from shared.models import Base
from shared.settings import Settings, database_url_of

USAGE = "Say where the copy is to go, in a new file: make backup TO=backup.db"
IS_THERE = "{} is there already: name a new file."
# Signals may be large: a few at a time.
ROWS_AT_ONCE = 50


class NotCopied(ServiceError):
    """The copy was refused, or is not what it was made from; the message says which."""


def copy(source: Engine, target: Engine) -> dict[str, int]:
    """Copy every row of every table from one database to another, and compare them.

    Parameters
    ----------
    source : in use or not; it is read in one transaction, and nothing in it is changed.
    target : without tables, or with empty ones.

    Returns
    -------
    dict : how many rows of each table were copied.

    Raises
    ------
    NotCopied : the source is not at this code's revision, the target cannot be opened or is not
        empty, or what arrived is not what was sent.
    """
    try:
        upgrade(target)
    except DatabaseError as error:
        # The driver's own words: they name host and port, never the password.
        raise NotCopied(f"The target cannot be used: {error.orig}.") from error
    with _one_moment(source) as connection:
        if current_revision(connection) != newest_revision():
            raise NotCopied(
                "The database is at another revision: run `python -m shared.migrations`."
            )
        # All tables in one transaction: half a copy is none.
        with transaction(target) as into:
            _check_empty(into)
            for table in Base.metadata.sorted_tables:
                for rows in _rows(connection, table):
                    into.execute(insert(table), rows)
            copied = {
                table.name: _compare(connection, into, table)
                for table in Base.metadata.sorted_tables
            }
            _go_on_counting(into)
    return copied


@contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one moment for as long as it lasts, and keeps nobody from writing."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with reading(engine) as connection, connection.begin():
        yield connection


def _check_empty(target: Connection) -> None:
    for table in Base.metadata.sorted_tables:
        if target.execute(select(table.primary_key.columns.values()[0]).limit(1)).first():
            raise NotCopied(f"The target is not empty: it has rows in {table.name}.")


def _rows(connection: Connection, table: Table) -> Iterator[list[dict[str, object]]]:
    """The rows in the order of their keys, some at a time, each page after the last key seen."""
    keys = table.primary_key.columns
    statement = select(table).order_by(*keys).limit(ROWS_AT_ONCE)
    page = connection.execute(statement).mappings().all()
    while page:
        yield [dict(row) for row in page]
        last = [page[-1][key.name] for key in keys]
        after = statement.where(tuple_(*keys) > tuple_(*last))
        page = connection.execute(after).mappings().all()


def _compare(source: Connection, target: Connection, table: Table) -> int:
    (sent, sum_sent), (arrived, sum_arrived) = (_sum_up(side, table) for side in (source, target))
    if (sent, sum_sent) != (arrived, sum_arrived):
        raise NotCopied(f"{table.name} differs: {sent} rows sent, {arrived} arrived.")
    return arrived


def _sum_up(connection: Connection, table: Table) -> tuple[int, int]:
    """How many rows, and the sum of their SHA-256; each kind of database sorts texts in its way."""
    number, total = 0, 0
    for rows in _rows(connection, table):
        for row in rows:
            digest = hashlib.sha256()
            # Of each value its length, too: what ends here must not begin there.
            for value in row.values():
                written = value if isinstance(value, bytes) else repr(value).encode()
                digest.update(b"%d:" % len(written) + written)
            number += 1
            total += int.from_bytes(digest.digest())
    return number, total


def _go_on_counting(target: Connection) -> None:
    """Have PostgreSQL number new rows after those that were brought along."""
    if target.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        [key, *others] = table.primary_key.columns
        if key.type.python_type is int and not others:
            most = target.scalar(select(func.max(key)))
            sequence = f"pg_get_serial_sequence('{table.name}', '{key.name}')"
            target.execute(
                text(f"SELECT setval({sequence}, :next, false)"), {"next": (most or 0) + 1}
            )


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Where to write a file that gets this path, and is seen there, only once it is whole."""
    if path.exists():
        raise NotCopied(IS_THERE.format(path))
    try:
        beside = tempfile.TemporaryDirectory(prefix=f"{path.name}.incomplete-", dir=path.parent)
    except OSError as error:
        raise NotCopied(f"The target cannot be used: {error.strerror}: {path.parent}.") from error
    with beside as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        _give_name(unfinished, path)
    parent = os.open(path.parent, os.O_RDONLY)
    # So that the name, too, outlives a power cut; not every file system can be asked for that.
    with suppress(OSError):
        os.fsync(parent)
    os.close(parent)


def _give_name(unfinished: Path, path: Path) -> None:
    """Give a file its name, unless somebody else has taken that meanwhile."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise NotCopied(IS_THERE.format(path)) from None
    except OSError:
        # Not every file system knows two names of one file.
        if path.exists():
            raise NotCopied(IS_THERE.format(path)) from None
        unfinished.rename(path)


def _copy_to(source: Engine, target_url: str) -> dict[str, int]:
    # One side waits while the other is summed up.
    target = database.connect(target_url, pool_size=1, idle_s=0)
    try:
        copied = copy(source, target)
        # What is in SQLite's log belongs into the file that is carried away.
        sqlite_log.empty(target)
    finally:
        target.dispose()
    return copied


def main(settings: Settings, target_text: str) -> int:
    """Copy the configured database and say what was copied; return the exit code."""
    target_url = database_url_of(target_text)
    if target_url == settings.database_url:
        raise NotCopied("The target is the database itself.")
    origin = sqlite.file_of(settings.database_url)
    if origin is not None and not origin.exists():
        raise NotCopied(f"There is no database to copy: {origin} is not there.")
    file = sqlite.file_of(target_url)
    source = database.connect(settings.database_url, pool_size=1, idle_s=0)
    try:
        if file is None:
            copied = _copy_to(source, target_url)
        else:
            with _new_file(file) as unfinished:
                copied = _copy_to(source, database_url_of(str(unfinished)))
    finally:
        source.dispose()
    for name, number in copied.items():
        print(f"{name:<20} {number:>10} rows, equal on both sides")
    if file is None:
        print("Written into the database that was named.")
    else:
        print(f"Written to {file}, {file.stat().st_size / 2**20:.1f} MiB.")
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(main(Settings.from_environ(), sys.argv[1]))
    except ServiceError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"The copy was not made: {error.strerror}: {error.filename}.")
    except DatabaseError as error:
        # The first line names what was hurt, those after it a row.
        sys.exit(f"The copy was not made: {str(error.orig).splitlines()[0]}.")
