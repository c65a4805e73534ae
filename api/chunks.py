"""Lines of a batch that are committed together."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from api.earlier import Earlier
from api.faults import invalid
from api.problems import problem_of
from api.rows import due_now, row_of
from api.uploads import Recording
from api.users import Caller
from shared.database import now_s
from shared.errors import Fault, RequestError
from shared.jobs import LINES_PER_MESSAGE, WEIGHT_PER_MESSAGE, weight_of
from shared.models import Ecg, RejectedLine, Signal
from shared.signals import encode

# A chunk is full when it has as many lines as a message names, or would keep others waiting for the
# database.
MOST_BYTES = 2**21
_NONE = array("I")
_INSERT = insert(Ecg), insert(Signal), insert(RejectedLine)


@dataclass(frozen=True)
class Stored:
    """What became of the lines of a chunk."""

    lines: int
    rejected: int
    unnamed: int
    # Of an earlier request, and therefore not stored again.
    known: int
    # The highest number that a line had in its body, and the highest that one is stored under.
    last_number: int
    last_line: int


@dataclass(frozen=True)
class _Line:
    """A line, and either the rows that it is to become or the reason why it becomes none."""

    number: int
    custom_id: str | None
    row: dict[str, Any]
    encoded: bytes
    problem: str | None


class Chunk:
    """What will be rows: of ecgs, and of lines that are none."""

    def __init__(self, batch_id: str, caller: Caller, request_id: str) -> None:
        self._batch_id = batch_id
        self._caller = caller
        self._request_id = request_id
        self._weight = 0
        self._size = 0
        self._lines: list[_Line] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._lines

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return not self.is_empty and (
            len(self._lines) >= LINES_PER_MESSAGE
            or self._weight >= WEIGHT_PER_MESSAGE
            or self._size >= MOST_BYTES
        )

    def accept(self, number: int, recording: Recording) -> None:
        """Add an ecg."""
        row = row_of(recording, self._caller, self._request_id)
        encoded = encode(recording.leads)
        self._weight += weight_of(row["number_of_samples"], row["number_of_leads"])
        self._size += len(encoded)
        self._lines.append(_Line(number, recording.custom_id, row, encoded, None))

    def reject(self, number: int, custom_id: str | None, error: RequestError) -> None:
        """Add a line that is no ecg, and why."""
        # Now, and not while others wait for the database.
        self._lines.append(_Line(number, custom_id, {}, b"", self._problem(error)))

    def _problem(self, error: RequestError) -> str:
        return msgspec.json.encode(problem_of(error, self._request_id)).decode()

    def store(self, connection: Connection, earlier: Earlier, last_line: int) -> Stored:
        """Write the rows of what is new.

        Parameters
        ----------
        earlier : what has come with other requests.
        last_line : the highest number that is taken: of a body that has been added to, the new
            lines stand behind all that have come.
        """
        names = {line.custom_id for line in self._lines if line.custom_id is not None}
        taken = earlier.taken(connection, names)
        brought = earlier.lines_of(connection, taken)
        now = connection.scalar(select(now_s()))
        rows, signals, rejected = [], [], []
        last_number = unnamed = 0
        for line in self._lines:
            if earlier.tick_off(line.number, line.custom_id, brought.get(line.custom_id, _NONE)):
                continue
            problem = line.problem
            if problem is None and line.custom_id in taken:
                fault = Fault("/custom_id", "is that of an earlier line")
                problem = self._problem(invalid([fault]))
            if line.custom_id is not None:
                taken.add(line.custom_id)
            else:
                unnamed += 1
            last_number, last_line = line.number, max(line.number, last_line + 1)
            where = {"batch_id": self._batch_id, "line": last_line, "custom_id": line.custom_id}
            if problem is not None:
                rejected.append({**where, "problem": problem})
                continue
            # Not rung for: whose turn it is, is another matter.
            rows.append(due_now({**line.row, **where}, now, rung_at_s=0.0))
            signals.append({"ecg_id": line.row["id"], "encoded": line.encoded})
        for statement, new in zip(_INSERT, (rows, signals, rejected), strict=True):
            if new:
                connection.execute(statement, new)
        new_lines = len(rows) + len(rejected)
        known = len(self._lines) - new_lines
        return Stored(new_lines, len(rejected), unnamed, known, last_number, last_line)
