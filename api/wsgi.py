"""What a WSGI server imports."""

from __future__ import annotations

from api.app import create_app
from shared import logs
from shared.settings import Settings

logs.configure()
application = create_app(Settings.from_environ(needs=["ISOLINE_ADMIN_TOKEN", "ISOLINE_REDIS_URL"]))
