"""What Redis knows beside the queue: who works, how much waits, whether it is there at all."""

from __future__ import annotations

import math
import threading
import time

import redis

from shared.jobs import INTERACTIVE

# A worker is online when it was heard within this time; it beats every two seconds.
HEARD_WITHIN_S = 10
# How old an answer about the workers may be before somebody asks again, since a poll must not
# cost a round trip to Redis; and how old while that somebody still waits for the answer.
REMEMBERED_S = 1.0
STALE_S = 5.0

_HEARTBEATS = "isoline:heartbeat:"


class Broker:
    """A short-tempered connection to Redis: every question is answered or given up in a second."""

    def __init__(self, redis_url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            health_check_interval=10,
            decode_responses=True,
        )
        self._lock = threading.Lock()
        self._workers: int | None = None
        self._asked_at_s = -math.inf

    def beat(self, worker: str) -> None:
        """Say that this worker is alive; raises `redis.RedisError` when nobody hears it."""
        self._redis.set(_HEARTBEATS + worker, "1", ex=HEARD_WITHIN_S)

    def workers_online(self) -> int | None:
        """How many workers were heard lately, seconds ago at most; None when Redis is away."""
        # One asks, and the others make do with what was known: a Redis whose name is looked up in
        # vain costs one request its seconds, and not all of them.
        is_stale = self._age_s() >= STALE_S
        if self._lock.acquire(timeout=STALE_S if is_stale else 0.0):
            try:
                if self._age_s() >= REMEMBERED_S:
                    self._workers = self._count_workers()
                    self._asked_at_s = time.monotonic()
            finally:
                self._lock.release()
        elif is_stale:
            return None
        return self._workers

    def _age_s(self) -> float:
        return time.monotonic() - self._asked_at_s

    def _count_workers(self) -> int | None:
        try:
            return sum(1 for _ in self._redis.scan_iter(_HEARTBEATS + "*", 1000))
        except redis.RedisError:
            return None

    def waiting(self) -> int:
        """How many messages nobody has taken yet; raises `redis.RedisError`."""
        return int(self._redis.llen(INTERACTIVE))

    def run_id(self) -> str:
        """A name that changes whenever the server starts anew; raises `redis.RedisError`."""
        return str(self._redis.info("server")["run_id"])
