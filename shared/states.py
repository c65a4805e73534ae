"""What an ecg waits for, or who is at it: conditions, and the indexes that answer them.

A partial index is used by statements that repeat its condition word for word.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Index, and_, func, literal_column, or_

from shared.models import Batch, Ecg

IS_PENDING = Ecg.status == literal_column("'pending'")
# Uploaded by itself, or with a batch; and not begun before.
IS_FRESH = and_(IS_PENDING, Ecg.attempts == literal_column("0"), Ecg.batch_id.is_(None))
IS_FRESH_BULK = and_(IS_PENDING, Ecg.attempts == literal_column("0"), Ecg.batch_id.is_not(None))
IS_RETRIED = and_(IS_PENDING, Ecg.attempts > literal_column("0"))
IS_FAILED = Ecg.status == literal_column("'failed'")
# A line of a batch that has not ended.
IS_OPEN_LINE = and_(
    Ecg.batch_id.is_not(None),
    Ecg.status.in_([literal_column("'pending'"), literal_column("'running'")]),
)
# A worker is at it, for the first time or again.
IS_HELD = Ecg.lease_until_s.is_not(None)
# Finished, and to stay so unless somebody asks for more.
IS_FINAL = and_(Ecg.status == literal_column("'finished'"), Ecg.redo_after.is_(None))
# Finished, and to be analysed again: not begun yet, or begun in vain.
IS_FRESH_REDO = and_(Ecg.redo_after == Ecg.attempts, Ecg.lease_until_s.is_(None))
IS_RETRIED_REDO = and_(Ecg.redo_after < Ecg.attempts, Ecg.lease_until_s.is_(None))
IS_NOT_REDONE = and_(Ecg.status == literal_column("'finished'"), Ecg.failure.is_not(None))

# Not finished yet, or to be analysed again; and nobody at it.
IS_WAITING = or_(IS_PENDING, and_(Ecg.redo_after.is_not(None), Ecg.lease_until_s.is_(None)))
# How often a worker has begun what is to be done now.
ATTEMPTS_MADE = Ecg.attempts - func.coalesce(Ecg.redo_after, 0)
# Why a line has failed that somebody wanted no more.
CANCELLED = "Its batch was cancelled before the analysis began."
# Cancelled, with lines that still have to end.
IS_TO_BE_RETIRED = and_(Batch.cancelled_at_s.is_not(None), Batch.finished_at_s.is_(None))


def _index(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    """Index only the rows of which this is true."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# What the relay has to put an end to.
_index("ix_batches_cancelled", Batch.id, where=IS_TO_BE_RETIRED)
# The lines of a batch in their order; and no name for two of them.
_index(
    "uq_ecgs_batch_id_line", Ecg.batch_id, Ecg.line, where=Ecg.batch_id.is_not(None), unique=True
)
_index(
    "uq_ecgs_batch_id_custom_id",
    *(Ecg.batch_id, Ecg.custom_id),
    where=Ecg.custom_id.is_not(None),
    unique=True,
)
# How far the results of a batch go: to the first that has not ended.
_index("ix_ecgs_open_batch_id_line", Ecg.batch_id, Ecg.line, where=IS_OPEN_LINE)
# What waits for something, and for what.
_index("ix_ecgs_fresh_rung_at_s", Ecg.rung_at_s, where=IS_FRESH)
# How many are ahead, and since when the first of them could have been begun.
_index("ix_ecgs_fresh_due_at_s", Ecg.due_at_s, where=IS_FRESH)
# Whose turn it is, and which of theirs has been rung for.
_index(
    "ix_ecgs_bulk_user_id_rung_at_s_id",
    *(Ecg.user_id, Ecg.rung_at_s, Ecg.id),
    where=IS_FRESH_BULK,
)
_index("ix_ecgs_retried_rung_at_s", Ecg.rung_at_s, where=IS_RETRIED)
_index("ix_ecgs_held_lease_until_s", Ecg.lease_until_s, where=IS_HELD)
# Whose insights are out of date; what waits to have them computed again, and where that was in
# vain.
_index("ix_ecgs_final_catalogue_id", Ecg.catalogue, Ecg.id, where=IS_FINAL)
_index("ix_ecgs_fresh_redo_rung_at_s_id", Ecg.rung_at_s, Ecg.id, where=IS_FRESH_REDO)
_index("ix_ecgs_retried_redo_rung_at_s", Ecg.rung_at_s, where=IS_RETRIED_REDO)
_index("ix_ecgs_not_redone", Ecg.id, where=IS_NOT_REDONE)
# What failed lately.
_index("ix_ecgs_failed_finished_at_s", Ecg.finished_at_s, where=IS_FAILED)
