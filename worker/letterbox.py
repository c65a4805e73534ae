"""Where messages come in: one that nobody can read is thrown away, and the worker goes on.

To Celery such a message is a fault of the program, and ends it; and what was taken but not put
away is handed to the next worker, which it ends as well. A message is only a hint: whatever row
it may have named is rung for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from contextlib import suppress
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis
from redis.exceptions import ConnectionError as BrokerGone
from redis.exceptions import ResponseError

# What would have a worker do anything but look at rows, at once and within its own limits. None of
# our messages has them, and Celery loses a child's place for good over limits it cannot read.
WISHES = ("eta", "expires", "timelimit")

# How long a broker that refuses is left alone: less than anybody waits for a heartbeat.
REFUSED_PAUSE_S = 1.0

log = structlog.get_logger(__name__)


def _throw_away(error: Exception) -> None:
    # Neither the message nor what the library says of it, which quotes it.
    log.error("message thrown away", error=type(error).__name__)


class QoS(redis.QoS):
    """What was taken out of a queue and is not put away yet."""

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Lay back what others never put away, unless the broker takes nothing at present."""
        with suppress(ResponseError):
            super().restore_visible(*args, **options)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Lay what its worker never put away into its queue again, if it can be read."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except self.channel.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001
            _throw_away(error)
            with self.channel.conn_or_acquire(client) as connection:
                connection.hdel(self.unacked_key, tag)
                connection.zrem(self.unacked_index_key, tag)

    def hand_back(self, unbegun: Container[str]) -> None:
        """Lay these into their queue again, the oldest to be taken first."""
        # Once: told again to end, another worker may have it by then.
        kept = [tag for tag in reversed(self._delivered) if tag not in self._dirty]
        for tag in [tag for tag in kept if tag in unbegun]:
            self.restore_by_tag(tag)
            self._quick_ack(tag)


class Channel(redis.Channel):
    """One worker's way to its queues."""

    QoS = QoS
    _kept: Any = None

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        # Which queue a message goes to is known to whoever sends one: a broker that takes nothing
        # at present must not keep a worker from starting.
        with suppress(ResponseError):
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            # Kombu closes a channel whose broker is gone a second time, its connection taken apart,
            # and a child may say that it is done even later. What was taken stays where it is
            # noted; Celery is told what it knows how to outlive.
            raise BrokerGone("The connection has been given up.")
        # Kombu makes one for every message and every event, which costs more than sending it.
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Have every message of this queue handed to the callback."""

        def hand_over(message: Any) -> None:
            try:
                for wish in WISHES:
                    message.headers.pop(wish, None)
                callback(message)
            except Exception as error:
                # Kombu counts KeyError among the connection's errors; here it is the message's.
                if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):
                    raise
                _throw_away(error)
                message.reject_log_error(log, self.connection_errors)

        return super().basic_consume(queue, no_ack, hand_over, *args, **kwargs)

    def hand_back(self, unbegun: Container[str]) -> None:
        """Lay these into their queue again, and what the last question is answered with."""
        if self._in_poll:
            self._in_poll = False
            answer = self.client.parse_response(self.client.connection, "BRPOP")
            if answer:
                self.client.rpush(*answer)
        self.qos.hand_back(unbegun)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (Empty, *self.connection_errors):
            raise
        except ResponseError as error:
            # No message, but a Redis that hands out none at present: full, or a replica.
            log.error("the broker refuses", error=type(error).__name__)
            time.sleep(REFUSED_PAUSE_S)
            raise Empty from None
        except Exception as error:  # noqa: BLE001
            # Not even an envelope: it has left the queue, and there is nothing to put away.
            _throw_away(error)
            return True


class Transport(redis.Transport):
    """Redis, as Celery's `broker_transport`."""

    Channel = Channel
    # Whoever is told to end waits for the answer to his last question, by default for a second.
    brpop_timeout: float = 0.2  # type: ignore[assignment]
