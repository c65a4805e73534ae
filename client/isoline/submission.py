"""Sending a batch: as a stream, and again from its beginning when the connection is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isoline.answers import Batch
from isoline.errors import Interrupted, IsolineError
from isoline.lines import Item, Items, begun, made, packed
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
    iterator was given, by a function as well, and the connection is cut. Whatever is raised bears
    the key.
    """
    headers = {
        "Content-Type": NDJSON,
        # Compressed or not, what is gzip knows its end: a cut is never taken for it.
        "Content-Encoding": "gzip",
        "Idempotency-Key": key,
    }

    sent, furthest = 0, 0
    before: Iterator[Item] | None = None
    cut: Exception | None = None

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
        nonlocal sent, before, cut
        sent = 0
        coming = begun(items, key)
        if coming is before:
            # What is left of it would be taken for all there is.
            raise Interrupted(
                f"{cut} It cannot be sent again: the function has given the same iterator as "
                f"before, and must make a new one each time. With the same key, here {key}, the "
                "batch goes on.",
                idempotency_key=key,
            ) from cut
        before = coming
        content = packed(made(coming, key), compression, count)
        try:
            response = transport.exchange("POST", "/batches", content=content, headers=headers)
        except Interrupted as error:
            # On the way through httpcore it lost what it came from.
            raise error from error.__context__
        except PASSING as error:
            cut = error
            raise
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
