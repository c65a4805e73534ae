"""What is measured, as the relay published it."""

from __future__ import annotations

import json

from sqlalchemy import insert

from shared.database import transaction
from shared.models import InsightDefinition
from tests.door import Door


def test_before_any_relay_has_spoken_there_is_no_list_and_not_an_empty_one(door: Door) -> None:
    response = door.get("/insights")
    assert response.status_code == 503
    assert response.json["type"] == "/problems/unavailable"
    assert response.json["detail"] == "The relay has not published yet what is measured."
    assert response.headers["Retry-After"] == "2"


def test_the_catalogue_is_what_was_published_by_name(door: Door) -> None:
    declared = [
        {"name": name, "version": 2, "unit": "Hz", "definition": f"What {name} is."}
        for name in ("b", "a")
    ]
    lists = {"scopes": ["lead", "ecg"], "limits": ["l"], "sources": ["s", "t"], "figures": ["x"]}
    with transaction(door.engine) as connection:
        written = {name: json.dumps(items) for name, items in lists.items()}
        connection.execute(insert(InsightDefinition), [{**line, **written} for line in declared])
    listed = [{**line, **lists} for line in declared[::-1]]
    assert door.get("/insights").json == {"data": listed}
