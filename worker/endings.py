"""How the life of a row ends, or comes back to where it waits: see `worker.claims`."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Update,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import now_s, transaction
from shared.fingerprints import fingerprint
from shared.models import FAILED, FINISHED, PENDING, Ecg, Insights
from shared.states import ATTEMPTS_MADE, CANCELLED, IS_HELD, IS_PENDING
from shared.tally import count_ended
from worker.claims import HELD, HOLDER_LENGTH, MAX_ATTEMPTS, Claim, fence
from worker.insights import versions

FIRST_PAUSE_S = 2.0

NOBODYS: dict[str, None] = {"lease_until_s": None, "held_by": None}

GAVE_UP = f"The analysis was begun {MAX_ATTEMPTS} times and never came to its end."
OUR_FAULT = "The analysis stopped because of a fault on our side."
RETIRED_AT_ONCE = 500

# Whether it is done for the first time; otherwise it has been finished all along.
_IS_FIRST = Ecg.status == literal_column("'running'")


def _ending(statement: Update) -> ReturningUpdate[str, str | None, str]:
    """Have rows end, and say the batch and the status of each."""
    return _saying(statement.values(finished_at_s=now_s(), **NOBODYS))


def _saying(statement: Update) -> ReturningUpdate[str, str | None, str]:
    return statement.returning(Ecg.id, Ecg.batch_id, Ecg.status)


_FINISH = _ending(
    HELD.values(
        status=FINISHED, failure=None, redo_after=None, catalogue=bindparam("catalogue_then")
    )
)
_STORE = insert(Insights)
_REPLACE = update(Insights).where(Insights.ecg_id == bindparam("of"))


@functools.cache
def our_fingerprint() -> str:
    """The insights of this process, as rows bear them that were analysed here."""
    return fingerprint(versions())


def finish(engine: Engine, documents: Sequence[tuple[Claim, bytes]]) -> set[str]:
    """Store documents and status together, of every claim that still stands; say which did."""
    with transaction(engine) as connection:
        asked = fence([claimed for claimed, _ in documents])
        stood = _end(connection, _FINISH, {**asked, "catalogue_then": our_fingerprint()})
        held = [(claimed, document) for claimed, document in documents if claimed.ecg_id in stood]
        first = [(claimed.ecg_id, document) for claimed, document in held if not claimed.is_redo]
        again = [(claimed.ecg_id, document) for claimed, document in held if claimed.is_redo]
        if first:
            rows = [{"ecg_id": ecg_id, "document": document} for ecg_id, document in first]
            connection.execute(_STORE, rows)
        if again:
            rows = [{"of": ecg_id, "document": document} for ecg_id, document in again]
            connection.execute(_REPLACE, rows)
        # Its batch has counted long ago what is done again.
        count_ended(connection, [stood[ecg_id] for ecg_id, _ in first])
    return set(stood)


def fail(engine: Engine, claimed: Claim, reason: str) -> bool:
    """End the job without insights, or with those it had, for a reason that will not go away.

    Returns
    -------
    bool : whether the claim still stood.
    """
    with transaction(engine) as connection:
        failing = HELD.values(
            status=case((_IS_FIRST, FAILED), else_=FINISHED),
            failure=reason,
            finished_at_s=case((_IS_FIRST, now_s()), else_=Ecg.finished_at_s),
            redo_after=None,
            catalogue=our_fingerprint(),
            **NOBODYS,
        )
        stood = _end(connection, _saying(failing), fence([claimed]))
        _count_failed(connection, stood.values())
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
    return bool(_take_back(engine, HELD, reason, fence([claimed])))


def take_back(engine: Engine, holder: str, ecg_ids: Sequence[str], reason: str) -> list[str]:
    """Take back what is held by somebody who is known to be lost.

    Parameters
    ----------
    holder : under which name, or how that begins: with the id of a message, and a colon.
    ecg_ids : what the message named.
    reason : why it failed, if that was the last attempt.

    Returns
    -------
    list of str : those that were held.
    """
    name = holder[:HOLDER_LENGTH]
    is_theirs = func.substr(Ecg.held_by, 1, len(name)) == name
    return _take_back(engine, update(Ecg).where(IS_HELD, Ecg.id.in_(ecg_ids), is_theirs), reason)


def sweep(engine: Engine) -> int:
    """Take back what ran out of its lease.

    Returns
    -------
    int : how many rows were taken back.
    """
    overdue = update(Ecg).where(IS_HELD, Ecg.lease_until_s < now_s())
    return len(_take_back(engine, overdue, GAVE_UP))


def retire(engine: Engine, batch_id: str, user_id: int) -> int:
    """End some of what still waits in a batch that was cancelled.

    Returns
    -------
    int : how many were ended; less than `RETIRED_AT_ONCE` when none are left that wait, or that
        nobody else holds.
    """
    waiting = select(Ecg.id).where(IS_PENDING, Ecg.batch_id == batch_id, Ecg.user_id == user_id)
    # What is being erased meanwhile is another one's, who takes it in another order.
    free = waiting.limit(RETIRED_AT_ONCE).with_for_update(skip_locked=True)
    some = update(Ecg).where(IS_PENDING, Ecg.id.in_(free))
    with transaction(engine) as connection:
        ended = _end(connection, _ending(some.values(status=FAILED, failure=CANCELLED)))
        count_ended(connection, ended.values())
    return len(ended)


def _take_back(
    engine: Engine, statement: Update, reason: str, asked: dict[str, Any] | None = None
) -> list[str]:
    """To wait again for a while that doubles with each attempt, or failed after the last one.

    What has a document keeps that, and is not asked for again before there are other insights.
    """
    exhausted = ATTEMPTS_MADE >= MAX_ATTEMPTS
    # Twice as long each time, half as much or half as much again: what fell together does not rise
    # together.
    doubled = {n: 2.0 ** (n - 1) for n in range(1, MAX_ATTEMPTS)}
    pause_s = FIRST_PAUSE_S * case(doubled, value=ATTEMPTS_MADE, else_=0.0)
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    statement = statement.values(
        status=case((~_IS_FIRST, FINISHED), (exhausted, FAILED), else_=PENDING),
        failure=case((exhausted, reason), else_=None),
        finished_at_s=case((~_IS_FIRST, Ecg.finished_at_s), (exhausted, now_s()), else_=None),
        redo_after=case((exhausted, None), else_=Ecg.redo_after),
        catalogue=case((exhausted, our_fingerprint()), else_=Ecg.catalogue),
        due_at_s=now_s() + pause_s * jitter,
        # It is rung for as soon as it is due.
        rung_at_s=0.0,
        **NOBODYS,
    )
    with transaction(engine) as connection:
        taken_back = _end(connection, _saying(statement), asked)
        _count_failed(connection, taken_back.values())
    return list(taken_back)


def _count_failed(connection: Connection, ended: Iterable[tuple[str | None, str]]) -> None:
    """Count in their batches those that have failed: what is finished now has been all along."""
    count_ended(connection, [(batch_id, status) for batch_id, status in ended if status == FAILED])


def _end(
    connection: Connection,
    ending: ReturningUpdate[str, str | None, str],
    asked: dict[str, Any] | None = None,
) -> dict[str, tuple[str | None, str]]:
    """End rows; return the batch and the status of each."""
    rows = connection.execute(ending, asked).all()
    return {row.id: (row.batch_id, row.status) for row in rows}
