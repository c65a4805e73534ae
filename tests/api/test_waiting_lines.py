"""Lines are stored soon where their sender is slow, and not where others are in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert

from api.ledger import Ledger
from api.lines import Line
from api.reception import LONGEST_S, LOOK_EVERY_S, Reception
from api.users import Caller
from shared.database import now_s, transaction
from shared.errors import Unauthenticated
from shared.models import User

LINES = [
    Line(number, b'{"leads": [{"name": "I", "signal": [1, -1]}]}', is_whole=True)
    for number in range(1, 11)
]


class Busy:
    """A lane on which somebody else is always ahead."""

    def __enter__(self) -> None:
        time.sleep(0.15 * LONGEST_S)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def ada(engine: Engine) -> Caller:
    with transaction(engine) as connection:
        row = {"username": "ada", "token_sha256": b"ada"}
        statement = insert(User).values(**row, created_at_s=now_s()).returning(User.id)
        return Caller(connection.scalar(statement) or 0)


def take(engine: Engine, ada: Caller, lines: Iterable[Line], lane: Any, rung: list[int]) -> None:
    """Take lines in; of each chunk, note how many lines were rung for."""
    reception = Reception(
        Ledger(engine),
        ada,
        key=None,
        request_id="",
        most_bytes=1000,
        ring=lambda ecg_ids, queue: rung.append(len(ecg_ids)),
        lane=lane,
    )
    assert reception.take(lines, has_known_end=True).accepted == len(LINES)


def test_whoever_waits_for_other_batches_stores_no_fewer_lines_at_a_time(
    engine: Engine, ada: Caller
) -> None:
    rung: list[int] = []
    take(engine, ada, LINES, Busy(), rung)
    assert rung == [len(LINES)]


def test_lines_that_come_slowly_are_stored_before_the_last_one(engine: Engine, ada: Caller) -> None:
    rung: list[int] = []

    def slowly() -> Iterator[Line]:
        for line in LINES:
            yield line
            # None of the pauses is a long one.
            time.sleep(0.2 * LONGEST_S)
        assert rung

    take(engine, ada, slowly(), threading.Lock(), rung)
    assert sum(rung) == len(LINES)


def test_whose_lines_could_not_be_stored_hears_it_at_the_next_one(
    engine: Engine, ada: Caller
) -> None:
    sent: list[Line] = []

    def slowly() -> Iterator[Line]:
        for line in LINES:
            sent.append(line)
            yield line
            if len(sent) == 1:
                with transaction(engine) as connection:
                    connection.execute(delete(User))
                time.sleep(LONGEST_S + 3 * LOOK_EVERY_S)

    with pytest.raises(Unauthenticated):
        take(engine, ada, slowly(), threading.Lock(), [])
    assert len(sent) == 2
