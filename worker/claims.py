"""The life of a row, statement by statement: who may work on an ecg, and how that ends.

pending → running → finished or failed, and from running back to pending. Each statement says in
its WHERE what it takes for granted, so that whoever comes too late changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Engine, Update, case, insert, update

from shared.database import now_s, transaction
from shared.jobs import LEASE_S
from shared.models import FAILED, FINISHED, IS_PENDING, IS_RUNNING, PENDING, RUNNING, Ecg, Insights

MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 2.0

NOBODYS: dict[str, None] = {"lease_until_s": None, "held_by": None}

GAVE_UP = f"The analysis was begun {MAX_ATTEMPTS} times and never came to its end."
OUR_FAULT = "The analysis stopped because of a fault on our side."


@dataclass(frozen=True)
class Claim:
    """The right to work on one ecg, for as long as no other attempt has begun."""

    ecg_id: str
    attempt: int
    names: list[str]
    sampling_rate_hz: float | None
    baseline: float
    request_id: str


class _Lead(msgspec.Struct):
    name: str


def claim(engine: Engine, ecg_id: str, message: str) -> Claim | None:
    """Begin an attempt, if the ecg waits for one and it is due.

    Parameters
    ----------
    message : the id of the message that named the ecg, under which a loss would be reported.
    """
    statement = (
        update(Ecg)
        .where(Ecg.id == ecg_id, IS_PENDING, Ecg.due_at_s <= now_s())
        .values(
            status=RUNNING,
            attempts=Ecg.attempts + 1,
            lease_until_s=now_s() + LEASE_S,
            held_by=message[:64],
        )
        .returning(Ecg.attempts, Ecg.leads, Ecg.sampling_rate_hz, Ecg.baseline, Ecg.request_id)
    )
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return Claim(
        ecg_id=ecg_id,
        attempt=row.attempts,
        names=[lead.name for lead in msgspec.json.decode(row.leads, type=list[_Lead])],
        sampling_rate_hz=row.sampling_rate_hz,
        baseline=row.baseline,
        request_id=row.request_id,
    )


def finish(engine: Engine, claimed: Claim, document: bytes) -> bool:
    """Store document and status together, if the claim still stands; say whether it did."""
    with transaction(engine) as connection:
        result = connection.execute(
            _held(claimed).values(status=FINISHED, finished_at_s=now_s(), **NOBODYS)
        )
        if result.rowcount == 0:
            return False
        connection.execute(insert(Insights).values(ecg_id=claimed.ecg_id, document=document))
    return True


def fail(engine: Engine, claimed: Claim, reason: str) -> bool:
    """End the job without insights, for a reason that trying again cannot mend.

    Returns
    -------
    bool : whether the claim still stood.
    """
    with transaction(engine) as connection:
        result = connection.execute(
            _held(claimed).values(status=FAILED, failure=reason, finished_at_s=now_s(), **NOBODYS)
        )
    return result.rowcount == 1


def give_back(engine: Engine, claimed: Claim, reason: str) -> bool:
    """Let another attempt try after a while, or end the job when this was the last one allowed.

    Parameters
    ----------
    reason : why it failed, if that was the last attempt.

    Returns
    -------
    bool : whether the claim still stood.
    """
    with transaction(engine) as connection:
        return connection.execute(_taken_back(_held(claimed), reason)).rowcount == 1


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
    with transaction(engine) as connection:
        taken = connection.scalars(_taken_back(statement, reason).returning(Ecg.id)).all()
    return list(taken)


def sweep(engine: Engine) -> int:
    """Take back what ran out of its lease.

    Returns
    -------
    int : how many rows were taken back.
    """
    statement = update(Ecg).where(IS_RUNNING, Ecg.lease_until_s < now_s())
    with transaction(engine) as connection:
        return connection.execute(_taken_back(statement, GAVE_UP)).rowcount


def _taken_back(statement: Update, reason: str) -> Update:
    """To wait again for a while that doubles with each attempt, or failed after the last one."""
    exhausted = Ecg.attempts >= MAX_ATTEMPTS
    # Twice as long each time, half as much or half as much again: what fell together does not rise
    # together.
    longer = [(Ecg.attempts == n, 2.0 ** (n - 1)) for n in range(1, MAX_ATTEMPTS)]
    pause_s = FIRST_PAUSE_S * case(*longer, else_=0.0)
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    return statement.values(
        status=case((exhausted, FAILED), else_=PENDING),
        failure=case((exhausted, reason), else_=None),
        finished_at_s=case((exhausted, now_s()), else_=None),
        due_at_s=now_s() + pause_s * jitter,
        # Long ago: it is rung for as soon as it is due.
        rung_at_s=0.0,
        **NOBODYS,
    )


def _held(claimed: Claim) -> Update:
    """The fence: an update that touches the row only while this very attempt holds it."""
    return update(Ecg).where(
        Ecg.id == claimed.ecg_id, Ecg.status == RUNNING, Ecg.attempts == claimed.attempt
    )
