"""The life of a row, statement by statement: who may work on an ecg, and how that ends.

pending → running → finished or failed, and from running back to pending. Each statement says in
its WHERE what it takes for granted, so that whoever comes too late changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Engine, Update, case, insert, update

from shared.database import now_s, transaction
from shared.jobs import LEASE_S
from shared.models import FAILED, FINISHED, IS_PENDING, IS_RUNNING, PENDING, RUNNING, Ecg, Insights

MAX_ATTEMPTS = 5

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


def claim(engine: Engine, ecg_id: str) -> Claim | None:
    """Begin an attempt, if the ecg waits for one."""
    statement = (
        update(Ecg)
        .where(Ecg.id == ecg_id, IS_PENDING)
        .values(status=RUNNING, attempts=Ecg.attempts + 1, lease_until_s=now_s() + LEASE_S)
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
            _held(claimed).values(status=FINISHED, finished_at_s=now_s(), lease_until_s=None)
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
            _held(claimed).values(
                status=FAILED, failure=reason, finished_at_s=now_s(), lease_until_s=None
            )
        )
    return result.rowcount == 1


def give_back(engine: Engine, claimed: Claim) -> bool:
    """Let another attempt try, or end the job when this was the last one allowed.

    Returns
    -------
    bool : whether the claim still stood.
    """
    if claimed.attempt >= MAX_ATTEMPTS:
        return fail(engine, claimed, OUR_FAULT)
    with transaction(engine) as connection:
        result = connection.execute(
            _held(claimed).values(status=PENDING, rung_at_s=now_s(), lease_until_s=None)
        )
    return result.rowcount == 1


def sweep(engine: Engine) -> int:
    """Take back what ran out of its lease: to wait again, or failed after the last attempt.

    Returns
    -------
    int : how many rows were taken back.
    """
    exhausted = Ecg.attempts >= MAX_ATTEMPTS
    statement = (
        update(Ecg)
        .where(IS_RUNNING, Ecg.lease_until_s < now_s())
        .values(
            status=case((exhausted, FAILED), else_=PENDING),
            failure=case((exhausted, GAVE_UP), else_=None),
            finished_at_s=case((exhausted, now_s()), else_=None),
            lease_until_s=None,
            # Long ago: its bell is due now.
            rung_at_s=0.0,
        )
    )
    with transaction(engine) as connection:
        return connection.execute(statement).rowcount


def _held(claimed: Claim) -> Update:
    """The fence: an update that touches the row only while this very attempt holds it."""
    return update(Ecg).where(
        Ecg.id == claimed.ecg_id, Ecg.status == RUNNING, Ecg.attempts == claimed.attempt
    )
