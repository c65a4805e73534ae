"""What Redis is asked about the workers, and what is said when it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shared import broker
from shared.broker import Broker
from tests.parts import free_port


@pytest.fixture
def heard(redis_url: str) -> Iterator[Broker]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        Broker(redis_url).beat("a worker")
        yield Broker(redis_url)
        client.flushall()


def test_everybody_who_asks_at_once_gets_the_answer(heard: Broker) -> None:
    at_once = threading.Barrier(8)

    def ask(_: int) -> int | None:
        at_once.wait()
        return heard.workers_online()

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(ask, range(8))) == [1] * 8


def test_none_is_said_of_a_redis_that_is_away_and_zero_of_an_idle_one(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert Broker(redis_url).workers_online() == 0
    assert Broker(f"redis://127.0.0.1:{free_port()}/0").workers_online() is None


def test_an_answer_is_remembered_for_seconds_and_no_longer(
    heard: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert heard.workers_online() == 1
    monkeypatch.setattr(broker, "STALE_S", 0.3)
    monkeypatch.setattr(broker, "REMEMBERED_S", 0.1)
    asked, answered = threading.Event(), threading.Event()

    def slow() -> int | None:
        asked.set()
        answered.wait(10)
        return 2

    monkeypatch.setattr(heard, "_count_workers", slow)
    time.sleep(0.15)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(heard.workers_online)
        asked.wait(10)
        # While somebody asks, what was known will do, for a while.
        assert heard.workers_online() == 1
        time.sleep(0.3)
        assert heard.workers_online() is None
        answered.set()
        assert first.result() == 2
