"""When the database's clock is set back: nothing waits for an hour that it has had already."""

from __future__ import annotations

from sqlalchemy import Engine, case, or_, update

from shared.database import now_s, transaction
from shared.jobs import LEASE_S
from shared.models import Ecg
from shared.states import (
    IS_FRESH,
    IS_FRESH_BULK,
    IS_FRESH_REDO,
    IS_HELD,
    IS_RETRIED,
    IS_RETRIED_REDO,
)

# Somewhat more than the pause after the last attempt but one at its longest.
LONGEST_PAUSE_S = 30.0
# One by one, since each has an index: all ecgs together would be walked through.
WAITING = (IS_FRESH, IS_FRESH_BULK, IS_RETRIED, IS_FRESH_REDO, IS_RETRIED_REDO)


def heed_the_clock(engine: Engine) -> int:
    """Bring rows back that wait, or are leased, for longer than anything ever is.

    Returns
    -------
    int : how many there were.
    """
    stray = Ecg.due_at_s > now_s() + LONGEST_PAUSE_S
    due_at_s = case((stray, now_s()), else_=Ecg.due_at_s)
    leased = update(Ecg).where(IS_HELD, Ecg.lease_until_s > now_s() + LEASE_S + 1.0)
    statements = [leased.values(lease_until_s=now_s() + LEASE_S)]
    for rows in WAITING:
        waiting = update(Ecg).where(rows, or_(stray, Ecg.rung_at_s > now_s() + 1.0))
        statements.append(waiting.values(due_at_s=due_at_s, rung_at_s=0.0))
    found = 0
    for statement in statements:
        with transaction(engine) as connection:
            found += connection.execute(statement).rowcount
    return found
