"""Sending a batch: as a stream, and again from its beginning when the connection is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from isoline.answers import Batch
from isoline.errors import Interrupted
from isoline.lines import Item, Items, made, packed
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
    iterator was given and the connection is cut.
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
        again: Iterable[Item] = items() if callable(items) else items
        content = packed(made(again, key), compression, count)
        try:
            response = transport.exchange("POST", "/batches", content=content, headers=headers)
        except Interrupted as error:
            # On the way through httpcore it lost what it came from.
            raise error from error.__context__
        return read(response, Batch)

    if callable(items) or isinstance(items, list | tuple):
        return transport.insist(send, has_got_further)
    try:
        return send()
    except PASSING as error:
        raise Interrupted(f"{error} Send it again to go on.", idempotency_key=key) from error
