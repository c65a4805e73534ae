"""Start the worker with the flags that belong to it: `python -m worker`."""

from __future__ import annotations

import os
import sys

from shared.errors import SettingsError

if __name__ == "__main__":
    try:
        from worker.app import app, settings
    except SettingsError as error:
        sys.exit(str(error))
    app.worker_main(
        [
            # Its banner would stand between the lines of the log.
            "--quiet",
            "worker",
            f"--concurrency={settings.workers}",
            # Two workers on one machine need two names.
            f"--hostname=isoline-{os.getpid()}@%h",
            "--loglevel=INFO",
            # Fewer ways to lose the way back after a reconnect.
            "--without-gossip",
            "--without-mingle",
        ]
    )
