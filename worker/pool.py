"""A worker's processes: each is listened to for its end for as long as it lives."""

from __future__ import annotations

from typing import Any

from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool


class Pool(AsynPool):  # type: ignore[misc]
    """Celery's, which believes in the end of a process only when it has ended.

    When several end at once, the first one is heard, and all are replaced. What their successors
    are listened to by has the numbers of what has just been closed: the second one's end, which is
    heard next, is taken for that of a process which has only begun. Celery listens to that no
    more, and when the broker has been away the next time, it finds nothing to listen to and gives
    the whole worker up.
    """

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        # Whoever is just about to end is heard again at once.
        if not proc._is_alive():
            super()._event_process_exit(hub, proc)


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Celery's, of such processes."""

    Pool = Pool
