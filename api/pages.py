"""Lists, a page at a time: each begins after the last thing seen, however long the list is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, Select

from api.faults import invalid
from shared.database import reading
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


def newest_first(
    statement: Select[*tuple[Any, ...]], ids: Any, paging: Paging
) -> Select[*tuple[Any, ...]]:
    """Ask for a page of what goes by ids, which grow; raises `InvalidRequest` for another cursor.

    Parameters
    ----------
    statement : asks for the whole list.
    ids : its column of ids.
    """
    if paging.cursor is not None:
        if not ID.fullmatch(paging.cursor):
            raise invalid([Fault("/query/cursor", "must be the next_cursor of an earlier answer")])
        statement = statement.where(ids < paging.cursor)
    return statement.order_by(ids.desc())


def fetch_page(
    engine: Engine,
    statement: Select[*tuple[Any, ...]],
    paging: Paging,
    read: Callable[[Any], T],
    cursor_of: Callable[[T], str],
) -> Page[T]:
    """Fetch what a statement finds, as much as a page holds, and say where the next one begins.

    Parameters
    ----------
    read : makes of a row what is listed.
    cursor_of : what comes behind this one is the next page.
    """
    with reading(engine) as connection:
        # One more than is given tells whether there is a next page.
        rows = connection.execute(statement.limit(paging.limit + 1)).all()
    found = [read(row) for row in rows[: paging.limit]]
    return Page(found, cursor_of(found[-1]) if len(rows) > paging.limit else None)
