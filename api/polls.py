"""What a poll is told: how far the insights of an ECG are, and what they wait for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)

from api.ecgs import IS_THE_CALLERS, Status, one_of
from api.moments import at
from api.users import Caller
from shared.broker import HEARD_WITHIN_S, Broker, Role, Roll
from shared.database import now_s, reading
from shared.jobs import LEASE_S, QUARANTINED_AFTER
from shared.models import FAILED, FINISHED, RUNNING, Insights
from shared.models import Ecg as EcgRow
from shared.states import IS_FRESH, IS_FRESH_BULK

WAITING_DETAIL = "Insights are still being processed"

# Counting stops here: beyond it, the number would help nobody and cost every poll.
MOST_AHEAD = 1000

WaitingFor = Literal["queue", "worker"] | None


# By their public names: each with its `version`, and what was computed, or why it was not.
Said = dict[str, dict[str, Any]]


class LeadInsights(Struct):
    """The insights of one lead, by their public names."""

    name: str
    number_of_zero_crossings: int | None
    insights: Said


class Finished(Struct, tag_field="status", tag="finished"):
    """The insights of one ECG: of each lead, and of all leads together."""

    ecg_id: str
    leads: list[LeadInsights]
    # Documents from before there were any have none.
    insights: Said = {}


class Failed(Struct, tag_field="status", tag="failed"):
    """Why an ECG has no insights and never will."""

    ecg_id: str
    detail: str
    leads: list[LeadInsights]


class Pending(Struct, tag_field="status", tag="pending"):
    """Insights that are still to come."""

    ecg_id: str
    detail: str
    waiting_for: Annotated[
        WaitingFor,
        Meta(
            description="`queue`: others are ahead; `worker`: of those who are at it, or are to "
            f"come for it, none was heard for {HEARD_WITHIN_S:g} s, or none got on; null: it is "
            "being worked on, or about to be."
        ),
    ]
    ahead: Annotated[
        int | None,
        Meta(description=f"How many are ahead in the queue; {MOST_AHEAD} means as many or more."),
    ]


@dataclass(frozen=True)
class Ended:
    """What became of an ecg, with the poll's answer to that: there will be no further news."""

    status: Status
    finished_at: datetime
    document: bytes


@dataclass(frozen=True)
class Place:
    """Where a row that has not begun stands in the queue; nobody is ahead of one that had."""

    user_id: int
    is_bulk: bool
    # How often it was begun before.
    tries: int
    due_at_s: float
    rung_at_s: float
    # For how long it could have been begun; not yet, when negative.
    waited_s: float


@dataclass(frozen=True)
class Progress:
    """How far one ecg is: where it waits, or whether a worker is at it, or how it ended."""

    ecg_id: str
    place: Place
    # None when nobody is at it.
    begun_s_ago: float | None
    ended: Ended | None

    @property
    def has_ended(self) -> bool:
        """Whether there will be no further news."""
        return self.ended is not None


def find_progress(connection: Connection, caller: Caller, ecg_id: str) -> Progress:
    """How far the job of this ecg is; raises `NotFound`."""
    row = one_of(connection, _PROGRESS, caller, ecg_id)
    is_running = row.status == RUNNING
    place = Place(
        user_id=row.user_id,
        is_bulk=row.batch_id is not None,
        tries=row.attempts - is_running,
        due_at_s=row.due_at_s,
        rung_at_s=row.rung_at_s,
        waited_s=row.waited_s,
    )
    return Progress(row.id, place, row.begun_s_ago if is_running else None, _ended(row))


_PROGRESS = (
    select(
        EcgRow.id,
        EcgRow.status,
        EcgRow.user_id,
        EcgRow.batch_id,
        EcgRow.attempts,
        EcgRow.due_at_s,
        EcgRow.rung_at_s,
        (now_s() - EcgRow.due_at_s).label("waited_s"),
        (now_s() - EcgRow.lease_until_s + LEASE_S).label("begun_s_ago"),
        EcgRow.finished_at_s,
        EcgRow.failure,
        Insights.document,
    )
    .outerjoin(Insights, Insights.ecg_id == EcgRow.id)
    .where(IS_THE_CALLERS)
)


def _ended(row: Any) -> Ended | None:
    if row.status == FINISHED:
        document = row.document
    elif row.status == FAILED:
        document = msgspec.json.encode(Failed(row.id, row.failure, []))
    else:
        return None
    return Ended(row.status, at(row.finished_at_s), document)


def say_why(engine: Engine, broker: Broker, progress: Progress) -> Pending:
    """Tell what an ecg that has not ended waits for."""
    waiting_for: WaitingFor = None
    ahead = None
    roll = broker.roll()
    is_heard = roll is not None and bool(roll.online(_who_comes(roll, progress)))
    if progress.begun_s_ago is not None:
        # Without a broker nobody can be heard, and whoever is at it goes on.
        if progress.begun_s_ago > LEASE_S or not (is_heard or roll is None):
            waiting_for = "worker"
    elif not is_heard:
        waiting_for = "worker"
    elif ahead := _count_ahead(engine, progress) or None:
        waiting_for = "queue"
    elif progress.place.waited_s > HEARD_WITHIN_S:
        # They are heard, but do not get on.
        waiting_for = "worker"
    return Pending(progress.ecg_id, WAITING_DETAIL, waiting_for, ahead)


def _who_comes(roll: Roll, progress: Progress) -> Role:
    """Who is at it, or is to come for it."""
    place = progress.place
    if place.tries < QUARANTINED_AFTER:
        return "bulk" if place.is_bulk else "worker"
    # Where nobody kept a quarantine when it was begun, workers did that.
    heard_s_ago = roll.last_heard_s_ago("quarantine")
    was_kept = heard_s_ago is not None and (
        heard_s_ago <= HEARD_WITHIN_S + (progress.begun_s_ago or 0.0)
    )
    return "quarantine" if was_kept else "worker"


def _count_ahead(engine: Engine, progress: Progress) -> int:
    place = progress.place
    if place.tries:
        return 0
    if not place.is_bulk:
        counts = [_FRESH_AHEAD]
    else:
        # Other users' lines take turns with these.
        counts = [_RUNG_AHEAD] if place.rung_at_s else [_RUNG, _UNRUNG_AHEAD]
    asked = {
        "due_at_s": place.due_at_s,
        "user_id": place.user_id,
        "rung_at_s": place.rung_at_s,
        "ecg_id": progress.ecg_id,
    }
    with reading(engine) as connection:
        ahead = sum(connection.scalar(count, asked) or 0 for count in counts)
    return min(ahead, MOST_AHEAD)


def _count(*conditions: ColumnElement[bool]) -> Select[int]:
    # Nothing of a row is asked for, so that none is fetched: the index alone tells how many.
    rows: Select[int] = (
        select(literal_column("1", Integer).label("one")).where(*conditions).limit(MOST_AHEAD)
    )
    return select(func.count()).select_from(rows.subquery())


_FRESH_AHEAD = _count(IS_FRESH, EcgRow.due_at_s < bindparam("due_at_s"))
_MINE = and_(IS_FRESH_BULK, EcgRow.user_id == bindparam("user_id"))
_RUNG = _count(_MINE, EcgRow.rung_at_s > 0)
_RUNG_AHEAD = _count(_MINE, EcgRow.rung_at_s > 0, EcgRow.rung_at_s < bindparam("rung_at_s"))
_UNRUNG_AHEAD = _count(_MINE, EcgRow.rung_at_s == 0, EcgRow.id < bindparam("ecg_id"))
