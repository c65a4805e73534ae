"""What the doctor asks of each part, and what is to be done about the answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, false, func, or_, select, update

from shared import database
from shared.broker import HEARD_WITHIN_S, Broker, Role
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseDamaged, DatabaseUnavailable
from shared.jobs import BULK, INTERACTIVE, QUARANTINE
from shared.migrations.schema import current_revision, newest_revision
from shared.models import (
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    Batch,
    Ecg,
)
from shared.settings import Settings
from shared.states import IS_FRESH, IS_RETRIED

# An ECG is begun within milliseconds: what has been due for so long, nobody looks after.
LONG_S = 60.0
LATELY_S = 86_400.0
LEAST_FREE_BYTES = 2**30
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class Finding:
    """One line of the page, and what to do when it is not well."""

    what: str
    says: str
    advice: str = ""
    # What has happened and cannot be undone is told, and is no reason to be called out of bed.
    is_past: bool = False

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to do anything now."""
        return not self.advice or self.is_past

    def __str__(self) -> str:
        """The line as it is printed, with the advice below it."""
        mark = "--" if self.is_past else "ok" if self.is_well else "!!"
        line = f"{mark}  {self.what:<14} {self.says}"
        return f"{line}\n{'':<18} → {self.advice}" if self.advice else line


AWAY = {
    "database": "Start it, or mend ISOLINE_DATABASE_URL; until then uploads are answered 503.",
    "broker": "Start it, or mend ISOLINE_REDIS_URL. Uploads are safe meanwhile; no insights come.",
    "disk": "Look at the data folder: not even its free space can be read.",
}

RESTORE = "Stop Isoline, keep what is there aside, and restore a backup: see docs/operations.md."


def examine_database(settings: Settings) -> Iterator[Finding]:
    """Whether it is there and can be written to, what waits in it, and what has failed."""
    file = database.sqlite_file_of(settings.database_url)
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
            yield _examine_waiting(connection)
            yield _examine_batches(connection)
            yield _examine_leases(connection)
            yield from _examine_failed(connection)
            yield _count(connection)
        yield from _examine_writing(engine)
    finally:
        engine.dispose()


def _examine_writing(engine: Engine) -> Iterator[Finding]:
    """Whoever can be read need not be one that can be written to; nothing to say when it is."""
    try:
        with transaction(engine) as connection:
            connection.execute(update(Ecg).where(false()).values(attempts=Ecg.attempts))
    except DatabaseDamaged:
        raise
    except DatabaseUnavailable:
        says = "is refused: the database is locked for seconds, or read-only, or full"
        advice = "Find out who holds it, and end them; until then uploads are answered 503."
        yield Finding("writing", says, advice)


def _count(connection: Connection) -> Finding:
    """How many there are of each status, as far as one counts in passing."""
    counts = []
    for status in (FINISHED, FAILED, RUNNING, PENDING):
        some = select(Ecg.id).where(Ecg.status == status).limit(MOST_COUNTED)
        number = connection.scalar(select(func.count()).select_from(some.subquery())) or 0
        more = "or more " if number == MOST_COUNTED else ""
        counts += [f"{number:,} {more}{status}"] if number else []
    return Finding("ECGs", ", ".join(counts) or "none yet")


def _examine_waiting(connection: Connection) -> Finding:
    due = or_(IS_FRESH, IS_RETRIED), Ecg.due_at_s <= now_s()
    number = connection.scalar(select(func.count()).select_from(Ecg).where(*due)) or 0
    if not number:
        return Finding("waiting", "nothing")
    age_s = connection.scalar(select(now_s() - func.min(Ecg.due_at_s)).where(*due)) or 0.0
    says = f"{number} due, the oldest for {_span(age_s)}"
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
    says = f"{number} open, {pending} lines wait, the last one ended {_span(idle_s)} ago"
    advice = "Look whether the bulk workers and the relay are online."
    return Finding("batches", says, advice if pending and idle_s > LONG_S else "")


