"""The lines that a batch has already: each may come again once, and no other bear its name."""

from __future__ import annotations

from array import array
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, union, union_all

from api.uploads import custom_id_of
from shared.database import reading
from shared.models import Ecg, RejectedLine

NAMES_AT_ONCE = 1_000
# Where the lines of a name stand is remembered when so many bear it: of fewer, a chunk reads no
# more than it has lines.
MANY = 64
# So many names that are taken are remembered: more would only be looked for again.
MOST_TAKEN = 10_000


class Earlier:
    """What there was when a request began, and what of it has come again since."""

    def __init__(self, engine: Engine, batch: Any) -> None:
        """Remember how far the batch had come.

        Parameters
        ----------
        batch : the row, as it was then.
        """
        self._engine = engine
        self._batch_id = batch.id
        self.last_number: int = batch.last_number
        self.last_line: int = batch.last_line
        self._unnamed: int = batch.unnamed
        # A byte a line: what is sent again may have a million of them.
        self._came_again = bytearray(self.last_line + 1)
        # What some lines from a number on are called.
        self._names: dict[int, str] = {}
        self._named = range(0)
        # Where lines stand whose name many bear, as far as they have not come again.
        self._many: dict[str | None, array[int]] = {}
        self._taken: set[str] = set()

    def recognise(self, number: int, text: bytes | None) -> bool:
        """Tick a line off that nobody needs to read, for it stands where it stood.

        Of a body that is sent again these are nearly all. Another one may be known as well, which
        `tick_off` will say.

        Parameters
        ----------
        text : None of a line that is too long to be one; those without a name are ticked off in
            their order, or one would be taken for another.
        """
        if number > self.last_number:
            return False
        custom_id = custom_id_of(text) if text is not None else None
        is_there = custom_id is not None and custom_id == self._find_name(number)
        return self.tick_off(number, custom_id, array("I", [number] if is_there else []))

    def taken(self, connection: Connection, names: set[str]) -> set[str]:
        """Which of these names lines of the batch bear, whichever request has brought them.

        What is found is not looked for again: when all lines of a request bear one name, each chunk
        would read more of them while others wait for the database.
        """
        known = names & self._taken
        found = find_names(connection, self._batch_id, names - known)
        if len(self._taken) > MOST_TAKEN:
            self._taken.clear()
        self._taken |= found
        return known | found

    def lines_of(self, connection: Connection, names: set[str]) -> dict[str | None, array[int]]:
        """Where the lines stand that bear these names, as far as they are not ticked off.

        Those of a name that many bear are read once: when all lines of a request bear it, every
        chunk asks for it.
        """
        unread = names - self._many.keys()
        found = find_lines(connection, self._batch_id, unread, self.last_line)
        self._many |= {name: lines for name, lines in found.items() if len(lines) > MANY}
        return {name: self._many.get(name) or found.get(name, array("I")) for name in names}

    def tick_off(self, number: int, custom_id: str | None, lines: array[int]) -> bool:
        """Whether this line is one of them, which has come again now: each does so once.

        It is known by its name wherever it stands, or else by its number; but no more of them
        without a name than there were.

        Parameters
        ----------
        lines : those that bear its name; as many times as there are of them, it is known, and
            those that have come again are taken out.
        """
        if custom_id is None:
            is_known = number <= self.last_number and self._unnamed > 0
            self._unnamed -= is_known
            return is_known
        while lines:
            line = lines.pop()
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


# Put together once: others wait for the database meanwhile.
_NAMES = union(
    *(
        select(table.custom_id)
        .where(table.batch_id == bindparam("of_batch"))
        .where(table.custom_id.in_(bindparam("names", expanding=True)))
        for table in (Ecg, RejectedLine)
    )
)


def find_names(connection: Connection, batch_id: str, names: set[str]) -> set[str]:
    """Which of these names lines of this batch bear, by looking at all that bear them."""
    if not names:
        return set()
    return set(connection.scalars(_NAMES, {"of_batch": batch_id, "names": list(names)}))


def find_lines(
    connection: Connection, batch_id: str, names: set[str], last_line: int
) -> dict[str | None, array[int]]:
    """Which lines bear each of these names; none behind the last line."""
    lines: dict[str | None, array[int]] = {name: array("I") for name in names}
    if not names or not last_line:
        return lines
    found = union_all(
        *(
            select(table.custom_id, table.line)
            .where(table.batch_id == batch_id, table.custom_id.in_(names))
            .where(table.line <= last_line)
            for table in (Ecg, RejectedLine)
        )
    )
    for custom_id, line in connection.execute(found):
        lines[custom_id].append(line or 0)
    return lines
