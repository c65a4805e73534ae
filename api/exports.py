"""What a batch has brought, line by line: as NDJSON, or as CSV for a spreadsheet.

Everything is given in the order of the lines, and no further than to the first one that has not
ended: whoever asks again for what comes `after` the last line they have got misses none.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from api.batches import batch_of, is_any_pending
from api.catalogue import Definition, find_catalogue
from api.polls import Finished, LeadInsights, Said
from api.problems import ANALYSIS_FAILED, Problem, make_problem, problem_of
from api.tables import Cell, as_csv
from api.users import Caller
from shared.database import reading
from shared.errors import DependencyError
from shared.models import FAILED, FINISHED, Ecg, Insights, RejectedLine
from shared.states import IS_OPEN_LINE

ROWS_AT_ONCE = 64
PIECE = 64 * 1024

Format = Literal["ndjson", "csv"]
CUT = "The rest could not be read: ask again for what comes after the last line that has come."

_IN_BATCH = ("line", "custom_id")


class FinishedLine(Struct, tag_field="status", tag="finished", kw_only=True):
    """The insights of one line of a batch."""

    line: int
    custom_id: str | None
    ecg_id: str
    leads: list[LeadInsights]
    insights: Said = {}


class ErrorLine(Struct):
    """Why a line of a batch has no insights: it is no ECG, or its analysis failed."""

    line: int
    custom_id: str | None
    ecg_id: str | None
    verdict: Literal["rejected", "failed"]
    problem: Problem


def export_insights(
    engine: Engine,
    caller: Caller,
    batch_id: str,
    *,
    after: int,
    form: Format,
    columns: str | None = None,
) -> Iterator[bytes]:
    """Give the insights of every line that has finished.

    Parameters
    ----------
    columns : the digest of the header that a table goes on below.

    Raises
    ------
    NotFound, ColumnsChanged : at once.
    """
    end, _ = _find_end(engine, caller, batch_id, after)
    statement = (
        select(Ecg.line, Ecg.custom_id, Ecg.id.label("ecg_id"), Insights.document)
        .join(Insights, Insights.ecg_id == Ecg.id)
        .where(Ecg.batch_id == batch_id, Ecg.status == FINISHED)
        .where(Ecg.line < end)
    )
    rows = _walk(engine, statement, Ecg.line, after)
    if form == "ndjson":
        return _together(map(_as_json, rows))
    definitions = find_catalogue(engine).data
    header = [*_IN_BATCH, "ecg_id", "lead", "name", *_columns(definitions)]
    cells = (cells for row in rows for cells in _lead_cells(row, definitions))
    return _together(as_csv(header, columns, cells))


def export_errors(
    engine: Engine,
    caller: Caller,
    batch_id: str,
    *,
    after: int,
    form: Format,
    columns: str | None = None,
) -> Iterator[bytes]:
    """Give every line that was rejected or has failed; for the rest see `export_insights`."""
    end, most_failed = _find_end(engine, caller, batch_id, after)
    failed = (
        select(Ecg.line, Ecg.custom_id, Ecg.id, Ecg.failure, Ecg.request_id)
        .where(Ecg.batch_id == batch_id, Ecg.status == FAILED)
        .where(Ecg.line < end)
    )
    rejected = (
        select(RejectedLine.line, RejectedLine.custom_id, RejectedLine.problem)
        .where(RejectedLine.batch_id == batch_id)
        .where(RejectedLine.line < end)
    )
    lines = heapq.merge(
        map(_failed, _walk(engine, failed, Ecg.line, after, most_failed)),
        map(_rejected, _walk(engine, rejected, RejectedLine.line, after)),
        key=lambda one: one.line,
    )
    if form == "ndjson":
        return _together(_line_of(msgspec.json.encode(line)) for line in lines)
    header = [*_IN_BATCH, "ecg_id", "verdict", "type", "detail", "errors"]
    return _together(as_csv(header, columns, map(_error_cells, lines)))


def cut_short(form: Format, request_id: str) -> bytes:
    """What results end with that could not be read to their end, and that is none of them.

    The status is sent long ago, and the server ends every body as if it were whole.
    """
    if form == "csv":
        return f"cut,{CUT}\r\n".encode()
    problem = problem_of(DependencyError(CUT), request_id)
    return msgspec.json.encode(problem) + b"\n"


def _find_end(engine: Engine, caller: Caller, batch_id: str, after: int) -> tuple[int, int]:
    """The first line that has not ended, or has not come; and how many before it have failed."""
    with reading(engine) as connection:
        # First: whatever comes from now on stands behind it, and is for whoever asks again.
        last = batch_of(connection, caller, batch_id).last_line
        # And then whether any of those waits.
        waiting = None
        if is_any_pending(batch_of(connection, caller, batch_id)):
            waiting = connection.scalar(
                select(Ecg.line)
                .where(Ecg.batch_id == batch_id, Ecg.line > after, Ecg.line <= last)
                .where(IS_OPEN_LINE)
                .order_by(Ecg.line)
                .limit(1)
            )
        # At last, since until now some may have failed.
        most_failed = batch_of(connection, caller, batch_id).failed
    return last + 1 if waiting is None else int(waiting), most_failed


def _walk(
    engine: Engine,
    statement: Select[*tuple[Any, ...]],
    line: InstrumentedAttribute[Any],
    after: int,
    most: int = sys.maxsize,
) -> Iterator[Any]:
    """The rows in the order of their lines; between pages nothing is held open.

    Parameters
    ----------
    most : how many there may be: what is rare is not looked for behind the last one.
    """
    while most > 0:
        at_once = min(ROWS_AT_ONCE, most)
        page = statement.where(line > after).order_by(line).limit(at_once)
        with reading(engine) as connection:
            rows = connection.execute(page).all()
        yield from rows
        if len(rows) < at_once:
            return
        after = rows[-1].line
        most -= len(rows)


def _together(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: each costs a turn of the server."""
    gathered, size = [], 0
    try:
        for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size > PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
    except Exception:
        # Pages are read whole: so are the lines that there are.
        yield b"".join(gathered)
        raise
    yield b"".join(gathered)


