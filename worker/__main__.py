"""Start a worker with the flags that belong to it: `python -m worker`.

With `--quarantine` it is the one that works, alone and in a fresh process each time, on what has
taken its worker along before.
"""

from __future__ import annotations

import os
import sys

from shared.errors import SettingsError
from shared.jobs import INTERACTIVE, QUARANTINE

if __name__ == "__main__":
    try:
        from worker.app import app, settings
    except SettingsError as error:
        sys.exit(str(error))
    in_quarantine = sys.argv[1:] == ["--quarantine"]
    queue = QUARANTINE if in_quarantine else INTERACTIVE
    app.worker_main(
        [
            # Its banner would stand between the lines of the log.
            "--quiet",
            "worker",
            f"--queues={queue}",
            f"--concurrency={1 if in_quarantine else settings.workers}",
            *(["--max-tasks-per-child=1"] if in_quarantine else []),
            # Two workers on one machine need two names.
            f"--hostname={queue}-{os.getpid()}@%h",
            "--loglevel=INFO",
            # Fewer ways to lose the way back after a reconnect.
            "--without-gossip",
            "--without-mingle",
        ]
    )
