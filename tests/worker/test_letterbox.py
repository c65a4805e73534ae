"""The letterbox of a worker that ends, or whose broker does: what it took is not lost."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.common import ignore_errors

from shared import jobs
from tests.brokers import messages, open_valkey
from tests.parts import free_port, wait_until


@pytest.fixture
def worker(redis_url: str) -> Celery:
    """The application as a worker has it."""
    return worker_on(redis_url)


def drain(connection: Any) -> None:
    """Take whatever comes, until nothing does."""
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0.1)


def worker_on(redis_url: str) -> Celery:
    app = jobs.celery_app(redis_url)
    app.conf.broker_transport = "worker.letterbox:Transport"
    return app


def test_what_was_taken_in_vain_comes_first_and_in_its_order(
    redis_url: str, broker: redis.Redis, worker: Celery
) -> None:
    api = jobs.celery_app(redis_url)
    taken: list[Any] = []
    with worker.connection_for_read() as connection, connection.channel() as channel:
        channel.brpop_timeout = 60
        consumer = worker.amqp.TaskConsumer(channel, [worker.amqp.queues[jobs.INTERACTIVE]])
        consumer.on_message = taken.append
        consumer.consume()
        for name in ("begun", "first", "second"):
            jobs.enqueue(api, [name])
            connection.drain_events(timeout=10)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.01)
        # Asked for, and given to whoever is about to listen no more.
        jobs.enqueue(api, ["third"])
        wait_until(lambda: broker.llen(jobs.INTERACTIVE) == 0, what="for the answer")
        jobs.enqueue(api, ["fourth"])
        consumer.cancel()
        channel.hand_back({message.delivery_tag for message in taken[1:]})
        assert messages(broker) == [["first"], ["second"], ["third"], ["fourth"]]
        assert broker.hkeys("unacked") == [taken[0].delivery_tag.encode()]
        taken[0].ack()
    # Nothing comes back a second time when the channel is closed.
    assert len(messages(broker)) == 4


def test_what_a_worker_has_in_hand_does_not_keep_it_from_giving_up_a_broker_that_is_gone(
    tmp_path: Path,
) -> None:
    valkey, url = open_valkey(tmp_path, free_port())
    worker = worker_on(url)
    taken: list[Any] = []
    connection = worker.connection_for_read()
    channel = connection.default_channel
    consumer = worker.amqp.TaskConsumer(channel, [worker.amqp.queues[jobs.INTERACTIVE]])
    consumer.on_message = taken.append
    consumer.consume()
    worker.control.mailbox.Node("a worker", channel=connection.channel()).listen()
    jobs.enqueue(jobs.celery_app(url), ["in hand"])
    connection.drain_events(timeout=10)
    # It asks for the next one, as it always does, and hears nothing.
    drain(connection)
    assert len(taken) == 1
    valkey.kill()
    valkey.wait()
    # As a worker of Celery's does that hears of it: what is raised here would end it.
    with suppress(Exception):
        connection.collect(socket_timeout=1)
    ignore_errors(connection, connection.close)  # type: ignore[no-untyped-call]
    assert channel.closed
