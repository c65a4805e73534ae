"""The doctor's page for the stack of this machine: `make doctor`."""

from __future__ import annotations

import sys
from dataclasses import replace

from shared import doctor
from shared.errors import SettingsError
from shared.settings import Settings
from standalone.data_folder import BROKER_URL

if __name__ == "__main__":
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    # Its port is another one with each start.
    file = settings.data_dir / BROKER_URL
    if settings.redis_url is None and file.exists():
        settings = replace(settings, redis_url=file.read_text().strip())
    doctor.run(settings)
