"""Which rows the relay rings for, and when a bell is presumed lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, Engine, Update, func, select, update

from shared.database import now_s, reading, transaction
from shared.models import Ecg
from shared.states import IS_FRESH_BULK, IS_FRESH_REDO
from shared.turns import LATE_AFTER_S, MESSAGES_IN_QUEUE, REDO, take_turn

# A pending row's bell is presumed lost after this long when the queue is empty or the broker came
# back as another; while workers still have a queue to eat, after `LATE_AFTER_S`.
LOST_AFTER_S = 2.0
ROWS_A_ROUND = 512


def presumed_lost_after_s(
    engine: Engine,
    rows: ColumnElement[bool],
    messages: int,
    *,
    is_another: bool,
    is_eaten: bool = False,
) -> float | None:
    """How long after a bell nobody came it is presumed lost; None when there are bells enough.

    Parameters
    ----------
    rows : which rows the queue is for.
    messages : how many wait in the queue.
    is_another : whether the broker is not the one it was, and so may have lost what it had.
    is_eaten : whether workers eat from the queue, which may hold the messages of other rows for
        ever: then a bell is presumed lost sometime, however many messages there are.
    """
    if messages == 0 or is_another:
        return LOST_AFTER_S
    # With a message for each row that waits, one more would only make the queue longer: without a
    # worker it would grow for as long as nobody comes.
    some = select(Ecg.id).where(rows).limit(messages + 1).subquery()
    with reading(engine) as connection:
        pending = connection.scalar(select(func.count()).select_from(some)) or 0
    return LATE_AFTER_S if messages < pending or is_eaten else None


def ring_again(
    engine: Engine,
    rows: ColumnElement[bool],
    ring: Callable[[Sequence[str]], None],
    a_message: int,
    lost_after_s: float | None,
    owed: list[Update],
) -> int:
    """Ring for rows that are due and have no bell, or had one this long ago, oldest first.

    Rung first and stamped afterwards: a crash in between rings twice, never not at all. What cannot
    be stamped, since the disk is full, is to be before anything is rung for again: see `stamp`.

    Parameters
    ----------
    rows : which rows.
    ring : sends a message.
    a_message : how many ids that names at most.
    lost_after_s : seconds after which a bell is presumed lost; None: never.
    owed : the stamps of what was rung for; none are left unless the database fails.
    """
    has_no_bell = Ecg.rung_at_s <= (0.0 if lost_after_s is None else now_s() - lost_after_s)
    with reading(engine) as connection:
        ecg_ids = connection.scalars(
            select(Ecg.id)
            .where(rows, has_no_bell, Ecg.due_at_s <= now_s())
            .order_by(Ecg.rung_at_s)
            .limit(ROWS_A_ROUND)
        ).all()
    for start in range(0, len(ecg_ids), a_message):
        some = ecg_ids[start : start + a_message]
        ring(some)
        # A worker may have been quicker and given some back, to be rung for when they are due.
        still_due = update(Ecg).where(Ecg.id.in_(some), rows, Ecg.due_at_s <= now_s())
        owed.append(still_due.values(rung_at_s=now_s()))
        stamp(engine, owed)
    return len(ecg_ids)


def stamp(engine: Engine, owed: list[Update]) -> None:
    """Note when these rows were rung for, and take each of the stamps out once it is made."""
    while owed:
        with transaction(engine) as connection:
            connection.execute(owed[0])
        del owed[0]


def give_turns(
    engine: Engine, ring: Callable[[Sequence[str]], None], messages: int, *, is_another: bool
) -> int:
    """See to it that of every user's batches as much stands in the queue as may, and no more.

    Parameters
    ----------
    messages : how many wait in the queue.
    is_another : whether the broker may have lost what it had.

    Returns
    -------
    int : how many lines were rung for.
    """
    users = _waiting_turns(engine)
    is_full = messages >= MESSAGES_IN_QUEUE * len(users)
    if is_full and not is_another:
        return 0
    lost_after_s = LOST_AFTER_S if messages == 0 or is_another else LATE_AFTER_S
    rung = 0
    for _ in range(MESSAGES_IN_QUEUE):
        for user_id in users:
            rung += give_turn(engine, user_id, ring, lost_after_s=lost_after_s)
    return rung


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


def _waiting_turns(engine: Engine) -> list[int]:
    """Whoever has lines that wait, found in as many steps as there are such users, or `REDO`."""
    users: list[int] = []
    first = select(func.min(Ecg.user_id)).where(IS_FRESH_BULK)
    with reading(engine) as connection:
        found = connection.scalar(first)
        while found is not None:
            users.append(found)
            found = connection.scalar(first.where(Ecg.user_id > found))
        if connection.scalar(select(Ecg.id).where(IS_FRESH_REDO).limit(1)) is not None:
            users.append(REDO)
    return users
