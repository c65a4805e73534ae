"""Lines of a batch that are committed together."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, union_all

from api.ecgs import row_of
from api.faults import invalid
from api.problems import problem_of
from api.uploads import Recording
from api.users import Caller
from shared.database import now_s
from shared.errors import Fault, RequestError
from shared.jobs import LINES_PER_MESSAGE, SAMPLES_PER_MESSAGE
from shared.models import Ecg, RejectedLine, Signal
from shared.signals import encode

# A chunk is full when it has as many lines as a message names, or would keep others waiting for the
# database, or its first line has waited itself.
MOST_BYTES = 2**21
LONGEST_S = 1.0


class Chunk:
    """What will be rows: of ecgs, and of lines that are none."""

    def __init__(self, batch_id: str, caller: Caller, request_id: str) -> None:
        self._batch_id = batch_id
        self._caller = caller
        self._request_id = request_id
        self._began_s = time.monotonic()
        self._samples = 0
        self._size = 0
        self._rows: list[dict[str, Any]] = []
        self._signals: list[dict[str, Any]] = []
        self._rejected: list[dict[str, Any]] = []
        self.last_line = 0

    @property
    def lines(self) -> int:
        """How many there are."""
        return len(self._rows) + len(self._rejected)

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return self.lines > 0 and (
            self.lines >= LINES_PER_MESSAGE
            or self._samples >= SAMPLES_PER_MESSAGE
            or self._size >= MOST_BYTES
            or time.monotonic() - self._began_s > LONGEST_S
        )

    def accept(self, line: int, recording: Recording) -> None:
        """Add an ecg."""
        row = row_of(recording, self._caller, self._request_id)
        encoded = encode(recording.leads)
        in_batch = {"batch_id": self._batch_id, "line": line, "custom_id": recording.custom_id}
        # Not rung for: whose turn it is, is another matter.
        self._rows.append({**row, **in_batch, "rung_at_s": 0.0})
        self._signals.append({"ecg_id": row["id"], "encoded": encoded})
        self._samples += row["number_of_samples"]
        self._size += len(encoded)
        self._begin_or_go_on(line)

    def reject(self, line: int, custom_id: str | None, error: RequestError) -> None:
        """Add a line that is no ecg, and why."""
        self._rejected.append(self._rejection(line, custom_id, error))
        self._begin_or_go_on(line)

    def _begin_or_go_on(self, line: int) -> None:
        if self.lines == 1:
            self._began_s = time.monotonic()
        self.last_line = line

    def _rejection(self, line: int, custom_id: str | None, error: RequestError) -> dict[str, Any]:
        problem = msgspec.json.encode(problem_of(error, self._request_id)).decode()
        in_batch = {"batch_id": self._batch_id, "line": line, "custom_id": custom_id}
        return {**in_batch, "problem": problem}

    def store(self, connection: Connection) -> int:
        """Write the rows; return how many of the lines are rejected."""
        names = [row["custom_id"] for row in self._rows if row["custom_id"] is not None]
        taken = find_taken(connection, self._batch_id, names)
        now = connection.scalar(select(now_s()))
        rows, signals, rejected = [], [], [*self._rejected]
        for row, signal in zip(self._rows, self._signals, strict=True):
            if row["custom_id"] in taken:
                error = invalid([Fault("/custom_id", "is that of an earlier line")])
                rejected.append(self._rejection(row["line"], row["custom_id"], error))
                continue
            if row["custom_id"] is not None:
                taken.add(row["custom_id"])
            times = {"created_at_s": now, "due_at_s": now}
            if row["recorded_at_s"] is None:
                times["recorded_at_s"] = now
            rows.append({**row, **times})
            signals.append(signal)
        for table, new in ((Ecg, rows), (Signal, signals), (RejectedLine, rejected)):
            if new:
                connection.execute(insert(table), new)
        return len(rejected)


def find_taken(connection: Connection, batch_id: str, names: list[str]) -> set[str]:
    """Which of these names lines of this batch bear already."""
    if not names:
        return set()
    ecgs = select(Ecg.custom_id).where(Ecg.batch_id == batch_id, Ecg.custom_id.in_(names))
    rejected = select(RejectedLine.custom_id).where(
        RejectedLine.batch_id == batch_id, RejectedLine.custom_id.in_(names)
    )
    return set(connection.scalars(union_all(ecgs, rejected)))
