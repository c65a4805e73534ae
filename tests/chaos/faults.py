"""All the ways to maltreat a house."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

import psutil
import redis
from sqlalchemy import ColumnElement, Select, and_, create_engine, func, select

from shared.jobs import INTERACTIVE, QUARANTINED_AFTER
from shared.models import Ecg
from shared.states import IS_HELD
from tests.chaos.house import House
from tests.parts import wait_until

T = TypeVar("T")

# For so long a fault waits for something to do to.
AWAITED_S = 20.0
STOPPED_S = 3.0
IN_HAND_WITHIN_S = 20.0
SENT_AGAIN_AFTER_S = 3.0


class Chaos:
    """The faults, by name; each returns when it is over and everything has been started again.

    It returns whether it was really done: a fault that finds nothing to do to waits for it, for a
    while, and then owns up.
    """

    def __init__(
        self,
        house: House,
        seed: int,
        scale: float,
        *,
        upload: Callable[[], None],
        submit: Callable[[], None],
    ) -> None:
        self._house = house
        self._chance = random.Random(seed)
        self._scale = scale
        # Have the clients upload one more, and submit one more batch.
        self._upload = upload
        self._submit = submit

    def faults(self) -> dict[str, Callable[[], bool]]:
        """What there is, in the order of the report."""
        faults: dict[str, Callable[[], bool]] = {
            "worker child killed": self._kill_a_child,
            "worker's parent killed": self._behead_the_worker,
            "worker killed": lambda: self._kill("worker"),
            "bulk worker's children killed": self._kill_the_bulk_workers_children,
            "bulk worker killed": self._kill_the_bulk_worker,
            "relay killed": lambda: self._kill("relay"),
            "API killed": self._kill_the_api,
            "broker killed, data gone": self._kill_the_broker,
            "FLUSHALL": self._flush,
            "broker stopped 25 s": self._stop_the_broker,
            "worker stopped 25 s": self._stop_the_worker,
            "broker down 10 s": self._take_the_broker_away,
            "database locked 8 s": self._lock_the_database,
            "messages doubled": lambda: self._rearrange(lambda messages: messages * 2),
            "messages reordered": lambda: self._rearrange(self._shuffled),
        }
        if self._house.postgresql is not None:
            faults["database killed, back after 5 s"] = self._crash_the_database
        return faults

    def _children(self, name: str = "worker") -> list[psutil.Process]:
        """The processes of a worker's pool, as soon as there are any; none in the end."""
        return _await(lambda: psutil.Process(self._house.process(name).pid).children()) or []

    def _kill_a_child(self) -> bool:
        if not self._wait_for_work_in_hand(self._upload, Ecg.batch_id.is_(None)):
            return False
        # Only now: a worker that loses children while it starts gives up.
        children = self._children()
        if children:
            self._chance.choice(children).kill()
        return bool(children)

    def _kill_the_bulk_workers_children(self) -> bool:
        if not self._wait_for_lines_in_hand():
            return False
        # All, since nobody can tell which one has the lines.
        children = self._children("bulk")
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        return bool(children)

    def _kill_the_bulk_worker(self) -> bool:
        return self._wait_for_lines_in_hand() and self._kill("bulk")

    def _wait_for_lines_in_hand(self) -> bool:
        return self._wait_for_work_in_hand(self._submit, Ecg.batch_id.is_not(None))

    def _wait_for_work_in_hand(self, send: Callable[[], None], which: ColumnElement[bool]) -> bool:
        """Send some, and wait until some of these are begun; it takes milliseconds.

        Returns
        -------
        bool : whether some were. What a worker held that was killed is held until its lease runs
            out, and not meant.
        """
        engine = create_engine(self._house.database_url)
        # More often begun, they are the quarantine's.
        is_held = and_(IS_HELD, which, Ecg.attempts <= QUARANTINED_AFTER)

        def find(statement: Select[T]) -> T | None:
            with engine.connect() as connection:
                return connection.scalar(statement)

        latest_s = find(select(func.max(Ecg.lease_until_s)).where(is_held)) or 0.0
        begun = select(Ecg.id).where(is_held, Ecg.lease_until_s > latest_s).limit(1)

        def is_in_hand() -> bool:
            send()
            return bool(_await(lambda: find(begun), SENT_AGAIN_AFTER_S, pause_s=0.001))

        try:
            # It may be begun and done between two looks.
            return bool(_await(is_in_hand, IN_HAND_WITHIN_S))
        finally:
            engine.dispose()

    def _behead_the_worker(self) -> bool:
        # Its children go on with what they have begun while another worker is there already.
        if not self._children():
            return False
        orphans = self._house.behead("worker")
        self._house.start("worker")
        return bool(orphans)

    def _crash_the_database(self) -> bool:
        postgresql = self._house.postgresql
        assert postgresql is not None
        postgresql.crash()
        time.sleep(5 * self._scale)
        postgresql.start()
        return True

    def _lock_the_database(self) -> bool:
        self._house.lock_the_database(8 * self._scale)
        return True

    def _kill(self, name: str) -> bool:
        is_running = bool(_await(lambda: self._house.is_running(name)))
        self._house.kill(name)
        self._house.start(name)
        return is_running

    def _kill_the_api(self) -> bool:
        was_there = bool(_await(self._house.answers))
        self._kill("api")
        wait_until(self._house.answers, 60, "for the API")
        return was_there

    def _kill_the_broker(self) -> bool:
        was_there = self._house.broker.poll() is None
        self._house.kill_the_broker()
        self._house.bring_back_the_broker()
        return was_there

    def _take_the_broker_away(self) -> bool:
        was_there = self._house.broker.poll() is None
        self._house.kill_the_broker()
        time.sleep(10 * self._scale)
        self._house.bring_back_the_broker()
        return was_there

    def _stop_the_broker(self) -> bool:
        self._house.broker.send_signal(signal.SIGSTOP)
        time.sleep(25 * self._scale)
        self._house.broker.send_signal(signal.SIGCONT)
        return self._house.broker.poll() is None

    def _stop_the_worker(self) -> bool:
        stopped = self._children()
        if not stopped:
            return False
        stopped.append(psutil.Process(self._house.process("worker").pid))
        for process in stopped:
            process.suspend()
        time.sleep(25 * self._scale)
        for process in stopped:
            process.resume()
        return True

    def _flush(self) -> bool:
        with self._queue(at_least=1) as messages:
            self._house.redis.flushall()
        return bool(messages)

    def _rearrange(self, how: Callable[[list[bytes]], list[bytes]]) -> bool:
        with self._queue(at_least=2) as messages:
            if messages:
                with self._house.redis.pipeline() as exchange:
                    exchange.delete(INTERACTIVE)
                    exchange.rpush(INTERACTIVE, *how(messages))
                    exchange.execute()
        return bool(messages)

    @contextmanager
    def _queue(self, at_least: int) -> Iterator[list[bytes]]:
        """What waits in the queue while nobody takes any; nothing when too little came."""
        broker = self._house.redis
        worker = psutil.Process(self._house.process("worker").pid)

        def waiting() -> list[bytes]:
            # One by one, so that they do not travel together.
            self._upload()
            time.sleep(0.1)
            messages = cast(list[bytes], broker.lrange(INTERACTIVE, 0, -1))
            return messages if len(messages) >= at_least else []

        messages: list[bytes] = []
        end_s = time.monotonic() + AWAITED_S
        while not messages and time.monotonic() < end_s:
            # Whoever is stopped in the middle of a commit keeps SQLite's one write lock, and no
            # upload comes through: he is let go, and stopped again at a better moment.
            worker.resume()
            time.sleep(0.1)
            worker.suspend()
            messages = _await(waiting, STOPPED_S) or []
        try:
            yield messages
        finally:
            worker.resume()

    def _shuffled(self, messages: list[bytes]) -> list[bytes]:
        # Two may come out of a shuffle as they were.
        return [messages[-1], *self._chance.sample(messages[:-1], len(messages) - 1)]


def _await(what: Callable[[], T], within_s: float = AWAITED_S, pause_s: float = 0.02) -> T | None:
    """Ask until the answer is truthy, or so long that there will be none."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        # Whoever is just being started again is not there to be asked.
        with suppress(psutil.NoSuchProcess, KeyError, redis.RedisError):
            if answer := what():
                return answer
        time.sleep(pause_s)
    return None
