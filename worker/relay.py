"""Rings again for rows whose bell got lost, and takes back rows whose worker did.

It is also the one who sees to what must be seen to by somebody, now and then: the catalogue, and
that what was erased is gone. Two relays at once are harmless: a bell too many wakes nobody who is
not due.
"""

from __future__ import annotations

import json
import math
import random
import signal
import sys
import threading
import time
from functools import partial

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, Update, and_, delete, insert, not_, select
from sqlalchemy.exc import IntegrityError

from shared import database, logs, sqlite_log
from shared.broker import EATERS, Broker
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable, InsightsError, SettingsError
from shared.fingerprints import catalogue_row
from shared.jobs import (
    BULK,
    IDS_PER_MESSAGE,
    INTERACTIVE,
    QUARANTINE,
    QUARANTINED_AFTER,
    celery_app,
    enqueue,
)
from shared.models import Batch, Catalogue, Ecg, InsightDefinition
from shared.settings import Settings
from shared.states import (
    ATTEMPTS_MADE,
    IS_FRESH,
    IS_RETRIED,
    IS_RETRIED_REDO,
    IS_TO_BE_RETIRED,
)
from worker.clock import heed_the_clock
from worker.endings import RETIRED_AT_ONCE, retire, sweep
from worker.insights import catalogue, find_steps, versions
from worker.pulse import Pulse
from worker.ringing import give_turns, presumed_lost_after_s, ring_again, stamp

PAUSE_S = 1.0
RETIREMENTS_A_ROUND = 8
# How often SQLite's log is emptied; and how often while it grows quickly (4 MB a second), since
# whoever writes next has to lengthen the file again.
ROUNDS_AN_EMPTYING = 5
BUSY_ROUNDS_AN_EMPTYING = 30
BUSY_PAGES = 1_000
# That it still waits is told after this long, and then after so many times as long each time.
TOLD_AGAIN_AFTER_S = 10.0
TOLD_MORE_SELDOM = 3

log = structlog.get_logger(__name__)


class Relay:
    """What goes round once a second, and remembers which broker it was last time."""

    def __init__(self, engine: Engine, broker: Broker, app: Celery) -> None:
        self._engine = engine
        self._broker = broker
        self._app = app
        self._known_run_id = ""
        self._is_published = False
        self._rounds = 0
        self._owed: list[Update] = []
        self._known_s = math.inf
        self._waits_for = ""
        self._waits_since_s = self._told_again_s = 0.0

    def go_round(self) -> None:
        """Do whatever is due; what fails because something is away is due again next time."""
        try:
            self._tidy_the_log()
            self._look_at_the_clock()
            taken_back = sweep(self._engine)
            retired = retire_cancelled(self._engine)
            if not self._is_published:
                publish_catalogue(self._engine)
                self._is_published = True
            # Otherwise the same would be rung for round after round.
            stamp(self._engine, self._owed)
            rung = self._ring()
        except (DatabaseUnavailable, redis.RedisError, OperationalError) as error:
            self._tell_of_waiting(type(error).__name__)
            return
        if self._waits_for:
            log.info("relay waits no more", after_s=round(time.monotonic() - self._waits_since_s))
            self._waits_for = ""
        if taken_back or rung or retired:
            log.info("relay rang again", taken_back=taken_back, rung=rung, retired=retired)

    def _tidy_the_log(self) -> None:
        # Before anything is written: it may be what has filled the disk.
        held = sqlite_log.bring_home(self._engine).held
        rounds = BUSY_ROUNDS_AN_EMPTYING if held > BUSY_PAGES else ROUNDS_AN_EMPTYING
        if self._rounds % rounds == 0:
            sqlite_log.empty(self._engine)
        elif held:
            sqlite_log.begin_again(self._engine)
        self._rounds += 1

    def _tell_of_waiting(self, error: str) -> None:
        """Say so when it begins or is for something else, and from then on ever more seldom."""
        at_s = time.monotonic()
        if not self._waits_for:
            self._waits_since_s = at_s
        waited_s = at_s - self._waits_since_s
        if error != self._waits_for:
            self._told_again_s = waited_s + TOLD_AGAIN_AFTER_S
        elif waited_s < self._told_again_s:
            return
        else:
            self._told_again_s = TOLD_MORE_SELDOM * waited_s
        self._waits_for = error
        log.warning("relay waits", error=error, for_s=round(waited_s))

    def _look_at_the_clock(self) -> None:
        with reading(self._engine) as connection:
            says_s = connection.scalar(select(now_s())) or 0.0
        # Whether it was set back before this relay began, nobody knows.
        if says_s < self._known_s and (mended := heed_the_clock(self._engine)):
            log.warning("the clock of the database was set back", rows=mended)
        # Only now: what could not be mended is tried again.
        self._known_s = says_s

    def _ring(self) -> int:
        run_id = self._broker.run_id()
        is_another = run_id != self._known_run_id
        roll = self._broker.roll()
        # Where nobody keeps the quarantine, its rows go where somebody works.
        quarantine = QUARANTINE if roll and roll.online("quarantine") else INTERACTIVE
        is_alone = ATTEMPTS_MADE >= QUARANTINED_AFTER
        is_bulk = Ecg.batch_id.is_not(None)
        rung = 0
        # What has been begun before is rung for one by one: it may take its neighbours along.
        for rows, queue, a_message in (
            (IS_FRESH, INTERACTIVE, IDS_PER_MESSAGE),
            (and_(IS_RETRIED, not_(is_alone), not_(is_bulk)), INTERACTIVE, 1),
            (and_(IS_RETRIED, not_(is_alone), is_bulk), BULK, 1),
            (and_(IS_RETRIED, is_alone), quarantine, 1),
            (and_(IS_RETRIED_REDO, not_(is_alone)), BULK, 1),
            (and_(IS_RETRIED_REDO, is_alone), quarantine, 1),
        ):
            lost_after_s = presumed_lost_after_s(
                self._engine,
                rows,
                self._broker.waiting(queue),
                is_another=is_another,
                # What is retried shares a queue that others may never leave empty.
                is_eaten=rows is not IS_FRESH and bool(roll and roll.online(EATERS[queue])),
            )
            ring = partial(enqueue, self._app, queue=queue)
            rung += ring_again(self._engine, rows, ring, a_message, lost_after_s, self._owed)
        ring = partial(enqueue, self._app, queue=BULK)
        messages = self._broker.waiting(BULK)
        rung += give_turns(self._engine, ring, messages, is_another=is_another)
        self._known_run_id = run_id
        return rung


