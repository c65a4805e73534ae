"""Lists, a page at a time: each begins after the last thing seen, however long the list is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, GenerativeSelect, Integer, Select, bindparam, select, union_all

from api.faults import invalid
from shared.database import reading
from shared.errors import Fault

DEFAULT_LIMIT = 50
MOST = 500
# The longest are usernames.
LONGEST_CURSOR = 64
# A database need not be asked for what no id looks like; NUL would even offend PostgreSQL.
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Where the first page of the newest begins.
BEYOND_EVERY_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
# What `fetch_page` binds: how much of a list it asks for.
MOST_ROWS = bindparam("most_rows", type_=Integer)

T = TypeVar("T")
Rows = TypeVar("Rows", bound=GenerativeSelect)


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


def newest_first(*lists: Select[*tuple[Any, ...]]) -> GenerativeSelect:
    """Ask for a page of what goes by `id`, which grows: for what comes after `cursor`.

    Parameters
    ----------
    lists : each asks for a part of the whole list. By an index a page of each is walked to, and
        they are merged: one list of all these would be sifted from its beginning, or sorted.
    """
    walks = [
        _newest_of(part.where(part.selected_columns.id < bindparam("cursor"))) for part in lists
    ]
    if len(walks) == 1:
        return walks[0]
    return _newest_of(union_all(*(select(walk.subquery()) for walk in walks)))


def _newest_of(rows: Rows) -> Rows:
    return rows.order_by(rows.selected_columns.id.desc()).limit(MOST_ROWS)


def id_before(paging: Paging) -> str:
    """Where a page of `newest_first` begins; raises `InvalidRequest` for another list's cursor."""
    if paging.cursor is None:
        return BEYOND_EVERY_ID
    if not ID.fullmatch(paging.cursor):
        raise invalid([Fault("/query/cursor", "must be the next_cursor of an earlier answer")])
    return paging.cursor


def fetch_page(
    engine: Engine,
    statement: Any,
    asked: Mapping[str, Any],
    paging: Paging,
    read: Callable[[Any], T],
    cursor_of: Callable[[T], str],
) -> Page[T]:
    """Fetch what a statement finds, as much as a page holds, and say where the next one begins.

    Parameters
    ----------
    statement : asks for what comes after `cursor`, `MOST_ROWS` of it; put together once, since that
        takes longer than to answer it.
    asked : what is bound to it, the cursor among it.
    read : makes of a row what is listed.
    cursor_of : what comes behind this one is the next page.
    """
    with reading(engine) as connection:
        # One more than is given tells whether there is a next page.
        rows = connection.execute(statement, {**asked, "most_rows": paging.limit + 1}).all()
    found = [read(row) for row in rows[: paging.limit]]
    return Page(found, cursor_of(found[-1]) if len(rows) > paging.limit else None)
