"""What waits in the database, and since when: asked by readiness and by the doctor.

Each question is answered by a partial index, however many ecgs there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, union_all
from sqlalchemy.orm import InstrumentedAttribute

from shared.database import now_s
from shared.models import Ecg
from shared.states import IS_FRESH, IS_FRESH_REDO, IS_HELD, IS_RETRIED, IS_RETRIED_REDO

# An ECG is begun within milliseconds: what has been due for so long, nobody looks after.
LONG_S = 60.0
# What is computed anew takes turns with batches, and may have to wait for theirs.
STALLED_S = 300.0
# Nobody needs to know more exactly how many there are, and counting takes time.
MOST_COUNTED = 100_000

Since = Select[Any]
Column = InstrumentedAttribute[Any]

FRESH_SINCE: Since = select(func.min(Ecg.due_at_s)).where(IS_FRESH)
RETRIED_SINCE: Since = select(func.min(Ecg.due_at_s)).where(IS_RETRIED)
# Held by a worker that will not come back.
LAPSED_SINCE: Since = select(func.min(Ecg.lease_until_s)).where(IS_HELD)


@dataclass(frozen=True)
class Redo:
    """What is finished and waits to be computed anew."""

    asked_s_ago: float
    # For how long nobody has come for them; 0 while a worker is at one.
    idle_s: float


def count(connection: Connection, *those: tuple[ColumnElement[bool], Column]) -> int:
    """How many there are of these kinds together, but never more than `MOST_COUNTED`.

    Parameters
    ----------
    those : each with the column that its partial index begins with; unless that is asked for,
        SQLite prefers an index of everything.
    """
    some = (
        select(column).where(kind).order_by(column).limit(MOST_COUNTED).subquery()
        for kind, column in those
    )
    numbers = (connection.scalar(select(func.count()).select_from(kind)) or 0 for kind in some)
    return min(sum(numbers), MOST_COUNTED)


def longest_s(connection: Connection, *since: Since) -> float | None:
    """For how long the first of those that could be worked on has waited; None when none does."""
    now = connection.scalar(select(now_s())) or 0.0
    # What failed lately is due in a while, what is worked on is leased: these do not wait yet.
    waited_s = [now - at_s for at_s in connection.scalars(union_all(*since)) if at_s is not None]
    return max((age_s for age_s in waited_s if age_s > 0), default=None)


def find_redo(connection: Connection) -> Redo | None:
    """Since when finished ecgs wait to be computed anew, and how that goes; None when none does."""
    first = select(Ecg.due_at_s).where(IS_FRESH_REDO).order_by(Ecg.rung_at_s, Ecg.id).limit(1)
    asked_at_s = connection.scalar(first)
    retried_at_s = connection.scalar(select(func.min(Ecg.due_at_s)).where(IS_RETRIED_REDO))
    since_s = [at_s for at_s in (asked_at_s, retried_at_s) if at_s is not None]
    if not since_s:
        return None
    # The bell rings for the next of them whenever some have been taken.
    rung_at_s = connection.scalar(select(func.max(Ecg.rung_at_s)).where(IS_FRESH_REDO))
    signs_s = [] if retried_at_s is None else [retried_at_s]
    if asked_at_s is not None:
        signs_s.append(max(asked_at_s, rung_at_s or 0.0))
    now = connection.scalar(select(now_s())) or 0.0
    is_worked_on = and_(IS_HELD, Ecg.redo_after.is_not(None), Ecg.lease_until_s > now_s())
    worked_on = connection.scalar(select(Ecg.id).where(is_worked_on).limit(1))
    idle_s = 0.0 if worked_on else max(0.0, now - min(signs_s))
    return Redo(max(0.0, now - min(since_s)), idle_s)
