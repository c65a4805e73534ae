"""What is measured, as the workers say it."""

from __future__ import annotations

from sqlalchemy import insert

from shared.database import transaction
from shared.models import InsightDefinition
from tests.parts import Door


def test_before_any_worker_has_spoken_there_is_no_list_and_not_an_empty_one(door: Door) -> None:
    response = door.get("/insights")
    assert response.status_code == 503
    assert response.json["type"] == "/problems/unavailable"
    assert response.json["detail"] == "No worker has said yet what it measures."
    assert response.headers["Retry-After"] == "2"


def test_the_catalogue_is_what_the_workers_declared_by_name(door: Door) -> None:
    declared = [
        {"name": name, "version": 2, "unit": "Hz", "definition": f"What {name} is."}
        for name in ("b", "a")
    ]
    with transaction(door.engine) as connection:
        rows = [{**line, "figures": '["x"]'} for line in declared]
        connection.execute(insert(InsightDefinition), rows)
    listed = [{**line, "figures": ["x"]} for line in declared[::-1]]
    assert door.get("/insights").json == {"data": listed}
