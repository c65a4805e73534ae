"""The bell: its settings prevent accidents, and ringing never hurts whoever rings."""

from __future__ import annotations

import time

import pytest

from shared import jobs
from tests.parts import free_port, wait_until
from worker.tasks import CLAIM_WITHIN_S, COMPUTE_WITHIN_S, MESSAGE_S, STORE_WITHIN_S


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
    longest_s = MESSAGE_S + CLAIM_WITHIN_S + COMPUTE_WITHIN_S + STORE_WITHIN_S
    assert longest_s < conf.task_time_limit < jobs.LEASE_S
    assert conf.broker_transport_options["visibility_timeout"] >= 2 * jobs.LEASE_S


def test_workers_listen_wherever_anything_is_sent() -> None:
    conf = jobs.celery_app("redis://localhost/0").conf
    served = {queue.name for queue in conf.task_queues}
    assert {jobs.INTERACTIVE, conf.task_default_queue} <= served


def test_ringing_returns_at_once_when_the_broker_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bell = jobs.Bell(jobs.celery_app(f"redis://127.0.0.1:{free_port()}/0"))
    began_s = time.monotonic()
    for number in range(1000):
        bell.ring(str(number))
    assert time.monotonic() - began_s < 0.5
    wait_until(lambda: "bell not rung" in caplog.text, what="for the bell to give up")


def test_what_is_rung_for_together_travels_together(redis_url: str) -> None:
    import redis

    app = jobs.celery_app(redis_url)
    bell = jobs.Bell(app)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        for number in range(100):
            bell.ring(str(number))

        def arrived() -> bool:
            messages = client.lrange(jobs.INTERACTIVE, 0, -1)
            return len(messages) >= 100 // jobs.IDS_PER_MESSAGE and bell._waiting.empty()

        wait_until(arrived, what="for the messages")
        assert client.llen(jobs.INTERACTIVE) <= 100
        client.flushall()
