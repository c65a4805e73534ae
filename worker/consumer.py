"""How a worker ends that is told to: nobody waits for what it took and has not begun.

Celery goes on taking messages until it notices, and hands back what no child has begun when
everything else has ended, a second or two later. It also forgets that at once: a child that was
given some of it, and gets to it, stays for half a minute until somebody hears that it is done.
"""

from __future__ import annotations

import signal

import structlog
from celery.worker import state
from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.common import ignore_errors

log = structlog.get_logger(__name__)


class Consumer(CelerysConsumer):  # type: ignore[misc]
    """Celery's, which hands back before it waits for what was begun, and ends when hung up on."""

    def start(self) -> None:
        """Consume until the worker is told to end: by a closed terminal, too.

        Celery would begin the worker anew by a path that is not ours, and fail; whoever keeps it
        can. From before it is first heard of, not from when it says that it is ready.
        """
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        super().start()

    def close(self) -> None:
        """Take no more, and hand back what was taken and not begun.

        Celery calls it before anything else ends, and has none of its own. Should a child begin
        after all, one of the two that have the message finds its rows claimed.
        """
        if self.connection is None or self.task_consumer is None:
            return
        # Nothing that a child was given is forgotten.
        self.pool.flush = None
        unbegun = set(state.reserved_requests) - set(state.active_requests)
        try:
            with ignore_errors(self):
                self.task_consumer.cancel()
                channel = self.task_consumer.channel
                channel.hand_back({request.message.delivery_tag for request in unbegun})
        except AttributeError:
            # Celery takes it for a consumer that has no `close`, and says nothing.
            log.exception("messages not handed back")
