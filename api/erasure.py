"""Erasing ecgs by the thousand without keeping everybody else from writing."""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Connection, Engine, delete, select

from shared.database import transaction
from shared.models import Ecg

# However many ECGs there are, no statement takes long, and between them others come to write.
AT_ONCE = 200
BREATH_S = 0.01


def erase_every(engine: Engine, which: ColumnElement[bool]) -> None:
    """Erase these ecgs with their samples and insights; cut short, it goes on when called again."""
    while True:
        with transaction(engine) as connection:
            erased = erase_some(connection, which)
        if erased < AT_ONCE:
            return
        time.sleep(BREATH_S)


def erase_some(connection: Connection, which: ColumnElement[bool]) -> int:
    """Erase `AT_ONCE` of these ecgs; return how many that were: less when there are no more."""
    # By their names: a statement that looks for them itself may look through the table.
    ecg_ids = connection.scalars(select(Ecg.id).where(which).limit(AT_ONCE)).all()
    connection.execute(delete(Ecg).where(Ecg.id.in_(ecg_ids)))
    return len(ecg_ids)
