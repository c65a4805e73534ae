"""What Redis knows beside the queues: who is at work, how much waits, whether it is there."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, cast

import redis

from shared.jobs import BULK, INTERACTIVE, QUARANTINE, TAKEN

# Workers and the API beat every two seconds, the relay every second: whoever has not been heard for
# this long is not there.
HEARD_WITHIN_S = 10.0
# A beat that is so far ahead is from before the clock was set back.
CLOCK_TURNED_S = 1.0
# Whoever has been silent for this long is forgotten.
FORGOTTEN_AFTER_S = 86_400.0
# How old an answer may be before somebody asks again, since a poll must not cost a round trip to
# Redis; and how old while that somebody still waits for the answer.
REMEMBERED_S = 1.0
STALE_S = 5.0
# After so much silence a server is asked whether it is there. Of one that is only listened to, a
# dead line is known by that it says nothing for as long again.
ASKED_AFTER_S = 10

Role = Literal["api", "worker", "bulk", "quarantine", "relay"]

# Who eats from each queue.
EATERS: dict[str, Role] = {INTERACTIVE: "worker", BULK: "bulk", QUARANTINE: "quarantine"}

# A sorted set: "role:name", scored with the moment of its last beat by the clock of Redis.
_HEARTBEATS = "isoline:heartbeats"
# Where workers tell what has come to its end, to whoever happens to wait for it.
_NEWS = "isoline:news"
_ON_ITS_WAY = "return redis.call('LLEN', KEYS[1]) + redis.call('HLEN', KEYS[2])"


@dataclass(frozen=True)
class Roll:
    """Who has been heard, and how many seconds ago, by role and name."""

    silent_s: dict[str, dict[str, float]] = field(default_factory=dict)

    def online(self, role: Role) -> int:
        """How many in this role are there."""
        return sum(silent_s <= HEARD_WITHIN_S for silent_s in self.silent_s.get(role, {}).values())

    def last_heard_s_ago(self, role: Role) -> float | None:
        """How long ago anybody in this role was heard; None when nobody has been for a day."""
        return min(self.silent_s.get(role, {}).values(), default=None)


class Broker:
    """A short-tempered connection to Redis: every question is answered or given up in a second."""

    def __init__(self, redis_url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            health_check_interval=ASKED_AFTER_S,
            decode_responses=True,
        )
        self._lock = threading.Lock()
        self._roll: Roll | None = None
        self._called_at_s = -math.inf

    def beat(self, role: Role, name: str) -> None:
        """Say that somebody is alive; raises `redis.RedisError` when nobody hears it."""
        self._redis.zadd(_HEARTBEATS, {f"{role}:{name}": self._now_s()})

    def say_goodbye(self, role: Role, name: str) -> None:
        """Be forgotten, as one who ends as asked; raises `redis.RedisError`."""
        self._redis.zrem(_HEARTBEATS, f"{role}:{name}")

    def refusal(self) -> str:
        """With which words Redis refuses to store anything, or none when it does not.

        Raises
        ------
        redis.RedisError : it does not even answer.
        """
        try:
            self._redis.set("isoline:probe", "", ex=1)
        except redis.ResponseError as error:
            return str(error).partition(". ")[0].rstrip(".")
        return ""

    def roll(self) -> Roll | None:
        """Who is there, as known a moment ago; None when Redis is away."""
        # One asks, and the others make do with what was known: a Redis whose name is looked up in
        # vain costs one request its seconds, and not all of them.
        is_stale = self._age_s() >= STALE_S
        if self._lock.acquire(timeout=STALE_S if is_stale else 0.0):
            try:
                if self._age_s() >= REMEMBERED_S:
                    self._roll = self._call_roll()
                    self._called_at_s = time.monotonic()
            finally:
                self._lock.release()
        elif is_stale:
            return None
        return self._roll

    def waiting(self, queue: str) -> int:
        """How many messages nobody has taken yet; raises `redis.RedisError`."""
        return int(self._redis.llen(queue))

    def on_its_way(self, queue: str) -> int:
        """How many messages are waiting or being worked on; raises `redis.RedisError`."""
        return int(self._redis.eval(_ON_ITS_WAY, 2, queue, TAKEN[queue]))

    def announce(self, ecg_ids: Sequence[str]) -> None:
        """Say that there is news of these ecgs; raises `redis.RedisError`."""
        self._redis.publish(_NEWS, " ".join(ecg_ids))

    def news(self) -> Iterator[list[str]]:
        """The ids of ecgs that there is news of, as it comes; raises `redis.RedisError`."""
        ears: redis.client.PubSub
        with self._redis.pubsub(ignore_subscribe_messages=True) as ears:  # type: ignore[no-untyped-call]
            ears.subscribe(_NEWS)
            while True:
                if message := ears.get_message(timeout=ASKED_AFTER_S):
                    yield message["data"].split()
                elif ears.health_check_response_counter:
                    raise redis.TimeoutError("Asked whether it is there, the server says nothing.")

    def run_id(self) -> str:
        """A name that changes whenever the server starts anew; raises `redis.RedisError`."""
        return str(self._redis.info("server")["run_id"])

    def uptime_s(self) -> float:
        """For how long the server has been running; raises `redis.RedisError`."""
        return float(self._redis.info("server")["uptime_in_seconds"])

    def _age_s(self) -> float:
        return time.monotonic() - self._called_at_s

    def _call_roll(self) -> Roll | None:
        silent_s: dict[str, dict[str, float]] = {}
        try:
            now_s = self._now_s()
            # One that takes nothing, being full, can still be asked.
            with suppress(redis.ResponseError):
                self._redis.zremrangebyscore(_HEARTBEATS, 0, now_s - FORGOTTEN_AFTER_S)
            beats = cast(
                list[tuple[str, float]], self._redis.zrange(_HEARTBEATS, 0, -1, withscores=True)
            )
            for member, beat_s in beats:
                # The clock was set back, and whoever lives is heard again in a moment.
                if beat_s > now_s + CLOCK_TURNED_S:
                    continue
                role, _, name = member.partition(":")
                silent_s.setdefault(role, {})[name] = max(0.0, now_s - beat_s)
        except redis.RedisError:
            return None
        return Roll(silent_s)

    def _now_s(self) -> float:
        clock = self._redis.time()
        return float(clock[0]) + float(clock[1]) / 1e6
