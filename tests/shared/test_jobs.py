"""The settings of Celery, which prevent accidents."""

from __future__ import annotations

from shared import jobs
from worker.tasks import ALL_WITHIN_S, CLAIM_WITHIN_S, COMPUTE_WITHIN_S, MESSAGE_S


def test_the_settings_are_those_that_prevent_accidents() -> None:
    conf = jobs.celery_app("redis://localhost/0").conf
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert conf.task_acks_late
    assert not conf.task_reject_on_worker_lost
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.worker_prefetch_multiplier == 1
    assert not conf.task_publish_retry
    assert not conf.worker_cancel_long_running_tasks_on_connection_loss
    assert not conf.task_retry_on_worker_lost
    # Its Exception would end up as the fault of whichever insight it meets.
    assert conf.task_soft_time_limit is None
    assert CLAIM_WITHIN_S + MESSAGE_S + COMPUTE_WITHIN_S < ALL_WITHIN_S
    assert ALL_WITHIN_S < conf.task_time_limit < jobs.LEASE_S
    assert conf.broker_transport_options["visibility_timeout"] >= 2 * jobs.LEASE_S


def test_workers_listen_wherever_anything_is_sent() -> None:
    conf = jobs.celery_app("redis://localhost/0").conf
    served = {queue.name for queue in conf.task_queues}
    assert {jobs.INTERACTIVE, conf.task_default_queue} <= served
