"""Start a worker with the flags that belong to it: `python -m worker`.

With `--bulk` it is one for the lines of batches, which lets the others go first. With
`--quarantine` it is the one that works, alone and in a fresh process each time, on what has taken
its worker along before.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings

from celery.platforms import SecurityWarning

from shared.errors import InsightsError, SettingsError
from shared.jobs import BULK, INTERACTIVE, QUARANTINE

QUEUES = {(): INTERACTIVE, ("--bulk",): BULK, ("--quarantine",): QUARANTINE}
# A tenth of the processor's time when somebody else wants it, all of it when nobody does.
NICENESS_OF_BULK = 10

if __name__ == "__main__":
    # Celery warns root of messages that run code, and of each worker anew. Ours are JSON alone.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    try:
        from worker.app import app, settings
    except (InsightsError, SettingsError) as error:
        sys.exit(str(error))
    queue = QUEUES.get(tuple(sys.argv[1:]), "")
    if not queue:
        sys.exit("usage: python -m worker [--bulk | --quarantine]")
    in_quarantine = queue == QUARANTINE
    if queue == BULK:
        os.nice(NICENESS_OF_BULK)
    worker = app.Worker(
        queues=[queue],
        concurrency=1 if in_quarantine else settings.workers,
        max_tasks_per_child=1 if in_quarantine else None,
        # Two workers on one machine need two names.
        hostname=f"{queue}-{os.getpid()}@{socket.gethostname()}",
        loglevel="INFO",
        # Its banner would stand between the lines of the log.
        quiet=True,
        # Fewer ways to lose the way back after a reconnect.
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    # The command of Celery's own ends well even when its worker did not.
    sys.exit(worker.exitcode)
