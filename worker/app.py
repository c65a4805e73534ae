"""The Celery worker: `celery -A worker.app`, or with the right flags `python -m worker`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import structlog
from celery import signals

from shared import database, jobs, logs
from shared.broker import Broker
from shared.settings import Settings
from worker import tasks

settings = Settings.from_environ(needs=["ISOLINE_REDIS_URL"])
assert settings.redis_url is not None  # noqa: S101 - `needs` saw to it
app = jobs.celery_app(settings.redis_url)
app.conf.broker_transport = "worker.letterbox:Transport"
engine = database.connect(settings.database_url, pool_size=1)
broker = Broker(settings.redis_url)

log = structlog.get_logger(__name__)


@app.task(name=jobs.ANALYSE)
def analyse(ecg_ids: list[str]) -> None:
    """Bring the named ecgs to their end."""
    tasks.analyse(engine, ecg_ids, _ring_again)


def _ring_again(ecg_ids: Sequence[str]) -> None:
    jobs.enqueue(app, ecg_ids)


# Celery keeps weak references to handlers: they are named, and live as long as the module.


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    logs.configure()


@signals.worker_process_init.connect
def _forget_inherited_connections(**_: Any) -> None:
    engine.dispose(close=False)


@signals.heartbeat_sent.connect
def _beat(sender: Any, **_: Any) -> None:
    try:
        broker.beat(sender.eventer.hostname)
    except redis.RedisError as error:
        log.warning("heartbeat not heard", error=type(error).__name__)
