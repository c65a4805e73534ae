"""The counts of a batch, which always add up: the one statement that changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Update,
    and_,
    bindparam,
    case,
    func,
    or_,
    true,
    update,
)

from shared.database import now_s
from shared.models import FAILED, FINISHED, Batch

Number = int | BindParameter[int]

# When no line has ended for longer, nobody was at work, and that says nothing of the pace.
LONGEST_BETWEEN_S = 600.0
# How long the next end has been awaited. A clock may also be set back.
_SINCE_S = now_s() - func.coalesce(Batch.progressed_at_s, now_s())
_WAITED_S = case(
    (_SINCE_S < 0, 0.0), (_SINCE_S > LONGEST_BETWEEN_S, LONGEST_BETWEEN_S), else_=_SINCE_S
)


def add_to_counts(
    batch_id: str | BindParameter[str],
    *,
    total: Number = 0,
    rejected: Number = 0,
    finished: Number = 0,
    failed: Number = 0,
    is_closed: bool = False,
) -> Update:
    """Make the statement that adds to the counts of a batch, and notes when the last line ended.

    It comes last in its transaction: whoever else counts waits for that to end.

    Parameters
    ----------
    batch_id, total, rejected, finished, failed : given now, or each time the statement is executed.
    is_closed : no more lines will come, which the caller writes down in the same statement.
    """
    total_then = Batch.total + total
    ended = Batch.rejected + Batch.finished + Batch.failed
    more = rejected + finished + failed
    was_idle = ended == Batch.total
    was_closed = or_(Batch.received_at_s.is_not(None), Batch.cancelled_at_s.is_not(None))
    nothing_to_come = true() if is_closed else was_closed
    is_last = and_(nothing_to_come, Batch.finished_at_s.is_(None), ended + more == total_then)
    times: dict[str, Any] = {"finished_at_s": case((is_last, now_s()), else_=Batch.finished_at_s)}
    if any(_is_counted(number) for number in (rejected, finished, failed)):
        times["worked_s"] = Batch.worked_s + case((was_idle, 0.0), else_=_WAITED_S)
        times["progressed_at_s"] = now_s()
    elif _is_counted(total):
        times["progressed_at_s"] = case((was_idle, now_s()), else_=Batch.progressed_at_s)
    if _is_counted(total):
        share = ended * 1.0 / func.nullif(Batch.total, 0)
        times["progress_kept"] = case(
            (Batch.finished_at_s.is_not(None), 0.0),
            (and_(Batch.received_at_s.is_not(None), share > Batch.progress_kept), share),
            else_=Batch.progress_kept,
        )
    return (
        update(Batch)
        .where(Batch.id == batch_id)
        .values(
            total=total_then,
            rejected=Batch.rejected + rejected,
            finished=Batch.finished + finished,
            failed=Batch.failed + failed,
            **times,
        )
    )


def _is_counted(number: Number) -> bool:
    return isinstance(number, BindParameter) or number > 0


# Put together once: that takes longer than its execution, and others wait for the lock meanwhile.
_COUNT_ENDED = add_to_counts(
    bindparam("of_batch"), finished=bindparam("newly_finished"), failed=bindparam("newly_failed")
)


def count_ended(connection: Connection, ended: Iterable[tuple[str | None, str]]) -> None:
    """Count ecgs that have just ended.

    Parameters
    ----------
    ended : batch and status of each; those of no batch, and those that have not ended, count for
        nothing.
    """
    counts: dict[str, Counter[str]] = {}
    for batch_id, status in ended:
        if batch_id is not None and status in {FINISHED, FAILED}:
            counts.setdefault(batch_id, Counter())[status] += 1
    # In one order for everybody: two that wait for each other would wait for ever.
    for batch_id, newly in sorted(counts.items()):
        more = {"newly_finished": newly[FINISHED], "newly_failed": newly[FAILED]}
        connection.execute(_COUNT_ENDED, {"of_batch": batch_id, **more})
