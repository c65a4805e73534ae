"""Whose turn it is on the bulk queue.

The queue is eaten from the front. So that nobody waits for the end of somebody else's batch, it
never holds more than a few messages of each user: whenever one is taken, the next lines of the same
user are put at the end. What is to be analysed again takes turns with them, as one user more.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    select,
    update,
)

from shared.database import now_s
from shared.jobs import LINES_PER_MESSAGE, WEIGHT_PER_MESSAGE, weight_of
from shared.models import Ecg
from shared.states import IS_FRESH_BULK, IS_FRESH_REDO

# What of a user may stand in the queue at a time; enough that no worker, however quick, finds it
# empty.
MESSAGES_IN_QUEUE = 3
LINES_IN_QUEUE = MESSAGES_IN_QUEUE * LINES_PER_MESSAGE
WEIGHT_IN_QUEUE = MESSAGES_IN_QUEUE * WEIGHT_PER_MESSAGE
# A message that nobody has taken for so long is presumed lost, unless there is a reason to.
LATE_AFTER_S = 60.0
# Whose turn it is when it is that of what is to be analysed again; no user is called that.
REDO = 0


def take_turn(
    connection: Connection, user_id: int, *, lost_after_s: float = LATE_AFTER_S
) -> list[str]:
    """Choose which of a user's lines the next message is to name, and note that it rings.

    Parameters
    ----------
    user_id : whose, or `REDO`.
    connection : within a transaction, after whose commit the message is to be sent. When it is not,
        the relay takes the turn again later.
    lost_after_s : seconds after which a bell is presumed lost.

    Returns
    -------
    list of str : in the order of their lines; none when enough of them stand in the queue.
    """
    in_queue, next_ones = _OF_REDO if user_id == REDO else _OF_USER
    asked = {"user_id": user_id, "lost_after_s": lost_after_s}
    count, samples, leads = connection.execute(in_queue, asked).one()
    if count >= LINES_IN_QUEUE or weight_of(samples, leads) >= WEIGHT_IN_QUEUE:
        return []
    ecg_ids: list[str] = []
    weight = 0
    for row in connection.execute(next_ones, asked).all():
        ecg_ids.append(row.id)
        weight += weight_of(row.number_of_samples, row.number_of_leads)
        # Only what is full is cut: otherwise more and shorter messages would stand in the queue.
        if weight >= WEIGHT_PER_MESSAGE:
            break
    if ecg_ids:
        connection.execute(_RING, {"ecg_ids": ecg_ids})
    return ecg_ids


def _asking(
    lines: ColumnElement[bool],
) -> tuple[Select[*tuple[Any, ...]], Select[*tuple[Any, ...]]]:
    """How many of these lines stand in the queue, and how large they are; and the next of them."""
    late_s = now_s() - bindparam("lost_after_s")
    size = Ecg.number_of_samples, Ecg.number_of_leads
    rung_lately = select(*size).where(lines, Ecg.rung_at_s > late_s).limit(LINES_IN_QUEUE)
    in_queue = rung_lately.subquery()
    sums = [func.coalesce(func.sum(column), 0) for column in in_queue.c]
    next_ones = (
        select(Ecg.id, *size)
        .where(lines, Ecg.rung_at_s <= late_s)
        .order_by(Ecg.rung_at_s, Ecg.id)
        .limit(LINES_PER_MESSAGE)
        # Two workers at once take different turns.
        .with_for_update(skip_locked=True)
    )
    return select(func.count(), *sums).select_from(in_queue), next_ones


# Put together once: that takes longer than the database does, and others wait for it meanwhile.
_OF_USER = _asking(and_(IS_FRESH_BULK, Ecg.user_id == bindparam("user_id")))
_OF_REDO = _asking(IS_FRESH_REDO)
_RING = (
    update(Ecg).where(Ecg.id.in_(bindparam("ecg_ids", expanding=True))).values(rung_at_s=now_s())
)
