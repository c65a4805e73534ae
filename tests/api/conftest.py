"""A door that stays open for a whole module, for tests that leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import database
from shared.migrations import schema
from shared.settings import Settings
from tests.api.sender import BOUND, Sender
from tests.door import Door
from tests.parts import ADMIN_TOKEN


@pytest.fixture(scope="module")
def sender(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """Somebody who sends bytes to a door on SQLite."""
    settings = Settings.from_environ(
        {
            "ISOLINE_REDIS_URL": redis_url,
            "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "ISOLINE_DATA_DIR": str(tmp_path_factory.mktemp("door")),
            "ISOLINE_MAX_UPLOAD_BYTES": str(BOUND),
        }
    )
    engine = database.connect(settings.database_url)
    schema.upgrade(engine)
    yield Sender(Door(settings, engine))
    engine.dispose()
