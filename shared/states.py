"""What an ecg waits for, or who is at it: conditions that the indexes of `shared.models` answer.

A partial index is used by statements that repeat its condition word for word.
"""

from __future__ import annotations

from sqlalchemy import and_, func, literal_column, or_

from shared.models import Ecg

IS_PENDING = Ecg.status == literal_column("'pending'")
# Uploaded by itself, or with a batch; and not begun before.
IS_FRESH = and_(IS_PENDING, Ecg.attempts == literal_column("0"), Ecg.batch_id.is_(None))
IS_FRESH_BULK = and_(IS_PENDING, Ecg.attempts == literal_column("0"), Ecg.batch_id.is_not(None))
IS_RETRIED = and_(IS_PENDING, Ecg.attempts > literal_column("0"))
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
