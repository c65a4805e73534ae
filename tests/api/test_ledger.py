"""Uploads that come together are committed together, and each is told its own fate."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from api import ledger as ledgers
from api.ledger import Ledger
from api.lines import Line
from api.reception import Reception
from api.rows import row_of
from api.uploads import parse
from api.users import Caller
from shared.database import connect, now_s, reading, transaction
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


@pytest.fixture
def impatient(engine: Engine) -> Iterator[Engine]:
    """The same database for somebody who gives up soon."""
    url = engine.url.render_as_string(hide_password=False)
    impatient = connect(url, patience_s=0.5)
    yield impatient
    impatient.dispose()


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """As by somebody who writes for long."""
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE ecgs, batches IN SHARE MODE"))
        yield


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


def test_whatever_happens_each_hears_what_became_of_his_own(
    engine: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(6)
    bolts: list[type[BaseException]] = [DatabaseUnavailable, MemoryError, KeyboardInterrupt]

    @contextmanager
    def struck_at_times(engine: Engine) -> Iterator[Connection]:
        with transaction(engine) as connection:
            yield connection
            if chance.random() < 0.3:
                raise chance.choice(bolts)

    monkeypatch.setattr(ledgers, "transaction", struck_at_times)
    ledger = Ledger(engine)
    stored: list[str] = []
    failed: list[str] = []

    def hand_in() -> None:
        for _ in range(20):
            row = row_of(RECORDING, ada, "")
            try:
                written = ledger.write(row, ENCODED)
            except BaseException:  # noqa: BLE001 - as many kinds as there are
                failed.append(row["id"])
            else:
                assert written["id"] == row["id"]
                stored.append(row["id"])

    threads = [threading.Thread(target=hand_in) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert stored
    assert failed
    assert len(stored) + len(failed) == 20 * 24
    with reading(engine) as connection:
        assert set(connection.scalars(select(Ecg.id))) == set(stored)
    assert count(engine) == (len(stored), len(stored))


class Row(dict[str, object]):
    """One that can be watched."""


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_refused_is_let_go_of_before_anybody_looks_for_garbage(
    engine: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    commits = Commits(fails=fails)
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    rows = [Row(row_of(RECORDING, ada, "")) for _ in range(6)]
    rows[3]["id"] = rows[0]["id"]
    watched = [weakref.ref(row) for row in rows]
    gc.collect()
    gc.disable()
    try:
        met = write_at_once(Ledger(engine), commits, list(rows))
        assert sum(error is not None for error in met) == (5 if fails else 1)
        del rows, met
        assert not [one for one in watched if one() is not None]
    finally:
        gc.enable()


def test_a_hundred_who_wait_for_a_locked_database_wait_as_long_as_one(
    engine: Engine, impatient: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    ledger = Ledger(impatient)
    rows = [row_of(RECORDING, ada, "") for _ in range(100)]
    with locked(engine):
        met = write_at_once(ledger, commits, rows)
    assert all(isinstance(error, DatabaseUnavailable) for error in met)
    assert commits.number == 1
    assert count(engine) == (0, 0)
    # Nothing was left behind that would be written now, or would be in the way.
    for row in rows[:3]:
        ledger.write(row, ENCODED)
    assert count(engine) == (3, 3)


class Lane:
    """Counts who has asked for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: set[int] = set()

    def __enter__(self) -> None:
        # Not by those who store what has waited for a while.
        if threading.current_thread().name.startswith("request"):
            self.asked.add(threading.get_ident())
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_batches_that_wait_for_a_locked_database_wait_as_long_as_one(
    engine: Engine, impatient: Engine, ada: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, lane = Ledger(impatient), Lane()

    def receive(key: str) -> Reception:
        return Reception(
            ledger,
            ada,
            key=key,
            request_id="",
            most_bytes=1000,
            ring=lambda ecg_ids, queue: None,
            lane=lane,
        )

    line = Line(1, b'{"leads": [{"name": "I", "signal": [1, -1]}]}', is_whole=True)
    keys = [str(number) for number in range(12)]
    receptions = [receive(key) for key in keys]
    commits = Commits()
    monkeypatch.setattr(ledgers, "transaction", commits.transaction)
    with locked(engine), ThreadPoolExecutor(len(keys), "request") as pool:
        taking = [pool.submit(one.take, [line], has_known_end=True) for one in receptions]
        while len(lane.asked) < len(keys):
            pass
        commits.may_go_on.set()
        met = [one.exception(30) for one in taking]
    assert all(isinstance(error, DatabaseUnavailable) for error in met)
    assert commits.number == 1
    assert count(engine) == (0, 0)
    # Each goes on with its key.
    assert [receive(key).take([line], has_known_end=True).accepted for key in keys] == [1] * 12
    assert count(engine) == (12, 12)
