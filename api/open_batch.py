"""A batch that takes lines: opened or taken over, counted on, closed, and lost to others."""

from __future__ import annotations

from typing import Any

import uuid_utils
from sqlalchemy import (
    Connection,
    Integer,
    String,
    Update,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.chunks import Stored
from api.ledger import Ledger
from api.users import WHO_ARE_YOU, Caller, is_still_there
from shared.database import now_s, reading
from shared.errors import (
    BatchCancelled,
    BatchTakenOver,
    NotFound,
    RequestError,
    Unauthenticated,
)
from shared.models import Batch
from shared.tally import add_to_counts

CANCELLED = "This batch was cancelled."
ERASED = "This batch was erased while its lines came."
TAKEN_OVER = "Another request with the same Idempotency-Key has taken over."

_COLUMNS = (
    Batch.id,
    Batch.reception,
    Batch.last_number,
    Batch.last_line,
    Batch.unnamed,
    Batch.cancelled_at_s,
)

# The statements of every chunk are put together once: that takes longer than their execution, and
# others wait for the lock meanwhile.
_ID = bindparam("of_batch", type_=String)
_LINES = bindparam("new_lines", type_=Integer)
_REJECTED = bindparam("newly_rejected", type_=Integer)


def _if_open(counting: Update) -> Update:
    """Touch the batch only while it is open, and this request the latest that feeds it."""
    return counting.where(
        Batch.reception == bindparam("reception_then"), Batch.cancelled_at_s.is_(None)
    )


_COUNT, _COUNT_REJECTED = (
    _if_open(counting).values(
        last_number=bindparam("up_to_number"),
        last_line=bindparam("up_to_line"),
        unnamed=Batch.unnamed + bindparam("newly_unnamed"),
        # What had been closed is open again: more has come.
        received_at_s=None,
        finished_at_s=None,
    )
    for counting in (
        add_to_counts(_ID, total=_LINES),
        add_to_counts(_ID, total=_LINES, rejected=_REJECTED),
    )
)
_CLOSE = (
    _if_open(add_to_counts(_ID, is_closed=True))
    .where(Batch.received_at_s.is_(None))
    .values(received_at_s=now_s())
)


class OpenBatch:
    """The batch that one request feeds, until it is closed, cancelled or another one's."""

    def __init__(self, ledger: Ledger, caller: Caller, key: str | None) -> None:
        """Make a batch, or take over the one that has this key.

        Raises
        ------
        BatchCancelled, Unauthenticated : there is none to be fed.
        """
        self._ledger = ledger
        self._caller = caller
        # As it was then.
        self.row = _open(ledger, caller, key)
        self._fence = {"of_batch": self.row.id, "reception_then": self.row.reception}

    def count(self, connection: Connection, stored: Stored, up_to_number: int) -> None:
        """Count what is being stored, as the last act but one of its transaction.

        Raises
        ------
        BatchCancelled, BatchTakenOver, NotFound, Unauthenticated : it is this request's no more.
        """
        more = {
            "new_lines": stored.lines,
            "newly_unnamed": stored.unnamed,
            "up_to_number": up_to_number,
            "up_to_line": stored.last_line,
        }
        statement = _COUNT
        if stored.rejected:
            statement = _COUNT_REJECTED
            more["newly_rejected"] = stored.rejected
        if connection.execute(statement, {**self._fence, **more}).rowcount == 0:
            raise self.why_lost()

    def close(self, connection: Connection) -> None:
        """Write down that no more lines will come, if it is still this request's."""
        connection.execute(_CLOSE, self._fence)

    def why_lost(self) -> RequestError:
        """Why this request may feed it no more."""
        with reading(self._ledger.engine) as connection:
            if not is_still_there(connection, self._caller):
                return Unauthenticated(WHO_ARE_YOU)
            batch = connection.execute(
                select(Batch.cancelled_at_s).where(Batch.id == self.row.id)
            ).one_or_none()
        if batch is None:
            return NotFound(ERASED)
        if batch.cancelled_at_s is not None:
            return BatchCancelled(CANCELLED)
        return BatchTakenOver(TAKEN_OVER)


def _open(ledger: Ledger, caller: Caller, key: str | None) -> Any:
    row = {
        "id": str(uuid_utils.uuid7()),
        "user_id": caller.user_id,
        "idempotency_key": key,
        "reception": 1,
        "last_number": 0,
        "total": 0,
        "rejected": 0,
        "finished": 0,
        "failed": 0,
    }
    new = insert(Batch).values(**row, created_at_s=now_s()).returning(*_COLUMNS)
    try:
        with ledger.writing() as connection:
            return connection.execute(new).one()
    except IntegrityError:
        if key is None:
            # Nothing was unique but its id: its user has been erased.
            raise Unauthenticated(WHO_ARE_YOU) from None
    again = (
        update(Batch)
        .where(Batch.user_id == caller.user_id, Batch.idempotency_key == key)
        .values(reception=Batch.reception + 1)
        .returning(*_COLUMNS)
    )
    with ledger.writing() as connection:
        found = connection.execute(again).one_or_none()
    if found is None:
        raise Unauthenticated(WHO_ARE_YOU)
    if found.cancelled_at_s is not None:
        raise BatchCancelled(CANCELLED)
    return found
