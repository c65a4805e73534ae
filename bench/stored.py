"""A batch that is stored: how long it takes to ask how far it is, and for some of its results.

`python -m bench.stored`: once with a thousand lines and once with a million, on SQLite.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uuid_utils
from sqlalchemy import func, insert, select

from bench.batches import PAUSE_S, Clients, quantiles
from shared import database
from shared.database import now_s, transaction
from shared.models import FAILED, FINISHED, PENDING, Batch, Ecg, Insights, User
from tests.chaos.house import House

ROWS_AT_ONCE = 10_000
FAILED_LINES = 3
DOCUMENT = (
    b'{"ecg_id":"%s","status":"finished","leads":[{"name":"I","number_of_zero_crossings":2,'
    b'"insights":{"zero_crossings":{"version":1,"count":2,"touches":1}}}]}'
)


def store(database_url: str, number: int) -> str:
    """Write a batch of so many lines straight into the database.

    A few have failed, and one in a hundred still waits.
    """
    engine = database.connect(database_url, patience_s=60.0)
    batch_id = str(uuid_utils.uuid7())
    with transaction(engine) as connection:
        user_id = connection.scalar(select(func.max(User.id)))
        now = connection.scalar(select(now_s()))
        connection.execute(
            insert(Batch).values(
                id=batch_id,
                user_id=user_id,
                reception=1,
                last_number=number,
                last_line=number,
                total=number,
                rejected=0,
                finished=number - number // 100 - FAILED_LINES,
                failed=FAILED_LINES,
                created_at_s=now,
                received_at_s=now,
                # Nobody is to work on them meanwhile.
                cancelled_at_s=None,
            )
        )
    row = {
        "user_id": user_id,
        "batch_id": batch_id,
        "created_at_s": now,
        "recorded_at_s": now,
        "baseline": 0.0,
        "leads": '[{"name":"I","number_of_samples":8}]',
        "number_of_leads": 1,
        "request_id": "bench",
        "attempts": 1,
        # Not due for as long as anybody looks.
        "due_at_s": (now or 0.0) + 1e6,
        "rung_at_s": now,
    }
    for start in range(0, number, ROWS_AT_ONCE):
        lines = range(start + 1, min(start + ROWS_AT_ONCE, number) + 1)
        rows = [
            {
                **row,
                "id": str(uuid_utils.uuid7()),
                "line": line,
                "custom_id": f"line {line}",
                "status": _status(line, number),
                "failure": "bench" if line <= FAILED_LINES else None,
            }
            for line in lines
        ]
        documents = [
            {"ecg_id": one["id"], "document": DOCUMENT % str(one["id"]).encode()}
            for one in rows
            if one["status"] == FINISHED
        ]
        with transaction(engine) as connection:
            connection.execute(insert(Ecg), rows)
            if documents:
                connection.execute(insert(Insights), documents)
    engine.dispose()
    return batch_id


def _status(line: int, number: int) -> str:
    if line <= FAILED_LINES:
        return FAILED
    return FINISHED if line <= number - number // 100 else PENDING


def look_at(clients: Clients, batch_id: str, number: int) -> Iterator[str]:
    """How long it takes to ask a batch that is stored how far it is, and for some results."""
    path = f"/batches/{batch_id}"
    nearly_all = max(0, number - number // 100 - 1_000)
    asked = {
        "a poll": path,
        "the list of batches": "/batches",
        "the first results": f"{path}/insights",
        "the first errors": f"{path}/errors",
        "the last 1,000 results": f"{path}/insights?after={nearly_all}",
        "a CSV of the same": f"{path}/insights?format=csv&after={nearly_all}",
        "the page of all ECGs": "/ecgs",
    }
    for what, where in asked.items():
        took_s: list[float] = []
        while len(took_s) < 50:
            began_s = time.perf_counter()
            with clients.http.stream("GET", where, headers=clients.user) as answer:
                # Of what is long, its beginning.
                next(answer.iter_bytes(), b"")
            if answer.status_code == 503:
                # Those that were not heard to their end are still on their way out.
                time.sleep(PAUSE_S)
                continue
            assert answer.status_code == 200, where
            took_s.append(time.perf_counter() - began_s)
        yield f"| {number:,} lines stored: {what}, p50 / p99 | {quantiles(took_s)} |"


def main() -> None:
    """Store, ask, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.stored", description=__doc__)
    parser.add_argument("--stored", nargs="*", type=int, default=[10**3, 10**6])
    for number in parser.parse_args().stored:
        with tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder:
            url = f"sqlite:///{Path(folder) / 'isoline.db'}"
            with House(Path(folder), url) as house:
                clients = Clients(house, small=8, all_insights=False)
                print(*look_at(clients, store(url, number), number), sep="\n")
                clients.http.close()


if __name__ == "__main__":
    main()
