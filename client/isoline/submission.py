"""Sending a batch: as a stream, and again from its beginning when the connection is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isoline.answers import Batch
from isoline.errors import Interrupted, IsolineError
from isoline.lines import Items, begun, made, packed
from isoline.retries import PASSING
from isoline.transport import Transport, read

NDJSON = "application/x-ndjson"


def submit(
    transport: Transport,
    items: Items,
    key: str,
    compression: int,
    on_sent: Callable[[int], None] | None,
) -> Batch:
    """Send items as one batch; raises `Interrupted` where a line cannot be made, or only an
    iterator was given and the connection is cut. Whatever is raised bears the key.
    """
    headers = {
        "Content-Type": NDJSON,
        # Compressed or not, what is gzip knows its end: a cut is never taken for it.
        "Content-Encoding": "gzip",
        "Idempotency-Key": key,
    }

    sent, furthest = 0, 0

    def count(number: int) -> None:
        nonlocal sent
        sent = number
        if on_sent is not None:
            on_sent(number)

    def has_got_further() -> bool:
        nonlocal furthest
        before, furthest = furthest, max(furthest, sent)
        return sent > before

    def send() -> Batch:
        nonlocal sent
        sent = 0
        content = packed(made(begun(items, key), key), compression, count)
        try:
            response = transport.exchange("POST", "/batches", content=content, headers=headers)
        except Interrupted as error:
            # On the way through httpcore it lost what it came from.
            raise error from error.__context__
        return read(response, Batch)

    with _bearing(key):
        if callable(items) or isinstance(items, list | tuple):
            return transport.insist(send, has_got_further)
        try:
            return send()
        except PASSING as error:
            raise Interrupted(f"{error} Send it again to go on.", idempotency_key=key) from error


@contextmanager
def _bearing(key: str) -> Iterator[None]:
    """Have every error tell the key: whoever chose none would have no other way to go on."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, IsolineError):
            error.idempotency_key = key
        # For the reader of a traceback, and of what is no error of ours: Ctrl-C.
        error.add_note(f"The Idempotency-Key of this batch is {key}.")
        raise
