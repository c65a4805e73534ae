"""Erasing ecgs and lines by the thousand without keeping everybody else from writing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, select

from shared.database import reading, transaction
from shared.models import FAILED, PENDING, RUNNING, Batch, Ecg, RejectedLine
from shared.tally import count_ended

# However many there are, no statement takes long, and between them others come to write.
AT_ONCE = 200
BREATH_S = 0.01


def erase_every(engine: Engine, which: ColumnElement[bool]) -> None:
    """Erase these ecgs with their samples and insights; cut short, it goes on when called again."""
    _bit_by_bit(engine, lambda connection: erase_some(connection, which))


def erase_some(connection: Connection, which: ColumnElement[bool]) -> int:
    """Erase `AT_ONCE` of these ecgs; return how many that were: less when there are no more."""
    # By their names: a statement that looks for them itself may look through the table.
    ecg_ids = connection.scalars(select(Ecg.id).where(which).limit(AT_ONCE)).all()
    these = delete(Ecg).where(Ecg.id.in_(ecg_ids)).returning(Ecg.batch_id, Ecg.status)
    wait_no_more(connection, connection.execute(these).all())
    return len(ecg_ids)


def wait_no_more(connection: Connection, erased: Iterable[Any]) -> None:
    """Have batches not wait for what is erased: it counts as failed, unless it had ended.

    Parameters
    ----------
    erased : rows with the batch_id and the status that each had.
    """
    waited_for = [row.batch_id for row in erased if row.status in {PENDING, RUNNING}]
    count_ended(connection, [(batch_id, FAILED) for batch_id in waited_for])


def erase_rejected(engine: Engine, batch_id: str) -> None:
    """Erase the lines of a batch that are no ecgs; cut short, it goes on when called again."""
    some = select(RejectedLine.line).where(RejectedLine.batch_id == batch_id).limit(AT_ONCE)

    def erase_lines(connection: Connection) -> int:
        lines = connection.scalars(some).all()
        these = RejectedLine.batch_id == batch_id, RejectedLine.line.in_(lines)
        connection.execute(delete(RejectedLine).where(*these))
        return len(lines)

    _bit_by_bit(engine, erase_lines)


def erase_batches(engine: Engine, user_id: int) -> None:
    """Erase the batches of a user whose ecgs are erased; cut short, it goes on likewise."""
    with reading(engine) as connection:
        batch_ids = connection.scalars(select(Batch.id).where(Batch.user_id == user_id)).all()
    for batch_id in batch_ids:
        erase_rejected(engine, batch_id)
        with transaction(engine) as connection:
            connection.execute(delete(Batch).where(Batch.id == batch_id))


def _bit_by_bit(engine: Engine, erase: Callable[[Connection], int]) -> None:
    while True:
        with transaction(engine) as connection:
            erased = erase(connection)
        if erased < AT_ONCE:
            return
        time.sleep(BREATH_S)
