"""The lines that earlier requests have brought to a batch, each of which may come again once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, func, select, union_all

from api.uploads import custom_id_of
from shared.database import reading
from shared.models import Ecg, RejectedLine

NAMES_AT_ONCE = 1_000


class Earlier:
    """What there was when a request began, and what of it has come again since."""

    def __init__(self, engine: Engine, batch_id: str, last_number: int) -> None:
        """Look what there is.

        Parameters
        ----------
        last_number : the highest that a line had in the body that brought it; 0 when none has come.
        """
        self._engine = engine
        self._batch_id = batch_id
        self.last_number = last_number
        # The highest that one is stored under, which may stand further behind.
        self.last_line = last_number
        self._unnamed = 0
        if last_number:
            with reading(engine) as connection:
                self.last_line = max(last_number, find_last_line(connection, batch_id))
                self._unnamed = _count_unnamed(connection, batch_id)
        # A byte a line: what is sent again may have a million of them.
        self._came_again = bytearray(self.last_line + 1)
        # What some lines from a number on are called.
        self._names: dict[int, str] = {}
        self._named = range(0)

    def recognise(self, number: int, text: bytes) -> bool:
        """Tick a line off that nobody needs to read, for it stands where it stood.

        Of a body that is sent again these are nearly all. Another one may be known as well, which
        `tick_off` will say.
        """
        if number > self.last_number:
            return False
        custom_id = custom_id_of(text)
        is_there = custom_id is not None and custom_id == self._find_name(number)
        return self.tick_off(number, custom_id, [number] if is_there else [])

    def tick_off(self, number: int, custom_id: str | None, lines: Sequence[int]) -> bool:
        """Whether this line is one of them, which has come again now: each does so once.

        It is known by its name wherever it stands, or else by its number; but no more of them
        without a name than there were.

        Parameters
        ----------
        lines : those that bear its name; as many times as there are of them, it is known.
        """
        if custom_id is None:
            is_known = number <= self.last_number and self._unnamed > 0
            self._unnamed -= is_known
            return is_known
        for line in lines:
            if not self._came_again[line]:
                self._came_again[line] = True
                return True
        return False

    def _find_name(self, number: int) -> str | None:
        if number not in self._named:
            self._named = range(number, number + NAMES_AT_ONCE)
            names = union_all(
                *(
                    select(table.line, table.custom_id)
                    .where(table.batch_id == self._batch_id)
                    .where(table.line.between(number, self._named[-1]))
                    for table in (Ecg, RejectedLine)
                )
            )
            with reading(self._engine) as connection:
                self._names = {row.line: row.custom_id for row in connection.execute(names)}
        return self._names.get(number)


def find_last_line(connection: Connection, batch_id: str) -> int:
    """The highest number that a line of this batch is stored under; 0 when there is none."""
    last = [
        connection.scalar(select(func.max(table.line)).where(table.batch_id == batch_id))
        for table in (Ecg, RejectedLine)
    ]
    return max(line or 0 for line in last)


def _count_unnamed(connection: Connection, batch_id: str) -> int:
    """How many lines of this batch have no name, or none that could be read."""
    counts = [
        connection.scalar(
            select(func.count())
            .select_from(table)
            .where(table.batch_id == batch_id, table.custom_id.is_(None))
        )
        for table in (Ecg, RejectedLine)
    ]
    return sum(count or 0 for count in counts)
