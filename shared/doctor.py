"""One page in words: what runs, what waits and since when, what failed, and what to do about it.

`python -m shared.doctor`, in any container; `make doctor` on one machine. The exit code is 1 when
something needs somebody. Nothing that is away is waited for longer than seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import redis
from sqlalchemy import Connection, Engine, func, make_url, or_, select

from shared import database
from shared.broker import HEARD_WITHIN_S, Broker, Role
from shared.database import now_s, reading
from shared.errors import DatabaseUnavailable, SettingsError
from shared.jobs import BULK, INTERACTIVE, QUARANTINE
from shared.migrations.schema import current_revision, newest_revision
from shared.models import FAILED, AuditEntry, Batch, Ecg
from shared.settings import Settings
from shared.states import IS_FRESH, IS_RETRIED

# All parts are asked at once, and whoever has not answered by then is away.
PATIENCE_S = 3.0
# An ECG is begun within milliseconds: what has been due for so long, nobody looks after.
LONG_S = 60.0
LATELY_S = 86_400.0
LEAST_FREE_BYTES = 2**30


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


def examine(settings: Settings) -> list[Finding]:
    """Ask everything there is, side by side; takes seconds at most, whatever is away."""
    asked: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("database", lambda: _examine_database(settings)),
        ("broker", lambda: _examine_broker(settings)),
        ("disk", lambda: _examine_disk(settings)),
    ]
    # Not waited for at the end: who does not answer must not keep the page from being read.
    pool = ThreadPoolExecutor(len(asked))
    answers = [(what, pool.submit(ask)) for what, ask in asked]
    pool.shutdown(wait=False)
    findings = []
    for what, answer in answers:
        try:
            findings += answer.result(PATIENCE_S)
        except (TookTooLong, DatabaseUnavailable, redis.RedisError):
            findings.append(Finding(what, "does not answer", _AWAY[what]))
    return findings


_AWAY = {
    "database": "Start it, or mend ISOLINE_DATABASE_URL; until then uploads are answered 503.",
    "broker": "Start it, or mend ISOLINE_REDIS_URL. Uploads are safe meanwhile; no insights come.",
    "disk": "Look at the data folder: not even its free space can be read.",
}


def _examine_database(settings: Settings) -> list[Finding]:
    file = _sqlite_file(settings)
    if file is not None and not file.exists():
        # To ask would make one.
        return [Finding("database", f"{file} is not there", "Start Isoline: it makes one.")]
    engine = database.connect(settings.database_url, patience_s=2.0, pool_size=1)
    try:
        with reading(engine) as connection:
            revision, expected = current_revision(connection), newest_revision()
            if revision != expected:
                return [
                    Finding(
                        "database",
                        f"is at revision {revision or 'none'}, this code wants {expected}",
                        "Run `python -m shared.migrations`.",
                    )
                ]
            found = [Finding("database", f"answers, at revision {revision}")]
            return found + _examine_rows(connection)
    finally:
        engine.dispose()


def _examine_rows(connection: Connection) -> list[Finding]:
    grouped = connection.execute(select(Ecg.status, func.count()).group_by(Ecg.status)).all()
    counts = ", ".join(f"{number} {status}" for status, number in sorted(map(tuple, grouped)))
    return [
        Finding("ECGs", counts or "none yet"),
        _examine_waiting(connection),
        _examine_batches(connection),
        _examine_leases(connection),
        *_examine_failed(connection),
    ]


def _examine_waiting(connection: Connection) -> Finding:
    due = or_(IS_FRESH, IS_RETRIED), Ecg.due_at_s <= now_s()
    number = connection.scalar(select(func.count()).select_from(Ecg).where(*due)) or 0
    if not number:
        return Finding("waiting", "nothing")
    age_s = connection.scalar(select(now_s() - func.min(Ecg.due_at_s)).where(*due)) or 0.0
    says = f"{number} due, the oldest for {_span(age_s)}"
    advice = "Look whether workers and relay are online; if they are, add workers."
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


def _examine_failed(connection: Connection) -> list[Finding]:
    lately = Ecg.status == FAILED, Ecg.finished_at_s > now_s() - LATELY_S
    reasons = connection.execute(
        select(Ecg.failure, func.count(), func.max(Ecg.id))
        .where(*lately)
        .group_by(Ecg.failure)
        .order_by(func.count().desc())
        .limit(5)
    ).all()
    if not reasons:
        return [Finding("failed lately", "none within a day")]
    advice = "Look for the id in the worker's log; upload again once the cause is mended."
    return [
        Finding("failed lately", f"{number}: {reason} (one is {ecg_id})", advice, is_past=True)
        for reason, number, ecg_id in reasons
    ]


def _examine_broker(settings: Settings) -> list[Finding]:
    if settings.redis_url is None:
        advice = "Start Isoline with `make run`, or set ISOLINE_REDIS_URL."
        return [Finding("broker", "is not known here", advice)]
    broker = Broker(settings.redis_url)
    roll = broker.roll()
    if roll is None:
        return [Finding("broker", "does not answer", _AWAY["broker"])]
    findings = [
        Finding(
            "broker",
            f"answers; {broker.waiting(INTERACTIVE)} messages wait, {broker.waiting(BULK)} of "
            f"batches, {broker.waiting(QUARANTINE)} in quarantine",
        )
    ]
    for role, advice in _ROLES.items():
        heard = [f"{name} {_span(s)} ago" for name, s in roll.silent_s.get(role, {}).items()]
        names = f" ({', '.join(sorted(heard)[:4])})" if heard else ""
        says = f"{roll.online(role)} online{names}"
        findings.append(Finding(_WORDS[role], says, "" if roll.online(role) else advice))
    return findings


_WORDS: dict[Role, str] = {
    "worker": "workers",
    "bulk": "bulk workers",
    "quarantine": "quarantine",
    "relay": "relay",
}
_ROLES: dict[Role, str] = {
    "worker": f"Nobody was heard for {HEARD_WITHIN_S:g} s: start `python -m worker`. Uploads wait.",
    "bulk": "Start `python -m worker --bulk`; until then batches wait.",
    "quarantine": "Start `python -m worker --quarantine`; until then workers do its work.",
    "relay": "Start `python -m worker.relay`: without it, what is lost stays lost.",
}


def _examine_disk(settings: Settings) -> list[Finding]:
    file = _sqlite_file(settings)
    if file is None or not file.exists():
        return []
    free_bytes = shutil.disk_usage(file.parent).free
    says = f"{free_bytes / 2**30:.1f} GiB free beside the database"
    advice = "Make room: when there is none, uploads are answered 503."
    return [Finding("disk", says, advice if free_bytes < LEAST_FREE_BYTES else "")]


def _sqlite_file(settings: Settings) -> Path | None:
    url = make_url(settings.database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _span(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def audit_trail(engine: Engine) -> list[str]:
    """What the administrator did, a line each, the newest last."""
    with reading(engine) as connection:
        entries = connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id)).all()
    return [
        f"{datetime.fromtimestamp(entry.at_s, UTC):%Y-%m-%dT%H:%M:%SZ}  {entry.act:<12}  "
        f"{entry.username}  {entry.request_id}"
        for entry in entries
    ]


def main(settings: Settings, arguments: list[str] | None = None) -> int:
    """Print the page, or the audit trail; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.doctor", description=__doc__)
    parser.add_argument("--audit", action="store_true", help="what the administrator did")
    if parser.parse_args(arguments).audit:
        engine = database.connect(settings.database_url, pool_size=1)
        print(*audit_trail(engine), sep="\n")
        engine.dispose()
        return 0
    findings = examine(settings)
    print(*findings, sep="\n")
    unwell = sum(not finding.is_well for finding in findings)
    print(f"\n{unwell} of {len(findings)} need somebody." if unwell else "\nAll is well.")
    return 1 if unwell else 0


def run(settings: Settings) -> NoReturn:
    """Be the program: print, and end with the exit code."""
    code = main(settings)
    sys.stdout.flush()
    # Threads that still wait for somebody who does not answer are left behind.
    os._exit(code)


if __name__ == "__main__":
    try:
        known = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    run(known)
