"""Takes a batch in, line by line: rows are committed a chunk at a time, and rung for at once.

Whatever cuts the body short, what was committed stays, and a request with the same Idempotency-Key
goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy.exc import IntegrityError

from api.batches import Batch, batch_of, describe
from api.chunks import Chunk
from api.earlier import Earlier
from api.ledger import Ledger
from api.lines import Line
from api.meanwhile import meanwhile
from api.open_batch import OpenBatch
from api.uploads import BatchLine, custom_id_of, parse
from api.users import Caller
from shared.errors import (
    MalformedRequest,
    Overloaded,
    RequestError,
    TooLarge,
)
from shared.jobs import BULK
from shared.turns import take_turn

MOST_LINES = 1_000_000
LOOK_EVERY_S = 0.25
# What has come is stored although a chunk is not full, once its sender was waited for so long.
LONGEST_S = 1.0


class Received(Batch, kw_only=True):
    """What became of the lines of a batch."""

    total: int
    accepted: int
    rejected: int
    known: Annotated[
        int,
        Meta(description="How many of this request's lines had come with an earlier one already."),
    ]


class Reception:
    """One request that feeds a batch: a new one, or the one that has this Idempotency-Key."""

    def __init__(
        self,
        ledger: Ledger,
        caller: Caller,
        *,
        key: str | None,
        request_id: str,
        most_bytes: int,
        ring: Callable[[Sequence[str], str], None],
        lane: AbstractContextManager[Any],
    ) -> None:
        """Open the batch.

        Parameters
        ----------
        most_bytes : bound of a line.
        ring : what to do with the ids that are to be named by a message, and the name of its queue.
        lane : is held while a line is worked on, so that single uploads compete with one batch and
            not with all of them.

        Raises
        ------
        BatchCancelled : the batch with this key.
        """
        self._ledger = ledger
        self._caller = caller
        self._request_id = request_id
        self._most_bytes = most_bytes
        self._ring = ring
        self._lane = lane
        self._known = 0
        self._batch = OpenBatch(ledger, caller, key)
        self.batch_id: str = self._batch.row.id
        self._earlier = Earlier(ledger.engine, self._batch.row)
        self._last_line = self._earlier.last_line
        self._chunk = self._new_chunk()
        # For how long the sender was waited for since the chunk's first line, and since when it is.
        self._awaited_s = 0.0
        self._waits_since_s: float | None = None
        self._failure: Exception | None = None

    def take(self, lines: Iterable[Line], *, has_known_end: bool) -> Received:
        """Store the lines as they come, and close the batch after the last one.

        Parameters
        ----------
        lines : none of them empty.
        has_known_end : whether `lines` raises when the body is cut; when it cannot know, a last
            line that is no JSON and lacks its end is a sign of it.

        Raises
        ------
        BatchCancelled, BatchTakenOver : meanwhile.
        DatabaseUnavailable : it took nothing, from this request or the one before it on the lane.
        MalformedRequest, TooSlow, … : what `lines` raises; what came before is committed then.
        """
        with meanwhile(self._commit_what_waits, LOOK_EVERY_S):
            try:
                for line in self._as_they_come(lines):
                    with self._on_the_lane():
                        self._add(line, is_perhaps_cut=not (line.is_whole or has_known_end))
                    if self._is_due:
                        self._commit()
            except (RequestError, Overloaded):
                # What came before a fault is stored before that is said.
                self._commit()
                raise
            self._commit()
        return self._close()

    def _as_they_come(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines, while it is noted how long each is waited for.

        Waiting for the lane is no reason to store what there is: the more batches come, the fewer
        lines each of them would store at a time, and the longer would all of them take.
        """
        coming = iter(lines)
        while True:
            since_s = self._waits_since_s = time.monotonic()
            line = next(coming, None)
            self._waits_since_s = None
            if line is None:
                return
            waited_s = time.monotonic() - since_s
            self._awaited_s = 0.0 if self._chunk.is_empty else self._awaited_s + waited_s
            yield line

    @property
    def _is_due(self) -> bool:
        since_s = self._waits_since_s
        waiting_s = 0.0 if since_s is None else time.monotonic() - since_s
        is_late = not self._chunk.is_empty and self._awaited_s + waiting_s > LONGEST_S
        return self._chunk.is_full or is_late

    def _commit_what_waits(self) -> None:
        """Store what came a moment ago although nothing follows: its sender may be silent."""
        if self._is_due:
            # The thread that answers raises it, once it has the next line.
            with suppress(Exception):
                self._commit()

    @contextmanager
    def _on_the_lane(self) -> Iterator[None]:
        """Work on a line, or store some, while no other batch does."""
        asked_s = time.monotonic()
        with self._lane:
            # Whom the database keeps waiting holds the lane meanwhile: the others do not do the
            # same one after the other.
            self._ledger.check_since(asked_s)
            if self._failure is not None:
                # Without the lines that could not be stored none behind them may be.
                raise self._failure
            yield

    def _new_chunk(self) -> Chunk:
        return Chunk(self.batch_id, self._caller, self._request_id)

    def _add(self, line: Line, *, is_perhaps_cut: bool) -> None:
        # Of all requests together, but for the chunk that is being filled.
        if max(line.number, self._last_line) > MOST_LINES:
            raise TooLarge(f"A batch has no more than {MOST_LINES} lines.")
        try:
            if not is_perhaps_cut and self._earlier.recognise(line.number, line.text):
                self._known += 1
                return
            if line.text is None:
                raise TooLarge(f"The line is longer than {self._most_bytes} bytes.")
            recording = parse(line.text, BatchLine)
        except RequestError as error:
            if is_perhaps_cut and isinstance(error, MalformedRequest | TooLarge):
                raise MalformedRequest(
                    f"The body ended within line {line.number}, which is not JSON so far."
                ) from None
            self._chunk.reject(line.number, custom_id_of(line.text) if line.text else None, error)
        else:
            self._chunk.accept(line.number, recording)

    def _commit(self) -> None:
        with self._on_the_lane():
            chunk, self._chunk = self._chunk, self._new_chunk()
            try:
                self._store(chunk)
            except Exception as error:
                self._failure = error
                raise

    def _store(self, chunk: Chunk) -> None:
        if chunk.is_empty:
            return
        turn: list[str] = []
        try:
            with self._ledger.writing() as connection:
                stored = chunk.store(connection, self._earlier, self._last_line)
                if stored.lines:
                    up_to_number = max(stored.last_number, self._earlier.last_number)
                    self._batch.count(connection, stored, up_to_number)
                    turn = take_turn(connection, self._caller.user_id)
        except IntegrityError:
            # What is unique was not: another request with this key, or the user was erased.
            raise self._batch.why_lost() from None
        self._known += stored.known
        self._last_line = stored.last_line
        if turn:
            self._ring(turn, BULK)

    def _close(self) -> Received:
        with self._ledger.writing() as connection:
            self._batch.close(connection)
            row = batch_of(connection, self._caller, self.batch_id)
        return Received(
            **msgspec.structs.asdict(describe(row)),
            total=row.total,
            accepted=row.total - row.rejected,
            rejected=row.rejected,
            known=self._known,
        )
