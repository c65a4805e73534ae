"""One job from claim to result: claim → load → compute → store.

Between the two commits nothing is open: no session, no lock. Whoever stores a result must still
hold the claim, so that what is delivered twice is stored once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy import Engine, select

from shared.database import reading
from shared.errors import DatabaseUnavailable, SignalError
from shared.models import FINISHED, Signal
from shared.signals import decode
from worker.claims import OUR_FAULT, Claim, claim, fail, finish, give_back, take_back
from worker.insights import analyse_ecg

# Together well within the limit after which the process is killed: a message is put down after
# MESSAGE_S, what was begun then may still wait for the database, compute, and wait for it again.
MESSAGE_S = 10.0
CLAIM_WITHIN_S = 10.0
COMPUTE_WITHIN_S = 20.0
STORE_WITHIN_S = 15.0

T = TypeVar("T")

TOO_LONG = f"The analysis took longer than {COMPUTE_WITHIN_S:g} seconds, each time it was tried."
TOO_MUCH = "The analysis needs more memory than one may have."
KILLED = "The analysis ended the process that worked on it, each time it was tried."

log = structlog.get_logger(__name__)


class OutOfTime(BaseException):
    """An analysis took too long. No Exception: an insight would take it for its own fault."""


REASONS: dict[type[BaseException], str] = {OutOfTime: TOO_LONG, MemoryError: TOO_MUCH}


def analyse(
    engine: Engine,
    ecg_ids: Sequence[str],
    ring_again: Callable[[Sequence[str]], None],
    *,
    message: str,
) -> None:
    """Bring each of these ecgs to its end, one after the other, if it still waits for that.

    Parameters
    ----------
    engine : the database.
    ecg_ids : what the message names.
    ring_again : has them named by another message, at the end of the queue.
    message : the id of the message, under which the loss of this process would be reported.

    Nothing escapes: to Celery an error is a text to be logged, and a MemoryError the end of the
    whole worker. A row that is left running here is taken back when its lease has run out.
    """
    began_s = time.monotonic()
    for position, ecg_id in enumerate(ecg_ids):
        try:
            if time.monotonic() - began_s > MESSAGE_S:
                ring_again(ecg_ids[position:])
                return
            _bring_to_its_end(engine, ecg_id, message)
        except DatabaseUnavailable:
            log.warning("the database is away", left=len(ecg_ids) - position)
            # It has been waited for: what is still to be done goes to the end of the queue.
            ring_again(ecg_ids[position:])
            return
        except Exception:
            log.exception("attempt broke off", ecg_id=str(ecg_id))


def _bring_to_its_end(engine: Engine, ecg_id: str, message: str) -> None:
    claimed = _insist(lambda: claim(engine, ecg_id, message), CLAIM_WITHIN_S)
    if claimed is None:
        return
    with structlog.contextvars.bound_contextvars(
        ecg_id=ecg_id, request_id=claimed.request_id, attempt=claimed.attempt
    ):
        how, store = _work(engine, claimed)
        stood = _insist(store, STORE_WITHIN_S)
        log.info(how if stood else "too late: somebody else has this ecg, or it is erased")


def _work(engine: Engine, claimed: Claim) -> tuple[str, Callable[[], bool]]:
    """Compute, and say how that went and what is to be stored of it."""
    try:
        with _time_limit(COMPUTE_WITHIN_S):
            document = compute(engine, claimed)
    except SignalError as error:
        # The samples will not get better by trying again.
        reason = str(error)
        return "failed", lambda: fail(engine, claimed, reason)
    except (Exception, OutOfTime) as error:
        log.exception("attempt failed")
        reason = REASONS.get(type(error), OUR_FAULT)
        return "given back", lambda: give_back(engine, claimed, reason)
    return "finished", lambda: finish(engine, claimed, document)


def mourn(
    engine: Engine,
    message: str,
    ecg_ids: Sequence[str],
    reason: str,
    ring_again: Callable[[Sequence[str]], None],
) -> None:
    """After the process that had this message was lost: what it held waits again, at once.

    Its neighbours in the message are named by another one; some of them may be finished already.
    """
    held = take_back(engine, message, ecg_ids, reason)
    log.error("a process was lost", ecg_ids=held, reason=reason)
    if spared := [ecg_id for ecg_id in ecg_ids if ecg_id not in held]:
        ring_again(spared)


def compute(engine: Engine, claimed: Claim) -> bytes:
    """Load the samples and put every insight into the document that the poll will answer."""
    with reading(engine) as connection:
        encoded = connection.scalar(select(Signal.encoded).where(Signal.ecg_id == claimed.ecg_id))
    if encoded is None:
        raise SignalError("The samples of this ECG are gone.")
    leads = analyse_ecg(
        claimed.names,
        decode(encoded),
        sampling_rate_hz=claimed.sampling_rate_hz,
        baseline=claimed.baseline,
    )
    return msgspec.json.encode({"ecg_id": claimed.ecg_id, "status": FINISHED, "leads": leads})


def _insist(act: Callable[[], T], within_s: float) -> T:
    """Do something with the database, again and again for a while when it is away."""
    end_s = time.monotonic() + within_s
    pause_s = 0.1
    while True:
        try:
            return act()
        except DatabaseUnavailable:
            if time.monotonic() + pause_s > end_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 2.0)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` inside when it takes longer; for the main thread."""

    def end(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, end)
    began_s = time.monotonic()
    # Again every second: what is raised while Python clears up an object is lost.
    outer_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer_s:
            # Somebody else's alarm, which goes on.
            left_s = outer_s - (time.monotonic() - began_s)
            signal.setitimer(signal.ITIMER_REAL, max(left_s, 0.001))
