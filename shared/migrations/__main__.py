"""Bring the configured database up to date: `python -m shared.migrations`."""

from __future__ import annotations

import os
import sys

from sqlalchemy.exc import DatabaseError

from shared import database
from shared.errors import SettingsError
from shared.migrations.revisions import newest_revision
from shared.migrations.schema import upgrade
from shared.settings import Settings

if __name__ == "__main__":
    # A database that it makes is for its owner alone, and with it whatever SQLite puts beside it.
    os.umask(0o077)
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    engine = database.connect(settings.database_url, patience_s=60.0, pool_size=1)
    try:
        upgrade(engine)
    except DatabaseError as failure:
        # The driver's own words: they name host and port, never the password.
        sys.exit(f"The database cannot be migrated: {failure.orig}")
    engine.dispose()
    print(f"database is at revision {newest_revision()}")
