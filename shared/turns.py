"""Whose turn it is on the bulk queue.

The queue is eaten from the front. So that nobody waits for the end of somebody else's batch, it
never holds more than a few messages of each user: whenever one is taken, the next lines of the same
user are put at the end. What is to be analysed again takes turns with them, as one user more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, and_, func, select, update

from shared.database import now_s, transaction
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


def give_turn(
    engine: Engine,
    user_id: int,
    ring: Callable[[Sequence[str]], None],
    *,
    lost_after_s: float = LATE_AFTER_S,
) -> int:
    """Have the next of a user's lines named by a message; return how many that names.

    Parameters
    ----------
    ring : sends the message.
    lost_after_s : as `take_turn` takes it.
    """
    with transaction(engine) as connection:
        ecg_ids = take_turn(connection, user_id, lost_after_s=lost_after_s)
    if ecg_ids:
        ring(ecg_ids)
    return len(ecg_ids)


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
    lines = IS_FRESH_REDO if user_id == REDO else and_(IS_FRESH_BULK, Ecg.user_id == user_id)
    rung_lately = Ecg.rung_at_s > now_s() - lost_after_s
    in_queue = (
        select(Ecg.number_of_samples, Ecg.number_of_leads)
        .where(lines, rung_lately)
        .limit(LINES_IN_QUEUE)
        .subquery()
    )
    sums = [func.coalesce(func.sum(column), 0) for column in in_queue.c]
    count, samples, leads = connection.execute(select(func.count(), *sums)).one()
    if count >= LINES_IN_QUEUE or weight_of(samples, leads) >= WEIGHT_IN_QUEUE:
        return []
    rows = connection.execute(
        select(Ecg.id, Ecg.number_of_samples, Ecg.number_of_leads)
        .where(lines)
        .where(Ecg.rung_at_s <= now_s() - lost_after_s)
        .order_by(Ecg.rung_at_s, Ecg.id)
        .limit(LINES_PER_MESSAGE)
        # Two workers at once take different turns.
        .with_for_update(skip_locked=True)
    ).all()
    ecg_ids: list[str] = []
    weight = 0
    for row in rows:
        ecg_ids.append(row.id)
        weight += weight_of(row.number_of_samples, row.number_of_leads)
        # Only what is full is cut: otherwise more and shorter messages would stand in the queue.
        if weight >= WEIGHT_PER_MESSAGE:
            break
    if ecg_ids:
        connection.execute(update(Ecg).where(Ecg.id.in_(ecg_ids)).values(rung_at_s=now_s()))
    return ecg_ids
