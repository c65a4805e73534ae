"""Rings again for rows whose bell got lost, and takes back rows whose worker did.

It is also the one who sees to what must be seen to by somebody, now and then: the catalogue, and
that what was erased is gone. Two relays at once are harmless: a bell too many wakes nobody who is
not due.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import ColumnElement, Engine, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from shared import database, logs
from shared.broker import Broker
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable, SettingsError
from shared.jobs import (
    IDS_PER_MESSAGE,
    INTERACTIVE,
    QUARANTINE,
    QUARANTINED_AFTER,
    celery_app,
    enqueue,
)
from shared.models import IS_PENDING, Ecg, InsightDefinition
from shared.settings import Settings
from worker.claims import sweep
from worker.insights import catalogue

PAUSE_S = 1.0
# A pending row's bell is presumed lost after this long: soon when the queue is empty or the broker
# came back as another, late while workers still have a queue to eat.
LOST_AFTER_S = 2.0
LATE_AFTER_S = 60.0
ROWS_A_ROUND = 512
ROUNDS_A_TIDYING = 5

log = structlog.get_logger(__name__)


class Relay:
    """What goes round once a second, and remembers which broker it was last time."""

    def __init__(self, engine: Engine, broker: Broker, app: Celery) -> None:
        self._engine = engine
        self._broker = broker
        self._app = app
        self._name = f"{os.getpid()}@{socket.gethostname()}"
        self._known_run_id = ""
        self._is_published = False
        self._rounds = 0

    def go_round(self) -> None:
        """Do whatever is due; what fails because something is away is due again next time."""
        try:
            taken_back = sweep(self._engine)
            if not self._is_published:
                publish_catalogue(self._engine)
                self._is_published = True
            if self._rounds % ROUNDS_A_TIDYING == 0:
                database.forget_erased(self._engine)
            self._rounds += 1
            rung = self._ring()
            self._broker.beat("relay", self._name)
        except (DatabaseUnavailable, redis.RedisError, OperationalError) as error:
            log.warning("relay waits", error=type(error).__name__)
            return
        if taken_back or rung:
            log.info("relay rang again", taken_back=taken_back, rung=rung)

    def say_goodbye(self) -> None:
        """End as asked."""
        with suppress(redis.RedisError):
            self._broker.say_goodbye("relay", self._name)

    def _ring(self) -> int:
        run_id = self._broker.run_id()
        is_another = run_id != self._known_run_id
        roll = self._broker.roll()
        # Where nobody keeps the quarantine, its rows go where somebody works, one by one.
        its_queue = QUARANTINE if roll and roll.online("quarantine") else INTERACTIVE
        rung = 0
        for rows, queue, a_message in (
            (Ecg.attempts < QUARANTINED_AFTER, INTERACTIVE, IDS_PER_MESSAGE),
            (Ecg.attempts >= QUARANTINED_AFTER, its_queue, 1),
        ):
            lost_after_s = presumed_lost_after_s(
                self._engine, rows, self._broker.waiting(queue), is_another=is_another
            )
            if lost_after_s is not None:
                ring = partial(enqueue, self._app, queue=queue)
                rung += ring_again(self._engine, rows, ring, a_message, lost_after_s)
        self._known_run_id = run_id
        return rung


def presumed_lost_after_s(
    engine: Engine, rows: ColumnElement[bool], messages: int, *, is_another: bool
) -> float | None:
    """How long after a bell nobody came it is presumed lost; None when there are bells enough.

    Parameters
    ----------
    rows : which rows the queue is for.
    messages : how many wait in the queue.
    is_another : whether the broker is not the one it was, and so may have lost what it had.
    """
    if messages == 0 or is_another:
        return LOST_AFTER_S
    # With a message for each row that waits, one more would only make the queue longer: without a
    # worker it would grow for as long as nobody comes.
    some = select(Ecg.id).where(IS_PENDING, rows).limit(messages + 1).subquery()
    with reading(engine) as connection:
        pending = connection.scalar(select(func.count()).select_from(some)) or 0
    return LATE_AFTER_S if messages < pending else None


def ring_again(
    engine: Engine,
    rows: ColumnElement[bool],
    ring: Callable[[Sequence[str]], None],
    a_message: int,
    lost_after_s: float,
) -> int:
    """Ring for rows that are due and have waited this long since their last bell, oldest first.

    Rung first and stamped afterwards: a crash in between rings twice, never not at all.

    Parameters
    ----------
    rows : which rows, of those that wait.
    ring : sends a message.
    a_message : how many ids that names at most.
    lost_after_s : seconds after which a bell is presumed lost.
    """
    with reading(engine) as connection:
        ecg_ids = connection.scalars(
            select(Ecg.id)
            .where(IS_PENDING, rows)
            .where(Ecg.rung_at_s < now_s() - lost_after_s, Ecg.due_at_s <= now_s())
            .order_by(Ecg.rung_at_s)
            .limit(ROWS_A_ROUND)
        ).all()
    for start in range(0, len(ecg_ids), a_message):
        some = ecg_ids[start : start + a_message]
        ring(some)
        with transaction(engine) as connection:
            connection.execute(
                update(Ecg).where(Ecg.id.in_(some), IS_PENDING).values(rung_at_s=now_s())
            )
    return len(ecg_ids)


def publish_catalogue(engine: Engine) -> None:
    """Write what the bench can do into the table that the API answers GET /insights from."""
    table = InsightDefinition
    try:
        with transaction(engine) as connection:
            connection.execute(delete(table))
            connection.execute(insert(table), catalogue())
    except IntegrityError:
        # Another relay did the same at the same moment.
        log.info("catalogue published by another relay")


def main(settings: Settings) -> None:
    """Go round once a second until told to stop."""
    assert settings.redis_url is not None  # noqa: S101 - it was asked for
    relay = Relay(
        database.connect(settings.database_url, pool_size=1),
        Broker(settings.redis_url),
        celery_app(settings.redis_url),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("relay started")
    relay.go_round()
    while not stop.wait(PAUSE_S * random.uniform(0.7, 1.3)):  # noqa: S311 - jitter, not a secret
        relay.go_round()
    relay.say_goodbye()
    log.info("relay stopped")


if __name__ == "__main__":
    logs.configure()
    try:
        main(Settings.from_environ(needs=["ISOLINE_REDIS_URL"]))
    except SettingsError as refusal:
        sys.exit(str(refusal))
