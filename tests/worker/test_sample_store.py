"""Samples come by the handful, within bounds, and what befalls one of them is its own affair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from shared.database import reading, transaction
from shared.jobs import weight_of
from shared.models import Ecg, Signal
from tests.door import Door
from worker import sample_store, tasks


@pytest.fixture
def loads(door: Door) -> Iterator[list[int]]:
    """How many ecgs each statement asks for that loads samples."""
    asked: list[int] = []

    def look(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT signals"):
            asked.append(len(parameters))

    event.listen(door.engine, "before_cursor_execute", look)
    yield asked
    event.remove(door.engine, "before_cursor_execute", look)


def statuses(door: Door, ecg_ids: list[str]) -> list[str]:
    with reading(door.engine) as connection:
        rows = connection.execute(select(Ecg.id, Ecg.status)).all()
    found: dict[str, str] = {row.id: row.status for row in rows}
    return [found[ecg_id] for ecg_id in ecg_ids]


def upload(door: Door, number: int, samples: int = 5) -> list[str]:
    ada = door.user()
    return [door.upload(ada, [float(n)] * samples) for n in range(number)]


def test_a_message_is_loaded_with_one_statement(door: Door, loads: list[int]) -> None:
    ecg_ids = upload(door, 20)
    door.work()
    assert loads == [20]
    assert statuses(door, ecg_ids) == ["finished"] * 20


@pytest.mark.parametrize(
    ("of_one", "expected"),
    [(0.9, [1] * 7), (1, [1] * 7), (2, [2, 2, 2, 1]), (6.9, [6, 1]), (7, [7])],
)
def test_no_more_is_in_memory_than_may(
    door: Door,
    loads: list[int],
    monkeypatch: pytest.MonkeyPatch,
    of_one: float,
    expected: list[int],
) -> None:
    monkeypatch.setattr(sample_store, "WEIGHT_PER_MESSAGE", of_one * weight_of(5, 1))
    ecg_ids = upload(door, 7)
    door.work()
    assert loads == expected
    assert statuses(door, ecg_ids) == ["finished"] * 7


def test_samples_that_are_gone_are_missed_by_one_alone(door: Door, loads: list[int]) -> None:
    ecg_ids = upload(door, 5)
    with transaction(door.engine) as connection:
        connection.execute(delete(Signal).where(Signal.ecg_id == ecg_ids[2]))
    door.work()
    assert statuses(door, ecg_ids) == ["finished", "finished", "failed", "finished", "finished"]
    assert loads == [5]


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, tasks.OutOfTime])
def test_a_load_that_breaks_off_is_the_end_of_one_attempt(
    door: Door, loads: list[int], error: type[BaseException]
) -> None:
    ecg_ids = upload(door, 5)

    def break_off_once(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("SELECT signals") and len(loads) == 1:
            raise error

    event.listen(door.engine, "before_cursor_execute", break_off_once)
    door.work()
    event.remove(door.engine, "before_cursor_execute", break_off_once)
    assert statuses(door, ecg_ids) == ["pending", *["finished"] * 4]
    # The first one waits for another attempt; the others were loaded without it.
    assert loads == [5, 4]


def test_nothing_is_open_while_it_is_computed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(door, 3)
    seen = []

    def look(*_: object) -> bytes:
        seen.append(door.engine.pool.checkedout())  # type: ignore[attr-defined]
        return b"{}"

    monkeypatch.setattr(tasks, "compute", look)
    door.work()
    assert seen == [0, 0, 0]
