"""The life of a row, statement by statement: who may work on an ecg, and how that ends.

pending → running → finished or failed, and from running back to pending. What is finished may be
asked for again: it stays finished, and shows what it has, while it waits, is worked on and ends,
whether that is with a new document or in vain. Each statement says in its WHERE what it takes for
granted, so that whoever comes too late changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BindParameter,
    Engine,
    bindparam,
    case,
    exists,
    or_,
    tuple_,
    update,
)

from shared.database import now_s, transaction
from shared.jobs import LEASE_S, weight_of
from shared.models import RUNNING, Batch, Ecg, LeadSummary
from shared.states import ATTEMPTS_MADE, IS_HELD, IS_PENDING, IS_WAITING
from shared.turns import REDO, take_turn
from worker.room import room

MAX_ATTEMPTS = 5
HOLDER_LENGTH = 64


@dataclass(frozen=True)
class Claim:
    """The right to work on one ecg, for as long as no other attempt has begun."""

    ecg_id: str
    attempt: int
    names: list[str]
    weight: int
    sampling_rate_hz: float | None
    baseline: float
    unit: str | None
    gain: float | None
    request_id: str
    # It has a document, to be replaced.
    is_redo: bool


class Begun(NamedTuple):
    """What a message has led to."""

    # In the order in which they were named.
    claims: list[Claim]
    # What the next messages on the bulk queue are to name, since this one was taken from it.
    turns: list[list[str]]


# Put together once: to do that for every job takes longer than the database does.
_ECG_IDS: BindParameter[str] = bindparam("ecg_ids", expanding=True)
_IS_CALLED_OFF = exists().where(Batch.id == Ecg.batch_id, Batch.cancelled_at_s.is_not(None))
_CLAIM = (
    update(Ecg)
    .where(Ecg.id.in_(_ECG_IDS), IS_WAITING, Ecg.due_at_s <= now_s())
    .where(bindparam("most_attempts") >= ATTEMPTS_MADE)
    .where(or_(Ecg.batch_id.is_(None), Ecg.redo_after.is_not(None), ~_IS_CALLED_OFF))
    .values(
        status=case((IS_PENDING, RUNNING), else_=Ecg.status),
        attempts=Ecg.attempts + 1,
        lease_until_s=now_s() + LEASE_S,
        held_by=bindparam("holder"),
    )
    .returning(Ecg.id, Ecg.attempts, Ecg.leads, Ecg.number_of_leads, Ecg.sampling_rate_hz)
    .returning(Ecg.baseline, Ecg.unit, Ecg.gain, Ecg.request_id, Ecg.batch_id, Ecg.user_id)
    .returning(Ecg.redo_after)
)
# The fence: touches rows only while these very attempts hold them. The ids by themselves are what
# an index can be asked for.
HELD = update(Ecg).where(
    Ecg.id.in_(_ECG_IDS),
    tuple_(Ecg.id, Ecg.attempts).in_(bindparam("held", expanding=True)),
    IS_HELD,
)


def claim(engine: Engine, ecg_ids: Sequence[str], holder: str) -> Begun:
    """Begin an attempt at each of these ecgs that waits for one and is due.

    What has been begun before is claimed alone: it may have been what took the others along. And
    only while there is room for what that would bring: on a disk that takes a claim and no document
    it would be begun in vain until it has failed. Whose batches they are of gets the next turn in
    the same transaction: a commit makes others wait.

    Parameters
    ----------
    holder : under which name they are held. It begins with the id of the message that named them,
        under which a loss would be reported.

    Raises
    ------
    DatabaseUnavailable : also when only the claims would fit; nothing is claimed then.
    """
    asked = {
        "ecg_ids": list(ecg_ids),
        "most_attempts": MAX_ATTEMPTS - 1 if len(ecg_ids) == 1 else 0,
        "holder": holder[:HOLDER_LENGTH],
    }
    with transaction(engine) as connection:
        rows = connection.execute(_CLAIM, asked).all()
        again = [row for row in rows if row.redo_after is None and row.attempts > 1]
        is_tried = bool(again) and not room.is_known
        if is_tried:
            room.try_for(connection, again[0].id, again[0].number_of_leads)
        turns = [take_turn(connection, user_id) for user_id in _whose_turns(rows)]
    if is_tried:
        room.remember()
    claims = {row.id: _claim_of(row) for row in rows}
    named = [claims[ecg_id] for ecg_id in dict.fromkeys(ecg_ids) if ecg_id in claims]
    return Begun(named, [turn for turn in turns if turn])


def _claim_of(row: Any) -> Claim:
    leads = msgspec.json.decode(row.leads, type=list[LeadSummary])
    return Claim(
        ecg_id=row.id,
        attempt=row.attempts,
        names=[lead.name for lead in leads],
        weight=weight_of(sum(lead.number_of_samples for lead in leads), len(leads)),
        sampling_rate_hz=row.sampling_rate_hz,
        baseline=row.baseline,
        unit=row.unit,
        gain=row.gain,
        request_id=row.request_id,
        is_redo=row.redo_after is not None,
    )


def _whose_turns(rows: Sequence[Any]) -> set[int]:
    """Whose turn on the bulk queue this was: nobody's for what was uploaded by itself."""
    again = {REDO for row in rows if row.redo_after is not None}
    return again | {row.user_id for row in rows if row.redo_after is None and row.batch_id}


def fence(claims: Sequence[Claim]) -> dict[str, Any]:
    """What `HELD` asks for."""
    return {
        "ecg_ids": [claimed.ecg_id for claimed in claims],
        "held": [(claimed.ecg_id, claimed.attempt) for claimed in claims],
    }
