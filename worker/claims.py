"""The life of a row, statement by statement: who may work on an ecg, and how that ends.

pending → running → finished or failed, and from running back to pending. Each statement says in
its WHERE what it takes for granted, so that whoever comes too late changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Update,
    bindparam,
    case,
    exists,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import now_s, transaction
from shared.jobs import LEASE_S
from shared.models import (
    FAILED,
    FINISHED,
    IS_PENDING,
    IS_RUNNING,
    PENDING,
    RUNNING,
    Batch,
    Ecg,
    Insights,
)
from shared.tally import count_ended

MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 2.0

NOBODYS: dict[str, None] = {"lease_until_s": None, "held_by": None}

GAVE_UP = f"The analysis was begun {MAX_ATTEMPTS} times and never came to its end."
OUR_FAULT = "The analysis stopped because of a fault on our side."
CANCELLED = "Its batch was cancelled before the analysis began."
RETIRED_AT_ONCE = 500


@dataclass(frozen=True)
class Claim:
    """The right to work on one ecg, for as long as no other attempt has begun."""

    ecg_id: str
    attempt: int
    names: list[str]
    sampling_rate_hz: float | None
    baseline: float
    unit: str | None
    gain: float | None
    request_id: str
    # Whose turn on the bulk queue this was; None for what was uploaded by itself.
    turn_of: int | None


class _Lead(msgspec.Struct):
    name: str


# Put together once: to do that for every job takes longer than the database does.
_ECG_IDS: BindParameter[str] = bindparam("ecg_ids", expanding=True)
_IS_CALLED_OFF = exists().where(Batch.id == Ecg.batch_id, Batch.cancelled_at_s.is_not(None))
_CLAIM = (
    update(Ecg)
    .where(Ecg.id.in_(_ECG_IDS), IS_PENDING, Ecg.due_at_s <= now_s())
    .where(Ecg.attempts <= bindparam("most_attempts"))
    .where(or_(Ecg.batch_id.is_(None), ~_IS_CALLED_OFF))
    .values(
        status=RUNNING,
        attempts=Ecg.attempts + 1,
        lease_until_s=now_s() + LEASE_S,
        held_by=bindparam("message"),
    )
    .returning(Ecg.id, Ecg.attempts, Ecg.leads, Ecg.sampling_rate_hz, Ecg.baseline)
    .returning(Ecg.unit, Ecg.gain, Ecg.request_id, Ecg.batch_id, Ecg.user_id)
)
# The fence: touches rows only while these very attempts hold them. The ids by themselves are what
# an index can be asked for.
_HELD = update(Ecg).where(
    Ecg.id.in_(_ECG_IDS),
    tuple_(Ecg.id, Ecg.attempts).in_(bindparam("held", expanding=True)),
    Ecg.status == RUNNING,
)


def _ending(statement: Update) -> ReturningUpdate[str, str | None, str]:
    """Have rows end, and say the batch and the status of each."""
    ended = statement.values(finished_at_s=now_s(), **NOBODYS)
    return ended.returning(Ecg.id, Ecg.batch_id, Ecg.status)


_FINISH = _ending(_HELD.values(status=FINISHED))
_STORE = insert(Insights)


def claim(engine: Engine, ecg_ids: Sequence[str], message: str) -> list[Claim]:
    """Begin an attempt at each of these ecgs that waits for one and is due.

    What has been begun before is claimed alone: it may have been what took the others along.

    Parameters
    ----------
    message : the id of the message that named them, under which a loss would be reported.

    Returns
    -------
    list of Claim : in the order in which they were named.
    """
    asked = {
        "ecg_ids": list(ecg_ids),
        "most_attempts": MAX_ATTEMPTS - 1 if len(ecg_ids) == 1 else 0,
        "message": message[:64],
    }
    with transaction(engine) as connection:
        rows = connection.execute(_CLAIM, asked).all()
    claims = {
        row.id: Claim(
            ecg_id=row.id,
            attempt=row.attempts,
            names=[lead.name for lead in msgspec.json.decode(row.leads, type=list[_Lead])],
            sampling_rate_hz=row.sampling_rate_hz,
            baseline=row.baseline,
            unit=row.unit,
            gain=row.gain,
            request_id=row.request_id,
            turn_of=row.user_id if row.batch_id else None,
        )
        for row in rows
    }
    return [claims[ecg_id] for ecg_id in dict.fromkeys(ecg_ids) if ecg_id in claims]


def finish(engine: Engine, documents: Sequence[tuple[Claim, bytes]]) -> set[str]:
    """Store documents and status together, of every claim that still stands; say which did."""
    with transaction(engine) as connection:
        stood = _end(connection, _FINISH, _fence([claimed for claimed, _ in documents]))
        rows = [
            {"ecg_id": claimed.ecg_id, "document": document}
            for claimed, document in documents
            if claimed.ecg_id in stood
        ]
        if rows:
            connection.execute(_STORE, rows)
        count_ended(connection, stood.values())
    return set(stood)


def fail(engine: Engine, claimed: Claim, reason: str) -> bool:
    """End the job without insights, for a reason that trying again cannot mend.

    Returns
    -------
    bool : whether the claim still stood.
    """
    with transaction(engine) as connection:
        failing = _ending(_HELD.values(status=FAILED, failure=reason))
        stood = _end(connection, failing, _fence([claimed]))
        count_ended(connection, stood.values())
    return bool(stood)


def give_back(engine: Engine, claimed: Claim, reason: str) -> bool:
    """Let another attempt try after a while, or end the job when this was the last one allowed.

    Parameters
    ----------
    reason : why it failed, if that was the last attempt.

    Returns
    -------
    bool : whether the claim still stood.
    """
    return bool(_take_back(engine, _HELD, reason, _fence([claimed])))


def take_back(engine: Engine, message: str, ecg_ids: Sequence[str], reason: str) -> list[str]:
    """Take back what was held through a message whose worker is known to be lost.

    Parameters
    ----------
    message : the id of the message.
    ecg_ids : what the message named.
    reason : why it failed, if that was the last attempt.

    Returns
    -------
    list of str : those that were held.
    """
    statement = update(Ecg).where(IS_RUNNING, Ecg.id.in_(ecg_ids), Ecg.held_by == message[:64])
    return _take_back(engine, statement, reason)


def sweep(engine: Engine) -> int:
    """Take back what ran out of its lease.

    Returns
    -------
    int : how many rows were taken back.
    """
    overdue = update(Ecg).where(IS_RUNNING, Ecg.lease_until_s < now_s())
    return len(_take_back(engine, overdue, GAVE_UP))


def retire(engine: Engine, batch_id: str, user_id: int) -> int:
    """End some of what still waits in a batch that was cancelled.

    Returns
    -------
    int : how many were ended; less than `RETIRED_AT_ONCE` when none are left that wait.
    """
    waiting = select(Ecg.id).where(IS_PENDING, Ecg.batch_id == batch_id, Ecg.user_id == user_id)
    some = update(Ecg).where(IS_PENDING, Ecg.id.in_(waiting.limit(RETIRED_AT_ONCE)))
    with transaction(engine) as connection:
        ended = _end(connection, _ending(some.values(status=FAILED, failure=CANCELLED)))
        count_ended(connection, ended.values())
    return len(ended)


def _take_back(
    engine: Engine, statement: Update, reason: str, asked: dict[str, Any] | None = None
) -> list[str]:
    """To wait again for a while that doubles with each attempt, or failed after the last one."""
    exhausted = Ecg.attempts >= MAX_ATTEMPTS
    # Twice as long each time, half as much or half as much again: what fell together does not rise
    # together.
    longer = [(Ecg.attempts == n, 2.0 ** (n - 1)) for n in range(1, MAX_ATTEMPTS)]
    pause_s = FIRST_PAUSE_S * case(*longer, else_=0.0)
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    statement = statement.values(
        status=case((exhausted, FAILED), else_=PENDING),
        failure=case((exhausted, reason), else_=None),
        finished_at_s=case((exhausted, now_s()), else_=None),
        due_at_s=now_s() + pause_s * jitter,
        # It is rung for as soon as it is due.
        rung_at_s=0.0,
        **NOBODYS,
    )
    with transaction(engine) as connection:
        taken_back = statement.returning(Ecg.id, Ecg.batch_id, Ecg.status)
        rows = connection.execute(taken_back, asked).all()
        count_ended(connection, [(row.batch_id, row.status) for row in rows])
    return [row.id for row in rows]


def _end(
    connection: Connection,
    ending: ReturningUpdate[str, str | None, str],
    asked: dict[str, Any] | None = None,
) -> dict[str, tuple[str | None, str]]:
    """End rows; return the batch and the status of each."""
    rows = connection.execute(ending, asked).all()
    return {row.id: (row.batch_id, row.status) for row in rows}


def _fence(claims: Sequence[Claim]) -> dict[str, Any]:
    """What `_HELD` asks for."""
    return {
        "ecg_ids": [claimed.ecg_id for claimed in claims],
        "held": [(claimed.ecg_id, claimed.attempt) for claimed in claims],
    }
