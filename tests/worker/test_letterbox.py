"""The letterbox of a worker that ends: what it took is where it was, and comes first."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery

from shared import jobs
from tests.parts import messages, wait_until


@pytest.fixture
def worker(redis_url: str) -> Celery:
    """The application as a worker has it."""
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
