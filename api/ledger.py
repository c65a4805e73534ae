"""Uploads that come at the same time are committed together.

Whoever gets the pen writes down what everybody has handed in by then, with one commit: a commit
costs as much for sixteen as for one, and SQLite lets only one at a time. Nobody is answered before
theirs is durable, and nobody waits when there is no one else. When the database takes nothing, all
who wait hear of it from the first try that was in vain.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from api.rows import due_now
from shared.database import now_s, transaction
from shared.errors import DatabaseUnavailable
from shared.models import Ecg, Signal

MOST_TOGETHER = 16
# How long it is remembered that the database took nothing: nobody may try it again meanwhile.
REFUSED_FOR_S = 15.0

_NOW = select(now_s())
_INSERT_ECG, _INSERT_SIGNAL = insert(Ecg), insert(Signal)


class _Entry:
    """What somebody has handed in, and what became of it."""

    def __init__(self, row: dict[str, Any], encoded: bytes) -> None:
        self.row = row
        self.encoded = encoded
        self.is_written = False
        self.error: Exception | None = None
        # It is settled, or its turn to write down what everybody has handed in.
        self.called = threading.Event()

    @property
    def is_settled(self) -> bool:
        """Whether it is known what became of it."""
        return self.is_written or self.error is not None


class Ledger:
    """The one place where single uploads are written down, and who knows whether that is refused.

    Lines of a batch are written by whoever receives them, in transactions of `writing`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._handed_in: list[_Entry] = []
        self._has_pen = False
        self._refused_at_s = -math.inf

    @property
    def is_refused(self) -> bool:
        """Whether the database took nothing when it was last tried, a moment ago."""
        return time.monotonic() - self._refused_at_s < REFUSED_FOR_S

    def check_since(self, moment_s: float) -> None:
        """Go on unless somebody else has tried in vain since that moment of `time.monotonic`.

        Raises
        ------
        DatabaseUnavailable : who has waited for that need not wait as long once more.
        """
        if self._refused_at_s >= moment_s:
            raise DatabaseUnavailable("The database is not available.")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of whoever takes something in; whether it was refused is remembered.

        Raises
        ------
        DatabaseUnavailable : as `transaction` does.
        """
        try:
            with transaction(self.engine) as connection:
                yield connection
        except DatabaseUnavailable:
            self._refused_at_s = time.monotonic()
            raise
        self._refused_at_s = -math.inf

    def write(self, row: dict[str, Any], encoded: bytes) -> dict[str, Any]:
        """Commit an ecg with its signal; return the row as it was written, with its times.

        Raises
        ------
        IntegrityError : the row contradicts another one; its neighbours are written all the same.
        DatabaseUnavailable : likewise for everybody who has handed something in by then.
        """
        entry = _Entry(row, encoded)
        with self._lock:
            self._handed_in.append(entry)
            is_first, self._has_pen = not self._has_pen, True
        if not is_first:
            entry.called.wait()
        if not entry.is_settled:
            try:
                self._write_together()
            finally:
                self._pass_on(entry)
        error, entry.error = entry.error, None
        if error is None:
            return entry.row
        try:
            raise error
        finally:
            # It knows this frame and those that called it: if one of them knew it, they would keep
            # each other, and the upload, until somebody looks for garbage.
            del error

    def _pass_on(self, mine: _Entry) -> None:
        """Give the pen to whoever has waited for longest."""
        with self._lock:
            if mine in self._handed_in:
                # It has never come to that.
                self._handed_in.remove(mine)
            self._has_pen = bool(self._handed_in)
            if self._handed_in:
                self._handed_in[0].called.set()

    def _write_together(self) -> None:
        """Write down what was handed in first, this thread's at its head, and call whose it was."""
        entries = self._take(MOST_TOGETHER)
        # Whatever ends this thread: nobody waits for it for ever.
        failure: tuple[type[DatabaseUnavailable], str]
        failure = DatabaseUnavailable, "The upload broke off."
        try:
            self._write(entries)
        except DatabaseUnavailable as error:
            failure = type(error), str(error)
            _forget_frames(error)
            # Who has come meanwhile would only wait as long once more, one group after the other.
            entries += self._take()
        finally:
            for entry in entries:
                # It is raised where it was handed in, and by each of them his own.
                if not entry.is_settled:
                    kind, says = failure
                    entry.error = kind(says)
                entry.called.set()

    def _take(self, most: int | None = None) -> list[_Entry]:
        with self._lock:
            taken = self._handed_in[:most]
            del self._handed_in[:most]
        return taken

    def _write(self, entries: Sequence[_Entry]) -> None:
        try:
            with self.writing() as connection:
                now = connection.scalar(_NOW)
                rows = [due_now(entry.row, now, rung_at_s=now) for entry in entries]
                signals = [
                    {"ecg_id": entry.row["id"], "encoded": entry.encoded} for entry in entries
                ]
                connection.execute(_INSERT_ECG, rows)
                connection.execute(_INSERT_SIGNAL, signals)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001
            if isinstance(error, IntegrityError) or len(entries) > 1:
                _forget_frames(error)
            if len(entries) == 1:
                entries[0].error = error
                return
        else:
            for entry, row in zip(entries, rows, strict=True):
                entry.row = row
                entry.is_written = True
            return
        # It does not say whose fault it is.
        for entry in entries:
            self._write([entry])


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what an error was raised in, and those before it.

    SQLAlchemy's frames know its errors, which know these frames, and with them what was to be
    written and the bodies that it came from.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
