"""The Celery application of the workers, which `python -m worker` starts, and of Flower."""

from __future__ import annotations

import gc
import resource
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task, signals
from celery.exceptions import CPendingDeprecationWarning
from kombu.exceptions import OperationalError

from shared import database, jobs, logs, sqlite
from shared.broker import EATERS, Broker
from shared.errors import DatabaseUnavailable
from shared.settings import Settings
from worker import tasks
from worker.insights import find_steps

# What a process of the pool may allocate: a greedy analysis meets a MemoryError, and its
# neighbours never learn of it. The largest upload may need nearly all of this.
MOST_BYTES = 2**30

settings = Settings.from_environ(needs=["ISOLINE_REDIS_URL"])
assert settings.redis_url is not None  # noqa: S101 - `needs` saw to it
app = jobs.celery_app(settings.redis_url)
engine = database.connect(settings.database_url, pool_size=1)
broker = Broker(settings.redis_url)
# Before any process of the pool is made, which then finds it done; or refused, when it cannot be.
find_steps()

log = structlog.get_logger(__name__)


@app.task(name=jobs.ANALYSE, bind=True)
def analyse(self: Task, ecg_ids: list[str]) -> None:
    """Bring the named ecgs to their end."""
    tasks.analyse(
        engine,
        ecg_ids,
        _ring_again,
        message=str(self.request.id),
        ring_next=partial(_ring, queue=jobs.BULK),
        announce=_announce,
    )


def _ring(ecg_ids: Sequence[str], queue: str) -> None:
    try:
        jobs.enqueue(app, ecg_ids, queue)
    except (OperationalError, redis.RedisError) as error:
        # The rows wait, and the relay rings for them.
        log.warning("bell not rung", ecgs=len(ecg_ids), error=type(error).__name__)


def _ring_again(ecg_ids: Sequence[str]) -> None:
    _ring(ecg_ids, _own_queue())


def _announce(ecg_ids: Sequence[str]) -> None:
    # Whoever waits looks by himself too, a little later.
    with suppress(redis.RedisError):
        broker.announce(ecg_ids)


# Celery keeps weak references to handlers: they are named, and live as long as the module.


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    logs.configure()


@signals.celeryd_after_setup.connect
def _warn_of_no_future(**_: Any) -> None:
    # Celery has them all shown: of defaults that will be others, and that we have chosen anyway.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


@signals.celeryd_init.connect
def _put_up_the_letterbox(conf: Any, options: dict[str, Any], **_: Any) -> None:
    queues = options.get("queues") or []
    if len(queues) != 1 or queues[0] not in jobs.TAKEN:
        # It would eat what is another one's, without the flags that belong to that.
        sys.exit(
            "A worker eats from one queue: start it with python -m worker [--bulk | --quarantine]."
        )
    if queues[0] == jobs.BULK:
        sqlite.let_others_first(engine)
    # For workers alone: Flower knows the page of a broker by the name of its transport.
    conf.broker_transport = "worker.letterbox:Transport"
    conf.worker_consumer = "worker.consumer:Consumer"
    conf.worker_pool = "worker.pool:TaskPool"
    taken = jobs.TAKEN[queues[0]]
    conf.broker_transport_options = {
        **conf.broker_transport_options,
        "unacked_key": taken,
        "unacked_index_key": f"{taken}:index",
        "unacked_mutex_key": f"{taken}:mutex",
    }


@signals.worker_process_init.connect
def _begin_process(**_: Any) -> None:
    # Not to be used, nor closed: they are the parent's.
    engine.dispose(close=False)
    # What was imported stays: to look through it for garbage again and again takes a twentieth of
    # the time of a short ECG.
    gc.freeze()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))


@signals.task_failure.connect
def _mourn(task_id: str | None = None, exception: Any = None, args: Any = None, **_: Any) -> None:
    """In the parent, which survives: a process of the pool was killed, by whomever."""
    if not isinstance(exception, (WorkerLostError, TimeLimitExceeded)):
        return
    reason = tasks.TOO_LONG if isinstance(exception, TimeLimitExceeded) else tasks.KILLED
    # Of its own, and closed at once: nothing open is handed on to the next process of the pool.
    mourner = database.connect(settings.database_url, patience_s=2.0, pool_size=1)
    try:
        tasks.mourn(mourner, str(task_id), args[0], reason, _ring_again)
    except DatabaseUnavailable:
        log.warning("lost rows wait for the end of their lease")
    finally:
        mourner.dispose()


def _own_queue() -> str:
    """The queue of this worker, as `--queues` has said."""
    [queue] = app.amqp.queues.consume_from
    return str(queue)


@signals.heartbeat_sent.connect
def _beat(sender: Any, **_: Any) -> None:
    name = str(sender.eventer.hostname)
    try:
        broker.beat(EATERS[_own_queue()], name)
    except redis.RedisError as error:
        log.warning("heartbeat not heard", error=type(error).__name__)


@signals.worker_shutdown.connect
def _say_goodbye(sender: Any, **_: Any) -> None:
    name = str(sender.hostname)
    with suppress(redis.RedisError):
        broker.say_goodbye(EATERS[_own_queue()], name)
