"""Rings again for rows whose bell got lost, and takes back rows whose worker did.

Two relays at once are harmless: a bell too many wakes nobody who is not due.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import redis
import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, select, update

from shared import database, logs
from shared.broker import Broker
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable, SettingsError
from shared.jobs import IDS_PER_MESSAGE, celery_app, enqueue
from shared.models import IS_PENDING, Ecg
from shared.settings import Settings
from worker.tasks import sweep

PAUSE_S = 1.0
# A pending row's bell is presumed lost after this long: soon when the queue is empty or the broker
# came back as another, late while workers still have a queue to eat.
LOST_AFTER_S = 2.0
LATE_AFTER_S = 60.0
ROWS_A_ROUND = 512

log = structlog.get_logger(__name__)


def ring_again(
    engine: Engine, ring: Callable[[Sequence[str]], None], *, presumed_lost_after_s: float
) -> int:
    """Ring for pending rows that have waited this long since their last bell, oldest first.

    Rung first and stamped afterwards: a crash in between rings twice, never not at all.
    """
    with reading(engine) as connection:
        ecg_ids = connection.scalars(
            select(Ecg.id)
            .where(IS_PENDING, Ecg.rung_at_s < now_s() - presumed_lost_after_s)
            .order_by(Ecg.rung_at_s)
            .limit(ROWS_A_ROUND)
        ).all()
    for start in range(0, len(ecg_ids), IDS_PER_MESSAGE):
        some = ecg_ids[start : start + IDS_PER_MESSAGE]
        ring(some)
        with transaction(engine) as connection:
            connection.execute(
                update(Ecg).where(Ecg.id.in_(some), IS_PENDING).values(rung_at_s=now_s())
            )
    return len(ecg_ids)


def main(settings: Settings) -> None:
    """Sweep and ring once a second until told to stop."""
    assert settings.redis_url is not None  # noqa: S101 - it was asked for
    engine = database.connect(settings.database_url, patience_s=5.0, pool_size=1)
    broker = Broker(settings.redis_url)
    app = celery_app(settings.redis_url)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    known_run_id = ""
    log.info("relay started")
    while not stop.wait(PAUSE_S * random.uniform(0.7, 1.3)):  # noqa: S311 - jitter, not a secret
        try:
            taken_back = sweep(engine)
            run_id = broker.run_id()
            soon = run_id != known_run_id or broker.waiting() == 0
            rung = ring_again(
                engine,
                lambda ecg_ids: enqueue(app, ecg_ids),
                presumed_lost_after_s=LOST_AFTER_S if soon else LATE_AFTER_S,
            )
            known_run_id = run_id
        except (DatabaseUnavailable, redis.RedisError, OperationalError) as error:
            log.warning("relay waits", error=type(error).__name__)
            continue
        if taken_back or rung:
            log.info("relay rang again", taken_back=taken_back, rung=rung)
    log.info("relay stopped")


if __name__ == "__main__":
    logs.configure()
    try:
        main(Settings.from_environ(needs=["ISOLINE_REDIS_URL"]))
    except SettingsError as refusal:
        sys.exit(str(refusal))
