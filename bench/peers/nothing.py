"""Celery with a task that does nothing: what a message costs at least."""

from __future__ import annotations

import os

from celery import Celery

celery = Celery("nothing", broker=os.environ["PEER_REDIS"])
celery.conf.task_ignore_result = True


@celery.task(name="nothing")  # type: ignore[untyped-decorator, unused-ignore]
def nothing() -> None:
    """Do nothing."""


if __name__ == "__main__":
    celery.worker_main(["--quiet", "worker", "--loglevel=ERROR"])
