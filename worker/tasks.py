"""One job from claim to result: claim → load → compute → store.

Between the two commits nothing is open: no session, no lock. Whoever stores a result must still
hold the claim, so that what is delivered twice is stored once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import Engine, and_, case, insert, or_, select, update

from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable, SignalError
from shared.jobs import LEASE_S
from shared.models import FAILED, FINISHED, IS_RUNNING, PENDING, RUNNING, Ecg, Insights, Signal
from shared.signals import decode
from worker.insights import analyse_ecg

MAX_ATTEMPTS = 5
# A message is put down after this long; what it still names is rung again, well within the
# limits that would kill the process.
MESSAGE_S = 20.0

GAVE_UP = f"The analysis was begun {MAX_ATTEMPTS} times and never came to its end."
OUR_FAULT = "The analysis stopped because of a fault on our side."

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Claim:
    """The right to work on one ecg, for as long as no other attempt has begun."""

    ecg_id: str
    attempt: int
    names: list[str]
    sampling_rate_hz: float | None
    baseline: float
    request_id: str


class _LeadRow(msgspec.Struct):
    name: str


def analyse(
    engine: Engine, ecg_ids: Sequence[str], ring_again: Callable[[Sequence[str]], None]
) -> None:
    """Bring each of these ecgs to its end, one after the other, if it still waits for that."""
    began_s = time.monotonic()
    for position, ecg_id in enumerate(ecg_ids):
        if time.monotonic() - began_s > MESSAGE_S:
            ring_again(ecg_ids[position:])
            return
        claimed = claim(engine, ecg_id)
        if claimed is None:
            continue
        with structlog.contextvars.bound_contextvars(
            ecg_id=ecg_id, request_id=claimed.request_id, attempt=claimed.attempt
        ):
            _work(engine, claimed)


def _work(engine: Engine, claimed: Claim) -> None:
    try:
        document = compute(engine, claimed)
    except SignalError as error:
        # The samples will not get better by trying again.
        fail(engine, claimed, str(error))
        log.warning("failed", reason=type(error).__name__)
    except DatabaseUnavailable:
        raise
    # MemoryError among them: escaping from here it would take the worker's parent along.
    except Exception:
        log.exception("attempt failed")
        give_back(engine, claimed)
    else:
        stored = finish(engine, claimed, document)
        log.info("finished" if stored else "too late: somebody else has this ecg, or it is erased")


def claim(engine: Engine, ecg_id: str) -> Claim | None:
    """Begin an attempt, if the ecg waits or whoever had it let its lease run out."""
    due = or_(
        Ecg.status == PENDING,
        and_(Ecg.status == RUNNING, Ecg.lease_until_s < now_s()),
    )
    statement = (
        update(Ecg)
        .where(Ecg.id == ecg_id, Ecg.attempts < MAX_ATTEMPTS, due)
        .values(status=RUNNING, attempts=Ecg.attempts + 1, lease_until_s=now_s() + LEASE_S)
        .returning(Ecg.attempts, Ecg.leads, Ecg.sampling_rate_hz, Ecg.baseline, Ecg.request_id)
    )
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    leads = msgspec.json.decode(row.leads, type=list[_LeadRow])
    return Claim(
        ecg_id=ecg_id,
        attempt=row.attempts,
        names=[lead.name for lead in leads],
        sampling_rate_hz=row.sampling_rate_hz,
        baseline=row.baseline,
        request_id=row.request_id,
    )


def compute(engine: Engine, claimed: Claim) -> bytes:
    """Load the samples and put every insight into the document that the poll will answer."""
    with reading(engine) as connection:
        encoded = connection.scalar(select(Signal.encoded).where(Signal.ecg_id == claimed.ecg_id))
    if encoded is None:
        raise SignalError("The samples of this ECG are gone.")
    leads = analyse_ecg(
        claimed.names,
        decode(encoded),
        sampling_rate_hz=claimed.sampling_rate_hz,
        baseline=claimed.baseline,
    )
    return msgspec.json.encode({"ecg_id": claimed.ecg_id, "status": FINISHED, "leads": leads})


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


def fail(engine: Engine, claimed: Claim, reason: str) -> None:
    """End the job without insights, for a reason that trying again cannot mend."""
    with transaction(engine) as connection:
        connection.execute(
            _held(claimed).values(
                status=FAILED, failure=reason, finished_at_s=now_s(), lease_until_s=None
            )
        )


def give_back(engine: Engine, claimed: Claim) -> None:
    """Let another attempt try, or end the job when this was the last one allowed."""
    if claimed.attempt >= MAX_ATTEMPTS:
        fail(engine, claimed, OUR_FAULT)
        return
    with transaction(engine) as connection:
        connection.execute(
            _held(claimed).values(status=PENDING, rung_at_s=now_s(), lease_until_s=None)
        )


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


def _held(claimed: Claim):  # type: ignore[no-untyped-def]
    """The fence: an update that touches the row only while this very attempt holds it."""
    return update(Ecg).where(
        Ecg.id == claimed.ecg_id, Ecg.status == RUNNING, Ecg.attempts == claimed.attempt
    )
