"""Uploads that come together are committed together, and each is told its own fate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.exc import IntegrityError

from api import ledger as ledgers
from api.ecgs import row_of
from api.ledger import Ledger
from api.uploads import parse
from api.users import Caller
from shared.database import now_s, reading, transaction
from shared.errors import DatabaseUnavailable
from shared.models import Ecg, Signal, User
from shared.signals import encode

RECORDING = parse(b'{"leads": [{"name": "I", "signal": [1, -1]}]}')
ENCODED = encode(RECORDING.leads)
TOGETHER = 40


@pytest.fixture
def ada(engine: Engine) -> Caller:
    """Somebody who uploads."""
    with transaction(engine) as connection:
        row = {"username": "ada", "token_sha256": b"ada"}
        statement = insert(User).values(**row, created_at_s=now_s()).returning(User.id)
        return Caller(connection.scalar(statement) or 0)


class Commits:
    """Counts transactions, and holds the first one back until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.number = 0
        self.first_has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self._fails = fails

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Stands where the ledger's own does."""
        self.number += 1
        if self.number == 1:
            self.first_has_begun.set()
            assert self.may_go_on.wait(20)
        elif self._fails:
            raise DatabaseUnavailable("It is away.")
        with transaction(engine) as connection:
            yield connection


def write_at_once(
    ledger: Ledger, commits: Commits, rows: list[dict[str, object]]
) -> list[BaseException | None]:
    """Hand in the first row, and all others while it is being committed; what each met."""
    with ThreadPoolExecutor(len(rows)) as pool:
        handed_in = [pool.submit(ledger.write, rows[0], ENCODED)]
        assert commits.first_has_begun.wait(20)
        handed_in += [pool.submit(ledger.write, row, ENCODED) for row in rows[1:]]
        while len(ledger._handed_in) < len(rows) - 1:
            pass
        commits.may_go_on.set()
        return [one.exception(30) for one in handed_in]


def count(engine: Engine) -> tuple[int | None, int | None]:
    """How many rows there are, and how many signals."""
    with reading(engine) as connection:
        ecgs = connection.scalar(select(func.count()).select_from(Ecg))
        return ecgs, connection.scalar(select(func.count()).select_from(Signal))


def test_what_comes_while_one_is_committed_is_committed_together(
    engine: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    rows = [row_of(RECORDING, ada, "") for _ in range(TOGETHER)]
    assert write_at_once(Ledger(engine), commits, rows) == [None] * TOGETHER
    assert count(engine) == (TOGETHER, TOGETHER)
    assert commits.number == 1 + -(-(TOGETHER - 1) // ledgers.MOST_TOGETHER)


def test_who_contradicts_another_row_fails_alone(
    engine: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    rows = [{**row_of(RECORDING, ada, ""), "idempotency_key": str(n)} for n in range(10)]
    rows[4]["idempotency_key"] = "0"
    rows[7]["user_id"] = ada.user_id + 1
    met = write_at_once(Ledger(engine), commits, rows)
    assert [number for number, error in enumerate(met) if error] == [4, 7]
    assert isinstance(met[4], IntegrityError)
    assert isinstance(met[7], IntegrityError)
    assert count(engine) == (8, 8)


def test_when_the_database_is_away_everybody_hears_of_it_and_nothing_is_there(
    engine: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits(fails=True)
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    ledger = Ledger(engine)
    rows = [row_of(RECORDING, ada, "") for _ in range(10)]
    met = write_at_once(ledger, commits, rows)
    assert met[0] is None
    assert all(isinstance(error, DatabaseUnavailable) for error in met[1:])
    assert count(engine) == (1, 1)
    # And the next one finds nothing of that in its way.
    monkeypatch.setattr(ledgers, "transaction", transaction)
    ledger.write(rows[1], ENCODED)
    assert count(engine) == (2, 2)