def _examine_leases(connection: Connection) -> Finding:
    overdue = select(func.count()).select_from(Ecg).where(Ecg.lease_until_s < now_s())
    number = connection.scalar(overdue) or 0
    if number:
        return Finding("leases", f"{number} have run out", "The relay takes them back: start it.")
    return Finding("leases", "none has run out")


def _examine_failed(connection: Connection) -> Iterator[Finding]:
    lately = Ecg.status == FAILED, Ecg.finished_at_s > now_s() - LATELY_S
    reasons = connection.execute(
        select(Ecg.failure, func.count(), func.max(Ecg.id))
        .where(*lately)
        .group_by(Ecg.failure)
        .order_by(func.count().desc())
        .limit(5)
    ).all()
    advice = "Look for the id in the worker's log; upload again once the cause is mended."
    for reason, number, ecg_id in reasons:
        says = f"{number}: {reason} (one is {ecg_id})"
        yield Finding("failed lately", says, advice, is_past=True)
    if not reasons:
        yield Finding("failed lately", "none within a day")


def examine_broker(settings: Settings, advice_on_roles: str = "") -> Iterator[Finding]:
    """Whether it is there and takes messages, how many wait in it, and who is heard.

    Parameters
    ----------
    advice_on_roles : what to do about anybody who is missing, where they are not started by hand.
    """
    if settings.redis_url is None:
        advice = "Start Isoline with `make run`, or set ISOLINE_REDIS_URL."
        yield Finding("broker", "is not known here", advice)
        return
    broker = Broker(settings.redis_url)
    yield Finding(
        "broker",
        f"answers; {broker.waiting(INTERACTIVE)} messages wait, {broker.waiting(BULK)} of "
        f"batches, {broker.waiting(QUARANTINE)} in quarantine",
    )
    if refusal := broker.refusal():
        says = f"takes nothing, neither messages nor signs of life: {refusal}"
        advice = "Give it the memory or the disk that it wants. Uploads are safe meanwhile."
        # Whether anybody is at work cannot be said, then.
        yield Finding("broker", says, advice)
        return
    roll = broker.roll()
    if roll is None:
        yield Finding("broker", "does not answer", AWAY["broker"])
        return
    uptime_s = broker.uptime_s()
    for role, advice in _ROLES.items():
        silent_s = roll.silent_s.get(role, {})
        if not silent_s and uptime_s < HEARD_WITHIN_S:
            says = f"not heard yet, the broker is {uptime_s:.0f} s old: ask again"
            yield Finding(_WORDS[role], says)
            continue
        # Who died long ago is news only as long as nobody has taken their place.
        named = {name: s for name, s in silent_s.items() if s <= HEARD_WITHIN_S} or silent_s
        heard = [f"{name} {_span(s)} ago" for name, s in named.items()]
        names = f" ({', '.join(sorted(heard)[:4])})" if heard else ""
        says = f"{roll.online(role)} online{names}"
        yield Finding(_WORDS[role], says, "" if roll.online(role) else advice_on_roles or advice)


_WORDS: dict[Role, str] = {
    "api": "API",
    "worker": "workers",
    "bulk": "bulk workers",
    "quarantine": "quarantine",
    "relay": "relay",
}
_ROLES: dict[Role, str] = {
    "api": f"Nobody was heard for {HEARD_WITHIN_S:g} s: start `python -m api`. All is shut.",
    "worker": f"Nobody was heard for {HEARD_WITHIN_S:g} s: start `python -m worker`. Uploads wait.",
    "bulk": "Start `python -m worker --bulk`; until then batches wait.",
    "quarantine": "Start `python -m worker --quarantine`; until then workers do its work.",
    "relay": "Start `python -m worker.relay`: without it, what is lost stays lost.",
}


def examine_disk(settings: Settings) -> Iterator[Finding]:
    """Whether there is room beside a SQLite database."""
    file = database.sqlite_file_of(settings.database_url)
    if file is None or not file.exists():
        return
    free_bytes = shutil.disk_usage(file.parent).free
    says = f"{free_bytes / 2**30:.1f} GiB free beside the database"
    advice = "Make room: when there is none, uploads are answered 503."
    yield Finding("disk", says, advice if free_bytes < LEAST_FREE_BYTES else "")


def _span(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
