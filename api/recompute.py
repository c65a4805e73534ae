"""Having insights computed again that are out of date: counted and asked for, and never shown.

For the administrator, who can never read an ECG. Whoever's they are, they are answered as before
until they are replaced; the relay and the workers for batches see to that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    func,
    select,
    update,
)

from api.audit import write_down
from api.catalogue import NOT_PUBLISHED
from api.faults import invalid
from shared.database import now_s, reading, transaction
from shared.errors import DependencyError, Fault
from shared.fingerprints import current_versions, stale_fingerprints
from shared.models import Ecg
from shared.states import IS_FINAL, IS_FRESH_REDO, IS_HELD, IS_NOT_REDONE, IS_RETRIED_REDO

# Others want to write, too: so many at a time, and no longer in one request.
ROWS_AT_ONCE = 1_000
LONGEST_S = 1.0


class Recomputation(Struct, kw_only=True):
    """How many finished ECGs have insights that are out of date, and what becomes of those."""

    stale: Annotated[int, Meta(description="Out of date, and not asked for yet.")]
    waiting: Annotated[
        int, Meta(description="Asked for, and not computed yet; their old insights are answered.")
    ]
    failed: Annotated[
        int,
        Meta(
            description="Could not be computed again, and keep what they have until an insight "
            "changes."
        ),
    ]


class Queued(Recomputation, kw_only=True):
    """The same, after some of them were asked for: all of them when `stale` is 0."""

    queued: Annotated[int, Meta(description="How many were asked for by this request.")]


def count(engine: Engine, insight: str | None) -> Recomputation:
    """Say how many are out of date, in one insight or in any.

    Raises
    ------
    InvalidRequest : there is no such insight.
    DependencyError : the relay has not published yet what is measured.
    """
    with reading(engine) as connection:
        fingerprints = _find_stale(connection, insight)
        stale, fresh, retried, held, failed = (
            0 if those is None else _count(connection, those)
            for those in (
                and_(IS_FINAL, Ecg.catalogue.in_(fingerprints)) if fingerprints else None,
                IS_FRESH_REDO,
                IS_RETRIED_REDO,
                and_(IS_HELD, Ecg.redo_after.is_not(None)),
                IS_NOT_REDONE,
            )
        )
    return Recomputation(stale=stale, waiting=fresh + retried + held, failed=failed)


def queue(engine: Engine, insight: str | None, *, request_id: str) -> Queued:
    """Ask for as many of those that are out of date as can be within a second; raises as `count`.

    Cut short it has done what it has done; again, it goes on.
    """
    end_s = time.monotonic() + LONGEST_S
    queued = 0
    while True:
        with transaction(engine) as connection:
            fingerprints = _find_stale(connection, insight)
            if not fingerprints:
                break
            some = ask_again(connection, Ecg.catalogue.in_(fingerprints))
            if some and not queued:
                write_down(connection, "recompute", insight or "*", request_id)
        queued += len(some)
        if len(some) < ROWS_AT_ONCE or time.monotonic() > end_s:
            break
    left = count(engine, insight)
    return Queued(queued=queued, stale=left.stale, waiting=left.waiting, failed=left.failed)


def ask_again(connection: Connection, which: ColumnElement[bool]) -> Sequence[str]:
    """Have some finished ecgs analysed again, which stay finished meanwhile; return their ids."""
    some = select(Ecg.id).where(IS_FINAL, which).limit(ROWS_AT_ONCE)
    # Two who ask at once ask for different ones.
    ecg_ids = connection.scalars(some.with_for_update(skip_locked=True)).all()
    if ecg_ids:
        waiting = {"redo_after": Ecg.attempts, "due_at_s": now_s(), "rung_at_s": 0.0}
        asked = update(Ecg).where(Ecg.id.in_(ecg_ids), IS_FINAL)
        connection.execute(asked.values(**waiting, failure=None))
    return ecg_ids


def _find_stale(connection: Connection, insight: str | None) -> Sequence[str]:
    current = current_versions(connection)
    if not current:
        raise DependencyError(NOT_PUBLISHED)
    if insight is not None and insight not in current:
        raise invalid([Fault("/query/insight", "is not the name of an insight")])
    return stale_fingerprints(connection, current, insight)


def _count(connection: Connection, those: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(Ecg).where(those)) or 0
