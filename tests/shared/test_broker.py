"""What Redis is asked about the workers, and what is said when it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shared import broker
from shared.broker import Broker, Roll
from tests.parts import free_port


@pytest.fixture
def heard(redis_url: str) -> Iterator[Broker]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        Broker(redis_url).beat("worker", "a name")
        yield Broker(redis_url)
        client.flushall()


def online(asked: Broker) -> int | None:
    roll = asked.roll()
    return None if roll is None else roll.online("worker")


def test_everybody_who_asks_at_once_gets_the_answer(heard: Broker) -> None:
    at_once = threading.Barrier(8)

    def ask(_: int) -> int | None:
        at_once.wait()
        return online(heard)

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(ask, range(8))) == [1] * 8


def test_none_is_said_of_a_redis_that_is_away_and_zero_of_an_idle_one(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert online(Broker(redis_url)) == 0
    assert online(Broker(f"redis://127.0.0.1:{free_port()}/0")) is None


def test_an_answer_is_remembered_for_seconds_and_no_longer(
    heard: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert online(heard) == 1
    monkeypatch.setattr(broker, "STALE_S", 0.3)
    monkeypatch.setattr(broker, "REMEMBERED_S", 0.1)
    asked, answered = threading.Event(), threading.Event()

    def slow() -> Roll:
        asked.set()
        answered.wait(10)
        return Roll({"worker": {"one": 0.0, "two": 1.0}})

    monkeypatch.setattr(heard, "_call_roll", slow)
    time.sleep(0.15)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(online, heard)
        asked.wait(10)
        # While somebody asks, what was known will do, for a while.
        assert online(heard) == 1
        time.sleep(0.3)
        assert online(heard) is None
        answered.set()
        assert first.result() == 2


def test_whoever_died_before_the_clock_was_set_back_is_not_taken_for_alive(
    heard: Broker, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        [(name, beat_s)] = client.zrange("isoline:heartbeats", 0, -1, withscores=True)
        client.zadd("isoline:heartbeats", {name: beat_s + 3600})
    assert online(heard) == 0
    Broker(redis_url).beat("worker", "a name")
    assert online(Broker(redis_url)) == 1
