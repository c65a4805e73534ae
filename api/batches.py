"""What can be done with batches: follow, list, cancel, erase. `api.reception` feeds them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection, Engine, bindparam, delete, select

from api.erasure import erase_every, erase_rejected, erase_some
from api.moments import at
from api.pages import ID, Page, Paging, fetch_page, id_before, newest_first
from api.users import Caller
from shared.database import now_s, reading, transaction
from shared.errors import NotFound
from shared.models import Batch as BatchRow
from shared.models import Ecg as EcgRow
from shared.tally import add_to_counts

NO_SUCH_BATCH = "There is no such batch."
CUT = (
    "Not all of it has come. When the connection was cut, send it again with the same "
    "Idempotency-Key: it goes on where it stopped."
)


class Counts(Struct):
    """Of the lines: `total` is always the sum of the others."""

    total: int
    pending: int
    finished: int
    failed: int
    rejected: int


class Batch(Struct, kw_only=True):
    """Many ECGs submitted together, and how far they are."""

    id: str
    status: Annotated[
        Literal["receiving", "running", "finished", "cancelled"],
        Meta(description="`receiving` until the last line has come; empty lines are no lines."),
    ]
    counts: Counts
    progress: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="The share of lines that have ended; while more are to come, what it was "
            "before they came, 0 at first; 1 exactly when all have ended.",
        ),
    ]
    rate_per_s: Annotated[
        float | None,
        Meta(
            description="ECGs a second, of the time in which there was one to work on: neither "
            "while no line waited nor, beyond ten minutes, while nobody was at work; null: unknown."
        ),
    ]
    eta_s: Annotated[
        float | None, Meta(description="Seconds that the rest takes at that rate; null: unknown.")
    ]
    created_at: datetime
    finished_at: datetime | None
    detail: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.finished_at is not None


def find_one(engine: Engine, caller: Caller, batch_id: str) -> Batch:
    """How far a batch of this caller is; raises `NotFound`."""
    with reading(engine) as connection:
        return describe(batch_of(connection, caller, batch_id))


def find_all(engine: Engine, caller: Caller, paging: Paging) -> Page[Batch]:
    """List this caller's batches, newest first."""
    asked = {"user_id": caller.user_id, "cursor": id_before(paging)}
    return fetch_page(engine, _THEIRS, asked, paging, describe, lambda batch: batch.id)


_THEIRS = newest_first(select(BatchRow.__table__).where(BatchRow.user_id == bindparam("user_id")))


def cancel(engine: Engine, caller: Caller, batch_id: str) -> Batch:
    """Stop what has not begun; what has finished stays. Of what has ended nothing changes."""
    with transaction(engine) as connection:
        row = batch_of(connection, caller, batch_id)
        # From here on no worker begins a line; the relay ends those that wait.
        connection.execute(
            add_to_counts(row.id, is_closed=True)
            .where(BatchRow.finished_at_s.is_(None), BatchRow.cancelled_at_s.is_(None))
            .values(cancelled_at_s=now_s())
        )
        return describe(batch_of(connection, caller, batch_id))


def erase(engine: Engine, caller: Caller, batch_id: str) -> None:
    """Erase a batch with all its ecgs; cut short, it goes on when called again."""
    # What is cancelled takes no more lines; what had finished does, from a request with its key.
    cancel(engine, caller, batch_id)
    its_lines = EcgRow.batch_id == batch_id
    erase_every(engine, its_lines)
    erase_rejected(engine, batch_id)
    with transaction(engine) as connection:
        # The batch first: a request that still brings lines finds that it has none any more, and
        # those that came a moment ago are not left behind where nobody would find them.
        connection.execute(delete(BatchRow).where(BatchRow.id == batch_id))
        while erase_some(connection, its_lines):
            pass


def batch_of(connection: Connection, caller: Caller, batch_id: str) -> Any:
    """The row of this batch, if it is the caller's: a stranger's does not exist."""
    row = None
    if ID.fullmatch(batch_id):
        row = connection.execute(
            select(BatchRow.__table__).where(
                BatchRow.id == batch_id, BatchRow.user_id == caller.user_id
            )
        ).one_or_none()
    if row is None:
        raise NotFound(NO_SUCH_BATCH)
    return row


def is_any_pending(row: Any) -> bool:
    """Whether a line of this batch waits, or is worked on."""
    return bool(row.total > row.finished + row.failed + row.rejected)


def describe(row: Any) -> Batch:
    """Say how far a batch is, by its counts alone: it costs the same however large it is."""
    ended = row.finished + row.failed + row.rejected
    pending = row.total - ended
    is_receiving = row.received_at_s is None and row.cancelled_at_s is None
    progress = row.progress_kept
    if row.finished_at_s is not None:
        progress = 1.0
    elif not is_receiving and row.total:
        progress = max(progress, ended / row.total)
    rate_per_s = (row.finished + row.failed) / row.worked_s if row.worked_s > 0 else None
    return Batch(
        id=row.id,
        status=_status(row, is_receiving=is_receiving),
        counts=Counts(row.total, pending, row.finished, row.failed, row.rejected),
        progress=progress,
        rate_per_s=None if rate_per_s is None else round(rate_per_s, 3),
        eta_s=round(pending / rate_per_s, 1) if rate_per_s and not is_receiving else None,
        created_at=at(row.created_at_s),
        finished_at=None if row.finished_at_s is None else at(row.finished_at_s),
        detail=CUT if is_receiving else None,
    )


def _status(
    row: Any, *, is_receiving: bool
) -> Literal["receiving", "running", "finished", "cancelled"]:
    if row.cancelled_at_s is not None:
        return "cancelled"
    if is_receiving:
        return "receiving"
    return "running" if row.finished_at_s is None else "finished"
