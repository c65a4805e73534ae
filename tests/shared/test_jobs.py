"""The settings of Celery, which prevent accidents."""

from __future__ import annotations

import json
from typing import cast

import pytest
import redis
import uuid_utils

from shared import jobs
from worker.tasks import ALL_WITHIN_S, CLAIM_WITHIN_S, COMPUTE_WITHIN_S, MESSAGE_S


def test_every_id_of_a_full_message_can_be_found_in_flower(
    redis_url: str, broker: redis.Redis
) -> None:
    ids = [str(uuid_utils.uuid7()) for _ in range(jobs.LINES_PER_MESSAGE)]
    jobs.enqueue(jobs.celery_app(redis_url), ids, jobs.BULK)
    [message] = cast("list[bytes]", broker.lrange(jobs.BULK, 0, -1))
    shown = json.loads(message)["headers"]["argsrepr"]
    assert [one for one in ids if one not in shown] == []


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


@pytest.mark.parametrize(
    ("name", "expected", "reason"),
    [
        ("worker_lost_wait", 1.0, "a child that died is noticed in a second, and not in ten"),
        ("worker_max_tasks_per_child", 10_000, "a slow leak ends with its process"),
        ("worker_max_memory_per_child", 384 * 1024, "so does a process that has grown"),
        ("worker_soft_shutdown_timeout", 0, "it would sleep its time while anything is active"),
        ("worker_enable_prefetch_count_reduction", False, "a reconnect makes no worker take less"),
        ("broker_connection_retry_on_startup", True, "a worker waits for a broker that is away"),
        ("broker_connection_max_retries", None, "and for as long as it is away"),
        ("broker_connection_timeout", 2, "who publishes does not"),
        ("broker_transport_options.socket_timeout", 5, "half-open, a worker would be up but deaf"),
        ("broker_transport_options.socket_connect_timeout", 1, "a host that is gone says nothing"),
        ("broker_transport_options.socket_keepalive", True, "a line that went dead is noticed"),
        ("broker_transport_options.health_check_interval", 10, "also while nothing is said on it"),
        ("worker_hijack_root_logger", False, "what logs must not say is taken out by our own"),
        ("worker_redirect_stdouts", False, "the same"),
    ],
)
def test_each_setting_is_there_for_its_reason(name: str, expected: object, reason: str) -> None:
    conf = jobs.celery_app("redis://localhost/0").conf
    setting, _, option = name.partition(".")
    found = conf[setting][option] if option else conf[setting]
    assert found == expected, f"{name}: {reason}"
    # What Celery does by itself, it may do otherwise one day: each is named.
    assert setting in conf.changes, f"{name}: {reason}"


def test_workers_listen_wherever_anything_is_sent() -> None:
    conf = jobs.celery_app("redis://localhost/0").conf
    served = {queue.name for queue in conf.task_queues}
    assert {jobs.INTERACTIVE, conf.task_default_queue} <= served
