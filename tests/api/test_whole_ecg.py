"""What is said of a whole ECG comes along wherever its leads do; older documents say nothing."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from sqlalchemy import insert, update

from shared.database import transaction
from shared.models import InsightDefinition, Insights
from tests.door import Door

LEADS = [
    {"name": "I", "number_of_zero_crossings": 1, "insights": {"beats": {"version": 2, "count": 7}}},
    {
        "name": "II",
        "number_of_zero_crossings": 2,
        "insights": {"beats": {"version": 2, "count": 8}},
    },
]
WHOLE = {"beats": {"version": 2, "count": 9}, "rr": {"version": 1, "not_computable": "needs more"}}


def declare(door: Door) -> None:
    """Publish an insight of leads and ECGs, and one of ECGs alone."""
    scopes = {"beats": '["lead", "ecg"]', "rr": '["ecg"]'}
    rows = [
        {
            "name": name,
            "version": 2,
            "unit": "",
            "definition": "",
            "scopes": where,
            "figures": '["count"]',
        }
        for name, where in scopes.items()
    ]
    with transaction(door.engine) as connection:
        connection.execute(insert(InsightDefinition), rows)


@pytest.fixture
def batch(door: Door) -> tuple[dict[str, str], str, str]:
    """A batch of one ECG, analysed."""
    declare(door)
    ada = door.user()
    batch_id = door.submit(ada, '{"leads": []}').json["id"]
    while not door.get(f"/batches/{batch_id}", headers=ada).json["finished_at"]:
        ecgs = door.get("/ecgs", headers=ada).json["data"]
        door.rung[:] = [ecg["id"] for ecg in ecgs]
        door.work()
    return ada, batch_id, ecgs[0]["id"]


def store(door: Door, ecg_id: str, **document: Any) -> None:
    text = json.dumps({"ecg_id": ecg_id, "status": "finished", **document}).encode()
    with transaction(door.engine) as connection:
        connection.execute(update(Insights).values(document=text))


def table_of(door: Door, ada: dict[str, str], batch_id: str) -> list[dict[str, str]]:
    answer = door.get(f"/batches/{batch_id}/insights?format=csv", headers=ada)
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_it_stands_beside_the_leads_in_every_form(
    door: Door, batch: tuple[dict[str, str], str, str]
) -> None:
    ada, batch_id, ecg_id = batch
    store(door, ecg_id, leads=LEADS, insights=WHOLE)

    assert door.get(f"/ecgs/{ecg_id}/insights", headers=ada).json["insights"] == WHOLE
    line = json.loads(door.get(f"/batches/{batch_id}/insights", headers=ada).data)
    assert line["insights"] == WHOLE
    table = table_of(door, ada, batch_id)
    assert list(table[0])[5:] == [
        *("beats_version", "beats_count", "beats_problem"),
        *("ecg_beats_version", "ecg_beats_count", "ecg_beats_problem"),
        *("ecg_rr_version", "ecg_rr_count", "ecg_rr_problem"),
    ]
    assert [list(row.values())[5:] for row in table] == [
        ["2", count, "", "2", "9", "", "1", "", "needs more"] for count in ("7", "8")
    ]


def test_a_document_from_before_is_read_as_one_that_says_nothing_of_the_whole(
    door: Door, batch: tuple[dict[str, str], str, str]
) -> None:
    ada, batch_id, ecg_id = batch
    store(door, ecg_id, leads=LEADS)

    poll = door.get(f"/ecgs/{ecg_id}/insights", headers=ada)
    assert "insights" not in json.loads(poll.data)
    assert "insights" not in json.loads(door.get(f"/batches/{batch_id}/insights", headers=ada).data)
    assert [list(row.values())[5:] for row in table_of(door, ada, batch_id)] == [
        ["2", count, "", "", "", "", "", "", ""] for count in ("7", "8")
    ]
