"""PostgreSQL dies while results are on their way out: nobody takes what has come for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

import httpx
import pytest

from api import exports
from isoline import Client, results
from tests.chaos.house import House
from tests.databases import PostgreSql, open_postgresql_server

LINES, LEADS = 1_200, 30
# So long that what is on its way out is more than all buffers between API and client hold: the
# API still has most of it to read when the first line is here.
NAME = "\N{HEAVY BLACK HEART}" * 120
SIGNAL = {"signal": [1, -1, 1]}
LINE = json.dumps({"leads": [{"name": f"{NAME} {n}", **SIGNAL} for n in range(LEADS)]}).encode()
EVERY_LINE = list(range(1, LINES + 1))


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    with open_postgresql_server() as server:
        yield server


@pytest.fixture(scope="module")
def house(postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("a house")
    with House(folder, postgresql.url, postgresql=postgresql) as house:
        yield house


@pytest.fixture(scope="module")
def token(house: House) -> str:
    with house.client() as client:
        return house.register(client, "ada")


@pytest.fixture(scope="module")
def batch_id(house: House, token: str) -> str:
    """A batch of which every line is finished."""
    with Client(house.url, token) as isoline:
        batch = isoline.submit_batch([LINE] * LINES)
        batch = isoline.wait_for_batch(batch.id, timeout_s=120)
    assert batch.counts.finished == LINES
    return batch.id


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_whoever_takes_results_is_told_that_they_are_cut(
    postgresql: PostgreSql, house: House, token: str, batch_id: str, form: str
) -> None:
    address = f"{house.url}/batches/{batch_id}/insights?format={form}"
    headers = {"x-user-token": token}
    with httpx.stream("GET", address, headers=headers, timeout=60) as answer:
        lines = answer.iter_lines()
        first = next(lines)
        postgresql.crash()
        *some, last = chain([first], lines)
    postgresql.start()
    if form == "csv":
        _header, *rows = some
        assert last == f"cut,{exports.CUT}"
        numbers = [int(row.partition(",")[0]) for row in rows]
        assert numbers == of_every_lead(EVERY_LINE)[: len(rows)]
        # The rows of a line come together, or not at all.
        assert len(rows) % LEADS == 0
    else:
        problem = json.loads(last)
        assert (problem["type"], problem["detail"]) == ("/problems/unavailable", exports.CUT)
        numbers = [json.loads(line)["line"] for line in some]
        assert numbers == EVERY_LINE[: len(some)]
    assert 0 < numbers[-1] < LINES


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_the_client_goes_on_and_has_every_line_once(
    postgresql: PostgreSql, house: House, token: str, batch_id: str, form: str
) -> None:
    heard: list[str] = []

    def hear(error: Exception, _: float) -> None:
        heard.append(str(error))
        # It comes back once the client has asked in vain, too.
        if len(heard) == 2:
            postgresql.start()

    with Client(house.url, token, on_retry=hear) as isoline:
        if form == "csv":
            pieces = isoline.batch_csv(batch_id)
            header = next(pieces)
            postgresql.crash()
            rows = [row for piece in pieces for row in piece.splitlines()]
            assert header not in rows
            numbers = [int(row.partition(b",")[0]) for row in rows]
            assert numbers == of_every_lead(EVERY_LINE)
        else:
            lines = isoline.batch_insights(batch_id)
            first = next(lines)
            postgresql.crash()
            assert [line.line for line in chain([first], lines)] == EVERY_LINE
    assert heard[0] == results.CUT
    assert len(heard) >= 2


def of_every_lead(lines: list[int]) -> list[int]:
    """The lines of the rows of a table."""
    return [line for line in lines for _ in range(LEADS)]