def retire_cancelled(engine: Engine) -> int:
    """End what still waits in batches that were cancelled; return how many that were."""
    cancelled = select(Batch.id, Batch.user_id).where(IS_TO_BE_RETIRED)
    with reading(engine) as connection:
        batches = connection.execute(cancelled).all()
    ended = 0
    for batch_id, user_id in batches:
        # Others are to have their turn at the database, and the relay has more to do.
        for _ in range(RETIREMENTS_A_ROUND):
            some = retire(engine, batch_id, user_id)
            ended += some
            if some < RETIRED_AT_ONCE:
                break
    return ended


def publish_catalogue(engine: Engine) -> None:
    """Write what the bench can do into the table that the API answers GET /insights from."""
    table = InsightDefinition
    rows = [
        {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in one.items()
        }
        for one in catalogue()
    ]
    try:
        with transaction(engine) as connection:
            connection.execute(delete(table))
            connection.execute(insert(table), rows)
            ours = catalogue_row(versions())
            connection.execute(
                delete(Catalogue).where(Catalogue.fingerprint == ours["fingerprint"])
            )
            connection.execute(insert(Catalogue), ours)
    except IntegrityError:
        # Another relay did the same at the same moment.
        log.info("catalogue published by another relay")


def main(settings: Settings) -> None:
    """Go round once a second until told to stop."""
    assert settings.redis_url is not None  # noqa: S101 - it was asked for
    find_steps()
    relay = Relay(
        database.connect(settings.database_url, pool_size=1),
        Broker(settings.redis_url),
        celery_app(settings.redis_url),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("relay started")
    with Pulse(Broker(settings.redis_url)) as pulse:
        is_over = False
        while not is_over:
            relay.go_round()
            pulse.went_round()
            is_over = stop.wait(PAUSE_S * random.uniform(0.7, 1.3))  # noqa: S311 - not a secret
    log.info("relay stopped")


if __name__ == "__main__":
    logs.configure()
    try:
        main(Settings.from_environ(needs=["ISOLINE_REDIS_URL"]))
    except (InsightsError, SettingsError) as refusal:
        sys.exit(str(refusal))
