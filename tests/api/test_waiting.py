"""Whoever waits is called when there is news, and looks by himself when nobody calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from urllib.parse import urlsplit

import pytest
import redis

import shared.broker
from api import waiting
from api.waiting import WaitingRoom
from shared.broker import Broker
from tests.e2e.muting_proxy import MutingProxy
from tests.parts import free_port, wait_until

FOR_EVER_S = 1000.0


class Progress:
    """As a poll finds it."""

    def __init__(self, *, has_ended: bool) -> None:
        self.has_ended = has_ended


class Job:
    """What somebody waits for, and how often they looked."""

    def __init__(self) -> None:
        self.has_ended = False
        self.looks = 0

    def look(self) -> Progress:
        self.looks += 1
        return Progress(has_ended=self.has_ended)


@pytest.fixture
def job() -> Job:
    return Job()


@pytest.fixture
def only_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself."""
    monkeypatch.setattr(waiting, "SHORTEST_PAUSE_S", FOR_EVER_S)


def waiting_for(room: WaitingRoom, of: str, look: Callable[[], Progress]) -> threading.Thread:
    waiter = threading.Thread(target=room.wait, args=(of, look, 20), daemon=True)
    waiter.start()
    return waiter


def listeners(broker: redis.Redis) -> int:
    return int(broker.pubsub_numsub("isoline:news")[0][1])


@pytest.mark.usefixtures("only_called")
def test_whoever_is_called_looks_again_and_nobody_else_does(
    broker: redis.Redis, redis_url: str, job: Job
) -> None:
    room, other = WaitingRoom(2, Broker(redis_url).news), Job()
    waiter = waiting_for(room, "mine", job.look)
    stranger = waiting_for(room, "yours", other.look)
    wait_until(lambda: listeners(broker), what="for the listener")
    wait_until(lambda: job.looks == other.looks == 1)
    job.has_ended = other.has_ended = True
    Broker(redis_url).announce(["somebody's", "mine"])
    waiter.join(10)
    assert not waiter.is_alive()
    assert stranger.is_alive()
    assert (job.looks, other.looks) == (2, 1)
    room.close()
    stranger.join(10)
    assert not stranger.is_alive()


@pytest.mark.usefixtures("only_called")
def test_what_is_called_while_somebody_looks_is_heard(job: Job) -> None:
    calls: SimpleQueue[Sequence[str]] = SimpleQueue()

    def listen() -> Iterator[Sequence[str]]:
        while True:
            yield calls.get()

    heard = threading.Event()

    def look() -> Progress:
        seen = job.look()
        if not job.has_ended:
            # It ends after it was looked at, and before anybody waits.
            job.has_ended = True
            calls.put(["mine"])
            calls.put([])
            wait_until(lambda: calls.empty(), what="for the call")
        heard.set()
        return seen

    waiter = waiting_for(WaitingRoom(1, listen), "mine", look)
    waiter.join(10)
    assert not waiter.is_alive()


def test_without_a_broker_one_looks_by_oneself(job: Job) -> None:
    deaf = WaitingRoom(1, Broker(f"redis://127.0.0.1:{free_port()}/0").news)
    waiter = waiting_for(deaf, "mine", job.look)
    wait_until(lambda: job.looks > 2)
    job.has_ended = True
    waiter.join(10)
    assert not waiter.is_alive()


def hang_up(broker: redis.Redis) -> None:
    broker.client_kill_filter(_type="pubsub")


def talk_nonsense(broker: redis.Redis) -> None:
    broker.publish("isoline:news", b"\xff\xfe")


@pytest.mark.parametrize("upset", [hang_up, talk_nonsense])
@pytest.mark.usefixtures("only_called")
def test_a_broker_that_upset_whoever_listens_is_listened_to_again(
    redis_url: str, broker: redis.Redis, job: Job, upset: Callable[[redis.Redis], None]
) -> None:
    room = WaitingRoom(1, Broker(redis_url).news)
    waiter = waiting_for(room, "mine", job.look)
    wait_until(lambda: listeners(broker))
    before = {one["id"] for one in broker.client_list(_type="pubsub")}
    upset(broker)
    wait_until(lambda: {one["id"] for one in broker.client_list(_type="pubsub")} - before)
    wait_until(lambda: listeners(broker))
    job.has_ended = True
    Broker(redis_url).announce(["mine"])
    waiter.join(10)
    assert not waiter.is_alive()


@pytest.mark.usefixtures("only_called")
def test_news_come_on_another_line_after_one_went_dead(
    redis_url: str, broker: redis.Redis, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ears() -> set[str]:
        # Those of other rooms come and go.
        return {one["id"] for one in broker.client_list(_type="pubsub") if one["name"] == "ours"}

    monkeypatch.setattr(shared.broker, "ASKED_AFTER_S", 1)
    port = urlsplit(redis_url).port or 0
    with MutingProxy(port) as line:
        url = redis_url.replace(str(port), str(line.port)) + "?client_name=ours"
        waiter = waiting_for(WaitingRoom(1, Broker(url).news), "mine", job.look)
        before = wait_until(ears)
        # It is asked more than once: silence alone is no reason.
        time.sleep(4)
        assert ears() == before
        assert line.fall_silent()
        wait_until(lambda: ears() - before)
        job.has_ended = True
        Broker(redis_url).announce(["mine"])
        waiter.join(10)
        assert not waiter.is_alive()
