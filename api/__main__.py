"""Serve the API with granian and the settings that belong to it: `python -m api`."""

from __future__ import annotations

import sys

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from api.app import CHAIRS, READERS
from shared.errors import SettingsError
from shared.settings import Settings

SPARE_THREADS = 32
# A slow sender of headers is shown the door; bodies have their own deadline.
HEADER_TIMEOUT_MS = 15_000

if __name__ == "__main__":
    try:
        settings = Settings.from_environ(needs=["ISOLINE_ADMIN_TOKEN", "ISOLINE_REDIS_URL"])
    except SettingsError as error:
        sys.exit(str(error))
    Granian(
        "api.wsgi:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        respawn_failed_workers=True,
        blocking_threads=READERS + CHAIRS + SPARE_THREADS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
        log_level=LogLevels.error,
    ).serve()
