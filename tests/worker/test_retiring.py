"""What is cancelled is ended by the relay, beside whoever erases it."""

from __future__ import annotations

import json

from sqlalchemy import select

from shared import database
from shared.database import reading, transaction
from shared.migrations import schema
from shared.models import Batch, Ecg
from shared.settings import Settings
from tests.databases import PostgreSql, another_database
from tests.door import Door
from worker.endings import retire

LINE = json.dumps({"leads": [{"name": "I", "signal": [1, -1]}]})


def test_what_somebody_is_erasing_is_not_waited_for(
    postgresql: PostgreSql, settings: Settings
) -> None:
    engine = database.connect(another_database(postgresql.url, "retiring"))
    schema.upgrade(engine)
    door = Door(settings, engine)
    ada = door.user()
    batch_id = door.submit(ada, *[LINE] * 10).json["id"]
    door.post(f"/batches/{batch_id}/cancel", headers=ada)
    with reading(engine) as connection:
        user_id = connection.scalar(select(Batch.user_id)) or 0
    # Two that wait for each other's rows would end with an error for one of them.
    with transaction(engine) as connection:
        connection.execute(select(Ecg.id).where(Ecg.line == 5).with_for_update())
        assert retire(engine, batch_id, user_id) == 9
    assert retire(engine, batch_id, user_id) == 1
    engine.dispose()
