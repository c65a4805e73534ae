"""What the doctor asks of the database, and what is to be done about the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, func, select, text, update

from shared import database, sqlite
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseDamaged, DatabaseUnavailable
from shared.findings import Finding, span
from shared.migrations.revisions import current_revision, newest_revision
from shared.models import Batch, Ecg
from shared.settings import Settings
from shared.states import (
    CANCELLED,
    IS_FAILED,
    IS_FINAL,
    IS_FRESH,
    IS_FRESH_BULK,
    IS_FRESH_REDO,
    IS_HELD,
    IS_RETRIED,
    IS_RETRIED_REDO,
)
from shared.waits import (
    FRESH_SINCE,
    LONG_S,
    MOST_COUNTED,
    RETRIED_SINCE,
    STALLED_S,
    count,
    find_redo,
    longest_s,
)

LATELY_S = 86_400.0
# More than is written between two rounds of a relay that finds nobody in its way.
LARGE_LOG_BYTES = 256 * 2**20
# What is written to see whether there is room: as much as some uploads, and no more than a moment.
# What its memory does not hold SQLite puts into its log, where the next who write put theirs over
# it (to empty the log is for the relay: it may take longer than anybody waits for the page), and
# PostgreSQL into a file that ends with the question: neither leaves a row, not even a dead one.
TRIAL = {
    "sqlite": (
        "PRAGMA cache_size = 16",
        "CREATE TABLE trial AS SELECT zeroblob(4194304) AS room",
    ),
    "postgresql": (
        "SET LOCAL work_mem = '64kB'",
        # Beside the tables, wherever else such files are kept.
        "SET LOCAL temp_tablespaces = ''",
        "SELECT count(*) FROM generate_series(1, 250000)",
    ),
}
REDO_WAITING = (IS_FRESH_REDO, Ecg.rung_at_s), (IS_RETRIED_REDO, Ecg.rung_at_s)


def examine_database(settings: Settings) -> Iterator[Finding]:
    """Whether it is there and can be written to, what waits in it, and what has failed."""
    file = sqlite.file_of(settings.database_url)
    if file is not None and not file.exists():
        # To ask would make one.
        yield Finding("database", f"{file} is not there", "Start Isoline: it makes one.")
        return
    engine = database.connect(settings.database_url, patience_s=1.5, pool_size=2)
    try:
        with reading(engine) as connection:
            revision, expected = current_revision(connection), newest_revision()
        if revision != expected:
            yield Finding(
                "database",
                f"is at revision {revision or 'none'}, this code wants {expected}",
                "Run `python -m shared.migrations`.",
            )
            return
        yield Finding("database", f"answers, at revision {revision}")
        yield from _examine_writing(engine)
        if file is not None:
            yield from _examine_log(file.with_name(f"{file.name}-wal"))
        with reading(engine) as connection:
            yield _examine_waiting(connection)
            yield _examine_batches(connection)
            yield from _examine_redo(connection)
            yield _examine_leases(connection)
            yield from _examine_failed(connection)
            yield _count_all(connection)
    finally:
        engine.dispose()


def _examine_writing(engine: Engine) -> Iterator[Finding]:
    """Whoever can be read need not be one that can be written to; nothing to say when it is."""
    try:
        with transaction(engine) as connection:
            # Finds who locks the table; as it changes no row, no page is written.
            connection.execute(update(Ecg).where(Ecg.id == "").values(attempts=Ecg.attempts))
            trial = connection.begin_nested()
            for statement in TRIAL[engine.dialect.name]:
                connection.execute(text(statement))
            trial.rollback()
    except DatabaseDamaged:
        raise
    except DatabaseUnavailable:
        says = "is refused: the database is full, or read-only, or locked for seconds"
        advice = (
            "Make room on its disk, or find out who holds it, and end them; until then uploads are "
            "answered 503."
        )
        yield Finding("writing", says, advice)


def _examine_log(log: Path) -> Iterator[Finding]:
    """What SQLite has written beside its file; nothing to say while it is as short as it should be.

    Parameters
    ----------
    log : it is there for as long as somebody has the database open.
    """
    size_bytes = log.stat().st_size
    if size_bytes > LARGE_LOG_BYTES:
        says = f"has grown to {size_bytes / 2**20:,.0f} MiB, in {log}"
        advice = (
            "Somebody has been reading all the while: a backup that runs, which ends by itself, or "
            "a process that is stopped or hangs: end that. If nobody is, start the relay: it "
            "empties it within seconds. Nothing is lost meanwhile; the disk must have room for it."
        )
        yield Finding("SQLite's log", says, advice)


def _examine_waiting(connection: Connection) -> Finding:
    is_due = Ecg.due_at_s <= now_s()
    number = count(
        connection,
        (and_(IS_FRESH, is_due), Ecg.due_at_s),
        (and_(IS_RETRIED, is_due), Ecg.rung_at_s),
    )
    if not number:
        return Finding("waiting", "nothing")
    age_s = longest_s(connection, FRESH_SINCE, RETRIED_SINCE) or 0.0
    says = f"{_counted(number)} due, the oldest for {span(age_s)}"
    advice = (
        "Look whether workers and relay are online and finish anything; if they do, add workers; "
        "if they do not, start them anew."
    )
    return Finding("waiting", says, advice if age_s > LONG_S else "")


def _examine_batches(connection: Connection) -> Finding:
    """What waits there may wait for hours, as long as the batches get on."""
    is_open = Batch.finished_at_s.is_(None)
    ended = Batch.finished + Batch.failed + Batch.rejected
    last_s = func.max(func.coalesce(Batch.progressed_at_s, Batch.created_at_s))
    number, pending, idle_s = connection.execute(
        select(func.count(), func.sum(Batch.total - ended), now_s() - last_s).where(is_open)
    ).one()
    if not number:
        return Finding("batches", "none is running")
    says = f"{number} open, {pending} lines wait, the last one ended {span(idle_s)} ago"
    advice = "Look whether the bulk workers and the relay are online."
    return Finding("batches", says, advice if pending and idle_s > LONG_S else "")


def _examine_redo(connection: Connection) -> Iterator[Finding]:
    """What is finished may wait for hours, too, to be computed anew; nothing to say of none."""
    redo = find_redo(connection)
    if redo is None:
        return
    number = count(connection, *REDO_WAITING)
    says = (
        f"{_counted(number)} finished ECGs wait to be computed anew, "
        f"asked for {span(redo.asked_s_ago)} ago"
    )
    advice = (
        f"Nobody has come for them for {span(redo.idle_s)}: look whether the bulk workers and the "
        "relay are online; if they are, start them anew."
    )
    yield Finding("recompute", says, advice if redo.idle_s > STALLED_S else "")


def _examine_leases(connection: Connection) -> Finding:
    number = count(connection, (and_(IS_HELD, Ecg.lease_until_s < now_s()), Ecg.lease_until_s))
    if number:
        return Finding("leases", f"{number} have run out", "The relay takes them back: start it.")
    return Finding("leases", "none has run out")


def _examine_failed(connection: Connection) -> Iterator[Finding]:
    # A batch that is cancelled may be a million of them.
    lately = (
        select(Ecg.failure, Ecg.id)
        .where(IS_FAILED, Ecg.finished_at_s > now_s() - LATELY_S)
        .order_by(Ecg.finished_at_s.desc())
        .limit(MOST_COUNTED)
        .subquery()
    )
    reasons = connection.execute(
        select(lately.c.failure, func.count(), func.max(lately.c.id))
        .group_by(lately.c.failure)
        .order_by(func.count().desc())
        .limit(5)
    ).all()
    advice = "Look for the id in the worker's log; upload again once the cause is mended."
    for reason, number, ecg_id in reasons:
        says = f"{_counted(number)}: {reason} (one is {ecg_id})"
        # What somebody wanted no more has no cause that could be mended.
        is_wanted = reason != CANCELLED
        yield Finding("failed lately", says, advice if is_wanted else "", is_past=True)
    if not reasons:
        yield Finding("failed lately", "none within a day")


def _count_all(connection: Connection) -> Finding:
    """How many there are of each status, as far as one counts in passing."""
    is_first = Ecg.redo_after.is_(None)
    numbers = {
        "finished": count(
            connection,
            (IS_FINAL, Ecg.catalogue),
            *REDO_WAITING,
            (and_(IS_HELD, ~is_first), Ecg.lease_until_s),
        ),
        "failed": count(connection, (IS_FAILED, Ecg.finished_at_s)),
        "running": count(connection, (and_(IS_HELD, is_first), Ecg.lease_until_s)),
        "pending": count(
            connection,
            (IS_FRESH, Ecg.due_at_s),
            (IS_FRESH_BULK, Ecg.user_id),
            (IS_RETRIED, Ecg.rung_at_s),
        ),
    }
    counts = [f"{_counted(number)} {status}" for status, number in numbers.items() if number]
    return Finding("ECGs", ", ".join(counts) or "none yet")


def _counted(number: int) -> str:
    return f"{number:,} or more" if number == MOST_COUNTED else f"{number:,}"
