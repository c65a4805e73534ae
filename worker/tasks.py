"""Jobs from claim to result: claim → load → compute → store.

Between the two commits nothing is open: no session, no lock. Whoever stores a result must still
hold the claim, so that what is delivered twice is stored once.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy import Engine

from shared.errors import DatabaseUnavailable, SignalError
from shared.jobs import LINES_PER_MESSAGE
from shared.models import FINISHED
from shared.signals import decode
from worker.analysis import analyse_ecg
from worker.claims import Begun, Claim, claim
from worker.endings import OUR_FAULT, fail, finish, give_back, take_back
from worker.sample_store import SampleStore

# Well within the limit after which the process is killed: a message is claimed, and put down after
# MESSAGE_S; what was begun then may still compute, and wait for the database until all is to end.
CLAIM_WITHIN_S = 10.0
MESSAGE_S = 10.0
COMPUTE_WITHIN_S = 20.0
ALL_WITHIN_S = 55.0

T = TypeVar("T")

TOO_LATE = "too late: somebody else has this ecg, or it is erased"
NOT_BEGUN = "The analysis never came to its turn."
TOO_LONG = f"The analysis took longer than {COMPUTE_WITHIN_S:g} seconds, each time it was tried."
TOO_MUCH = "The analysis needs more memory than one may have."
UNREADABLE = "Its samples could not be read from the database."
UNHEARD = "The database went away each time the analysis was to begin."
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
    ring_next: Callable[[Sequence[str]], None],
    announce: Callable[[Sequence[str]], None],
) -> None:
    """Bring each of these ecgs to its end, if it still waits for that.

    They are claimed together, computed one after the other, and stored together.

    Parameters
    ----------
    engine : the database.
    ecg_ids : what the message names. One that names more than any of ours is thrown away: it would
        never be claimed, and the relay rings for what it may have meant.
    ring_again : has them named by another message, at the end of the queue.
    message : the id of the message, under which the loss of this process would be reported.
    ring_next : has what is next on the bulk queue named, at its end.
    announce : tells whoever waits for these that there may be news.

    Nothing escapes: to Celery an error is a text to be logged, and a MemoryError the end of the
    whole worker. A row that is left running here is taken back when its lease has run out.
    """
    began_s = time.monotonic()
    end_s = began_s + ALL_WITHIN_S
    try:
        if len(ecg_ids) > LINES_PER_MESSAGE:
            log.error("message thrown away", ecgs=len(ecg_ids))
            return
        claims, turns = _begin(engine, _ids_of(ecg_ids), message, began_s)
        for turn in turns:
            ring_next(turn)
        _bring_to_their_end(engine, claims, end_s)
        if claims:
            announce([claimed.ecg_id for claimed in claims])
    except DatabaseUnavailable as error:
        log.warning("the database is away", ecgs=len(ecg_ids), error=type(error).__name__)
        # It has been waited for: what is still to be done goes to the end of the queue.
        ring_again(ecg_ids)
    except Exception:
        log.exception("attempt broke off")


def _begin(engine: Engine, ecg_ids: Sequence[str], message: str, began_s: float) -> Begun:
    """Claim these, again and again for a while when the database is away."""
    tries = itertools.count()
    # What another one holds who was given a copy of the message is not to be taken back.
    holder = f"{message}:{uuid4().hex[:16]}"

    def take_back_unheard() -> None:
        # The claim before may have been committed although nobody heard so: what it holds would
        # wait for the end of its lease.
        take_back(engine, holder, ecg_ids, UNHEARD)

    def try_to() -> Begun:
        if next(tries):
            take_back_unheard()
        return claim(engine, ecg_ids, holder)

    try:
        return _insist(try_to, began_s + CLAIM_WITHIN_S)
    except DatabaseUnavailable:
        # Too late to begin anything, and not to leave everything as it was.
        _insist(take_back_unheard, began_s + ALL_WITHIN_S)
        raise


def _bring_to_their_end(engine: Engine, claims: Sequence[Claim], end_s: float) -> None:
    put_down_at_s = time.monotonic() + MESSAGE_S
    documents: list[tuple[Claim, bytes]] = []
    store = SampleStore(engine, claims)
    for claimed in claims:
        with _named(claimed):
            if time.monotonic() > put_down_at_s:
                _settle("put down", partial(give_back, engine, claimed, NOT_BEGUN), end_s)
            elif document := _work(engine, claimed, store, end_s):
                documents.append((claimed, document))
    if documents:
        stood = _insist(lambda: finish(engine, documents), end_s)
        for claimed, _ in documents:
            with _named(claimed):
                log.info("finished" if claimed.ecg_id in stood else TOO_LATE)


def _work(engine: Engine, claimed: Claim, store: SampleStore, end_s: float) -> bytes | None:
    """Compute the document; or see to it, and give back none, when there will be none."""
    try:
        encoded = store.take(claimed)
        with _time_limit(COMPUTE_WITHIN_S):
            return compute(claimed, encoded)
    except SignalError as error:
        # The samples will not get better by trying again.
        _settle("failed", partial(fail, engine, claimed, str(error)), end_s)
    except DatabaseUnavailable as error:
        # It may be these samples alone that cannot be read: that is not tried for ever.
        log.warning("samples not to be had", error=type(error).__name__)
        _settle("given back", partial(give_back, engine, claimed, UNREADABLE), end_s)
    except (Exception, OutOfTime) as error:
        log.exception("attempt failed")
        reason = REASONS.get(type(error), OUR_FAULT)
        _settle("given back", partial(give_back, engine, claimed, reason), end_s)
    return None


def _settle(how: str, act: Callable[[], bool], end_s: float) -> None:
    """Have an attempt end without a document."""
    try:
        log.info(how if _insist(act, end_s) else TOO_LATE)
    except DatabaseUnavailable:
        raise
    except Exception:
        # Its neighbours go on, and its lease will run out.
        log.exception("attempt broke off")


@contextmanager
def _named(claimed: Claim) -> Iterator[None]:
    """Say in every line of the log which ecg it is about."""
    with structlog.contextvars.bound_contextvars(
        ecg_id=claimed.ecg_id, request_id=claimed.request_id, attempt=claimed.attempt
    ):
        yield


def mourn(
    engine: Engine,
    message: str,
    ecg_ids: Sequence[str],
    reason: str,
    ring_again: Callable[[Sequence[str]], None],
) -> None:
    """After the process that had this message was lost: what it held waits again, one by one.

    What it did not hold, since it was lost too early, is named by another message.
    """
    named = _ids_of(ecg_ids)
    # Whichever delivery of it that was. Without the colon an empty id is how all others begin.
    held = take_back(engine, f"{message}:", named, reason)
    log.error("a process was lost", ecg_ids=held, reason=reason)
    if spared := [ecg_id for ecg_id in named if ecg_id not in held]:
        ring_again(spared)


def _ids_of(named: Sequence[object]) -> list[str]:
    """What a message names, without what can be no id, and no database would take for a text."""
    texts = (one for one in named if isinstance(one, str))
    return [text for text in texts if text.isascii() and "\0" not in text]


def compute(claimed: Claim, encoded: bytes) -> bytes:
    """Put every insight into the document that the poll will answer."""
    analysed = analyse_ecg(
        claimed.names,
        decode(encoded),
        sampling_rate_hz=claimed.sampling_rate_hz,
        baseline=claimed.baseline,
        unit=claimed.unit,
        gain=claimed.gain,
    )
    return msgspec.json.encode({"ecg_id": claimed.ecg_id, "status": FINISHED, **analysed})


def _insist(act: Callable[[], T], end_s: float) -> T:
    """Do something with the database, again and again until then when it is away."""
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
