"""Lists, a page at a time: each begins after the last thing seen, however long the list is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct

from api.faults import invalid
from shared.errors import Fault

DEFAULT_LIMIT = 50
MOST = 500
# The longest are usernames.
LONGEST_CURSOR = 64
# A database need not be asked for what no id looks like; NUL would even offend PostgreSQL.
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

T = TypeVar("T")


class Page(Struct, Generic[T]):
    """Some of a list, and where the rest begins (null at its end)."""

    data: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int
    cursor: str | None


def parse_paging(arguments: Mapping[str, str]) -> Paging:
    """Read ?limit and ?cursor; raises `InvalidRequest`."""
    limit = arguments.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= MOST):
        raise invalid([Fault("/query/limit", f"must be a whole number from 1 to {MOST}")])
    cursor = arguments.get("cursor")
    if cursor is not None and not (0 < len(cursor) <= LONGEST_CURSOR and cursor.isprintable()):
        raise invalid([Fault("/query/cursor", "must be the next_cursor of an earlier answer")])
    return Paging(int(limit), cursor)


def check_id_cursor(paging: Paging) -> None:
    """Refuse a cursor that is no id, where lists go by ids; raises `InvalidRequest`."""
    if paging.cursor is not None and not ID.fullmatch(paging.cursor):
        raise invalid([Fault("/query/cursor", "must be the next_cursor of an earlier answer")])
