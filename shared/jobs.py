"""The Celery application, the names of its tasks and queues, and how a message is sent.

The row is the job; a message is only a hint that names rows. Losing, doubling or delaying one
changes nothing but the time of day.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.entity import Queue

ANALYSE = "isoline.analyse"
INTERACTIVE = "interactive"
# For the lines of batches: workers of their own, who let the others go first.
BULK = "bulk"
# For what has taken its worker along twice: it is worked on alone, by a worker of its own.
QUARANTINE = "quarantine"
QUARANTINED_AFTER = 2

# Where a message lies from the moment a worker takes it until it has worked on it.
TAKEN = {name: f"taken:{name}" for name in (INTERACTIVE, BULK, QUARANTINE)}

# One worker child takes a message whole, so it is kept short: neighbours spread over children.
IDS_PER_MESSAGE = 16
# The rows of a message are claimed together and stored together: as many as spread the cost of that
# thinly, and not so many that they take seconds. That is the lines, of twelve leads of ten seconds
# or less, or else their weight. No message names more.
LINES_PER_MESSAGE = 64
WEIGHT_PER_MESSAGE = 5_000_000
# Whatever its length, a lead costs as much time as so many samples: 0.1 ms for its steps and its
# half a kilobyte of the document, where a sample of a lead with a sampling rate costs 0.1 µs.
SAMPLES_A_LEAD = 1_000

# The worker gives up by itself long before; a process that hangs so badly that it cannot is killed
# then, and only after that may another one take its row.
TIME_LIMIT_S = 60
LEASE_S = 75.0

GROWN_KB = 384 * 1024


def weight_of(number_of_samples: int, number_of_leads: int) -> int:
    """How much work an ECG is, or several are together: counted in samples."""
    return number_of_samples + SAMPLES_A_LEAD * number_of_leads


def celery_app(redis_url: str) -> Celery:
    """Make the Celery application that API, worker, relay and Flower have in common."""
    app = Celery("isoline", broker=redis_url, set_as_current=False)
    app.conf.update(
        # Two truths would drift apart: results live in SQL, and only there.
        task_ignore_result=True,
        # Pickle would let whoever reaches the broker run code.
        task_serializer="json",
        accept_content=["json"],
        # One queue, named once: a task sent without a queue still arrives where workers listen.
        task_default_queue=INTERACTIVE,
        task_queues=[Queue(name) for name in (INTERACTIVE, BULK, QUARANTINE)],  # type: ignore[no-untyped-call]
        # Redelivery comes from SQL; a message that killed its worker must not come back by itself.
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_retry_on_worker_lost=False,
        # A reconnect must not cancel work that the row's lease protects anyway.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Nor make a worker take less; on Redis it could not, and would say so each time.
        worker_enable_prefetch_count_reduction=False,
        # A worker that hoards messages makes idle neighbours and a dishonest queue length.
        worker_prefetch_multiplier=1,
        # A job that hangs in code that no signal reaches. There is no soft limit: Celery's is an
        # Exception, which the insight it meets would take for a fault of its own.
        task_time_limit=TIME_LIMIT_S,
        # After a child died, its loss is noticed in a second instead of ten.
        worker_lost_wait=1.0,
        # "Soft shutdown" sleeps its whole time whenever anything is active.
        worker_soft_shutdown_timeout=0,
        # Slow leaks end with their process.
        worker_max_tasks_per_child=10_000,
        # So does a process that has grown, after its task.
        worker_max_memory_per_child=GROWN_KB,
        # Workers wait for a broker that is away; nobody who publishes does.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        task_publish_retry=False,
        broker_transport_options={
            # The shortest of all apps on a broker wins: two leases, the same for everyone.
            "visibility_timeout": int(2 * LEASE_S),
            # Without these a half-open connection leaves a worker up but deaf.
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        # Flower shows what it is told: ids in the arguments, and nothing else.
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def enqueue(app: Celery, ecg_ids: Sequence[str], queue: str = INTERACTIVE) -> None:
    """Send one message that names these ecgs; raises what the broker's client raises."""
    arguments = [list(ecg_ids)]
    # All of them, since Flower finds what it is shown: Celery would cut them short.
    app.send_task(ANALYSE, args=arguments, argsrepr=repr(arguments), queue=queue)
