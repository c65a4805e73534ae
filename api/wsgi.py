"""What a WSGI server imports."""

from __future__ import annotations

import logging
import sys

from api.app import create_app
from shared import logs
from shared.settings import Settings

logs.configure()
if sys.stderr.isatty():
    # A person wants the banner of `make run` to stay, and to see what is wrong; not each request.
    logging.getLogger("api.app").setLevel(logging.WARNING)
application = create_app(Settings.from_environ(needs=["ISOLINE_ADMIN_TOKEN", "ISOLINE_REDIS_URL"]))
