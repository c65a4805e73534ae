"""What was given back rests: twice as long each time, and not for as long as what fell with it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select, update

from shared.database import now_s, reading, transaction
from shared.models import Ecg
from tests.door import Door
from worker import claims, endings


def clock_s(engine: Engine) -> float:
    with reading(engine) as connection:
        return connection.scalar(select(now_s())) or 0.0


@pytest.mark.parametrize(
    ("draw", "rests_s"),
    [
        (lambda least, most: least, [1.0, 2.0, 4.0, 8.0]),
        (lambda least, most: most, [3.0, 6.0, 12.0, 24.0]),
    ],
    ids=["half as much", "half as much again"],
)
def test_a_rest_doubles_with_each_attempt_and_is_drawn(
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    draw: Callable[[float, float], float],
    rests_s: list[float],
) -> None:
    ecg_id = door.upload(door.user(), [1, -1])
    monkeypatch.setattr(random, "uniform", draw)
    assert len(rests_s) == claims.MAX_ATTEMPTS - 1
    for rest_s in rests_s:
        with transaction(door.engine) as connection:
            connection.execute(update(Ecg).values(due_at_s=0.0))
        [claim] = claims.claim(door.engine, [ecg_id], "a message").claims
        before_s = clock_s(door.engine)
        assert endings.give_back(door.engine, claim, "reason")
        after_s = clock_s(door.engine)
        with reading(door.engine) as connection:
            due_at_s = connection.scalar(select(Ecg.due_at_s).where(Ecg.id == ecg_id))
        assert due_at_s is not None
        # The clocks are told in thousandths by some.
        assert before_s - 0.01 <= due_at_s - rest_s <= after_s + 0.01
