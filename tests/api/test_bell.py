"""The bell: ringing never hurts whoever rings, and what can travel together does."""

from __future__ import annotations

import socket
import time

import pytest
import redis

from api import bell as bells
from api.bell import Bell
from shared import jobs
from shared.broker import Broker
from tests.brokers import messages
from tests.parts import wait_until


def bell_of(redis_url: str) -> Bell:
    """A bell as the API has it."""
    return Bell(jobs.celery_app(redis_url), Broker(redis_url))


def test_ringing_returns_at_once_when_the_broker_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # It takes connections and never answers: whoever waited for it would do so for a second.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        bell = bell_of(f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        began_s = time.monotonic()
        for number in range(100):
            bell.ring([str(number)])
        assert time.monotonic() - began_s < 0.5
        wait_until(lambda: "bell not rung" in caplog.text, 30, "for the bell to give up")


def test_it_rings_again_after_the_broker_was_away(
    redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "BREAK_S", 0.1)
    bell = bell_of(redis_url)
    tried: list[object] = []

    def fail(*asked: object) -> None:
        tried.append(asked)
        raise redis.ConnectionError

    with monkeypatch.context() as away:
        away.setattr("api.bell.enqueue", fail)
        bell.ring(["dropped"])
        wait_until(lambda: tried, what="for the first try")
    time.sleep(0.2)
    bell.ring(["rung"])
    wait_until(lambda: messages(broker) == [["rung"]], what="for the second one")


def test_to_idle_workers_it_rings_at_once(
    redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "HELD_BACK_S", 1e9)
    bell_of(redis_url).ring(["first"])
    wait_until(lambda: messages(broker) == [["first"]], what="for the message")


@pytest.mark.parametrize("where", ["waiting", "taken"])
def test_while_a_message_is_on_its_way_ids_are_held_back_and_travel_together(
    redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(bells, "HELD_BACK_S", 1e9)
    if where == "waiting":
        broker.lpush(jobs.INTERACTIVE, b"one")
    else:
        broker.hset(jobs.TAKEN[jobs.INTERACTIVE], "tag", b"one")
    bell = bell_of(redis_url)
    for number in range(3):
        bell.ring([str(number)])
    time.sleep(10 * bells.LOOK_AGAIN_S)
    assert broker.llen(jobs.INTERACTIVE) == (1 if where == "waiting" else 0)
    broker.flushall()
    wait_until(lambda: messages(broker) == [["0", "1", "2"]], what="for the message")


def test_nothing_is_held_back_for_long(redis_url: str, broker: redis.Redis) -> None:
    broker.hset(jobs.TAKEN[jobs.INTERACTIVE], "tag", b"of a worker that was killed")
    bell = bell_of(redis_url)
    bell.ring(["first"])
    wait_until(lambda: messages(broker) == [["first"]], 5, "for the message")


def test_a_message_is_not_longer_than_one_may_be(
    redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "HELD_BACK_S", 0.2)
    broker.hset(jobs.TAKEN[jobs.INTERACTIVE], "tag", b"one")
    bell = bell_of(redis_url)
    ids = [str(number) for number in range(3 * jobs.IDS_PER_MESSAGE + 1)]
    for ecg_id in ids:
        bell.ring([ecg_id])
    wait_until(lambda: sum(map(len, messages(broker))) == len(ids), what="for all of them")
    arrived = messages(broker)
    assert [ecg_id for message in arrived for ecg_id in message] == ids
    assert max(map(len, arrived)) == jobs.IDS_PER_MESSAGE


def test_the_lines_of_a_batch_are_not_held_back(
    redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "HELD_BACK_S", 1e9)
    for queue in (jobs.INTERACTIVE, jobs.BULK):
        broker.hset(jobs.TAKEN[queue], "tag", b"one")
    bell_of(redis_url).ring(["a", "b"], jobs.BULK)
    wait_until(lambda: messages(broker, jobs.BULK) == [["a", "b"]], what="for the message")