def _as_json(row: Any) -> bytes:
    # The document is JSON already, and begins with a brace.
    where = msgspec.json.encode({"line": row.line, "custom_id": row.custom_id})
    return _line_of(where[:-1] + b"," + bytes(row.document)[1:])


def _line_of(json: bytes) -> bytes:
    """A line to everybody: to many a reader, these two characters of a text end one as well."""
    for raw, escaped in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029")):
        json = json.replace(raw, escaped)
    return json + b"\n"


def _failed(row: Any) -> ErrorLine:
    problem = make_problem(ANALYSIS_FAILED, row.failure, row.request_id)
    return ErrorLine(row.line, row.custom_id, row.id, "failed", problem)


def _rejected(row: Any) -> ErrorLine:
    problem = msgspec.json.decode(row.problem, type=Problem)
    return ErrorLine(row.line, row.custom_id, None, "rejected", problem)


def _columns(definitions: Sequence[Definition]) -> list[str]:
    """For each insight its version, its figures, and why there are none; those of the whole ECG,
    which are the same in the rows of all its leads, come last.
    """
    return [
        f"{prefix}{definition.name}_{column}"
        for scope, prefix in (("lead", ""), ("ecg", "ecg_"))
        for definition in definitions
        if scope in definition.scopes
        for column in ("version", *definition.figures, "problem")
    ]


def _lead_cells(row: Any, definitions: Sequence[Definition]) -> Iterator[list[Cell]]:
    document = msgspec.json.decode(row.document, type=Finished)
    of_ecg = _cells("ecg", document.insights, definitions)
    for number, lead in enumerate(document.leads):
        where = [row.line, row.custom_id, row.ecg_id, number, lead.name]
        yield [*where, *_cells("lead", lead.insights, definitions), *of_ecg]


def _cells(scope: str, said: Said, definitions: Sequence[Definition]) -> list[Cell]:
    cells: list[Cell] = []
    for definition in definitions:
        if scope in definition.scopes:
            insight = said.get(definition.name, {})
            figures = [insight.get(figure) for figure in definition.figures]
            problem = insight.get("not_computable", insight.get("problem"))
            cells += [insight.get("version"), *figures, problem]
    return cells


def _error_cells(error: ErrorLine) -> list[Cell]:
    faults = error.problem.errors or []
    return [
        *(error.line, error.custom_id, error.ecg_id, error.verdict),
        *(error.problem.type, error.problem.detail),
        "; ".join(f"{fault.pointer} {fault.detail}" for fault in faults),
    ]
