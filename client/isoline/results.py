"""What a batch has brought, while it comes; when the connection is cut, on from the last line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from isoline.answers import ErrorLine, Insights
from isoline.errors import Unavailable, Unreachable
from isoline.transport import Transport, decoded

L = TypeVar("L", Insights, ErrorLine)

# How results end that a server could not read to their end: a problem, or a row that is none.
CUT_LINE, CUT_ROW = '{"type":', b"cut"
CUT = "The server could not read the results to their end."


def lines(transport: Transport, path: str, kind: type[L], after: int) -> Iterator[L]:
    """Line after line."""
    decoder = msgspec.json.Decoder(kind)
    patience = transport.patience()
    while True:
        try:
            params = {"format": "ndjson", "after": str(after)}
            with transport.streamed(path, params) as response:
                for text in filter(None, response.iter_lines()):
                    if text.startswith(CUT_LINE):
                        raise Unavailable(CUT, status=503, kind="unavailable")
                    line = decoded(decoder, text, response)
                    after = line.line or after
                    patience.begin_anew()
                    yield line
            return
        except (Unreachable, Unavailable) as error:
            patience.pause(error)


def table(
    transport: Transport, path: str, after: int, columns: str | None = None
) -> Iterator[bytes]:
    """The rows of a table, those of one line together: of a line that was cut, none.

    Parameters
    ----------
    columns : as `header_digest` names the header that it goes on below; without them it has one.
    """
    patience = transport.patience()
    while True:
        held, number = b"", after
        below = {"columns": columns} if columns else {}
        try:
            with transport.streamed(
                path, {"format": "csv", "after": str(after), **below}
            ) as response:
                for row in rows_of(response.iter_bytes()):
                    first = row.partition(b",")[0]
                    if first == CUT_ROW:
                        raise Unavailable(CUT, status=503, kind="unavailable")
                    if not first.isdigit():
                        columns = header_digest(row)
                        yield row
                        continue
                    if held and int(first) != number:
                        whole, held, after = held, b"", number
                        patience.begin_anew()
                        yield whole
                    number = int(first)
                    held += row
            if held:
                yield held
            return
        except (Unreachable, Unavailable) as error:
            patience.pause(error)


def header_digest(header: bytes) -> str:
    """What a server knows the columns by that this row is the header of."""
    return hashlib.sha256(header.rstrip()).hexdigest()[:16]


def rows_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a table into its rows; a line break between quotes ends none."""
    row, rest = b"", b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for part in whole:
            row += part + b"\n"
            if row.count(b'"') % 2 == 0:
                yield row
                row = b""
