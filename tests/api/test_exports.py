"""Exports: a table that every reader reads alike, and in which nothing is a formula."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, delete, event, insert, select, update
from sqlalchemy.exc import OperationalError

from api import exports
from api.routes import batches as routes
from api.users import Caller
from shared.database import reading, transaction
from shared.models import Ecg, InsightDefinition, Insights, User
from shared.tally import add_to_counts
from tests.door import Door
from worker.relay import publish_catalogue

CSV = {"Accept": "text/csv"}
HEADER = (
    "line,custom_id,ecg_id,lead,name,zero_crossings_version,zero_crossings_count,"
    "zero_crossings_touches,zero_crossings_rate_hz,zero_crossings_problem"
)
# No control characters: of these no name may have one.
UGLY = [
    *("a,b", 'a"b', '"', '""', ",", "'", "'=1", "a;b", "a\u2028b", "a\u2029b", "é", "心電図", "💓"),
    *(" a", "a ", " ", "#a", "\\", "\\n", "nan", "NULL", "1e5", "007", "\u202ea", "a\u00a0b"),
]
FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "=", "-", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0"),
    *(" =1", "   +1", "\u00a0=1", "\u3000@x", "\ufeff=1", "\u200b=1", "\uff1d1", "\uff0b1"),
    *("\uff0d1", "\uff20x"),
]
# What one that separates by semicolons would cut in two, and with the apostrophe in its place.
CUT = {
    "x;=cmd|' /C calc'!A0;": "x;'=cmd|' /C calc'!A0;",
    "I;@SUM(1+1)*1;": "I;'@SUM(1+1)*1;",
    "a; \u200b-1;+1": "a;' \u200b-1;'+1",
    'a;"=1+1"': 'a;\'"=1+1"',
    "=1;=2": "'=1;'=2",
    ";\uff1d1": ";'\uff1d1",
}


def publish_one(engine: Engine) -> None:
    """As if there were one insight: a table of all would be as wide as it is long."""
    publish_catalogue(engine)
    with transaction(engine) as connection:
        others = InsightDefinition.name != "zero_crossings"
        connection.execute(delete(InsightDefinition).where(others))


@pytest.fixture
def ada(door: Door) -> dict[str, str]:
    publish_one(door.engine)
    return door.user("ada")


def line(custom_id: str | None, *names: str, rate: float | None = 500) -> str:
    leads = [{"name": name, "signal": [1, -1, 0, -1]} for name in names]
    return json.dumps({"custom_id": custom_id, "sampling_rate": rate, "leads": leads})


def export(door: Door, user: dict[str, str], path: str, accept: str = "text/csv") -> str:
    answer = door.get(f"/batches/{path}", headers={**user, "Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return answer.get_data().decode()


def rows_of(text: str) -> list[list[str]]:
    """As Python's csv reads them; pandas must find the same."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} <= {len(rows[0])}
    frame = pd.read_csv(
        io.BytesIO(text.encode()), header=None, dtype=str, keep_default_na=False, encoding="utf-8"
    )
    assert frame.to_numpy().tolist() == rows
    return rows


def test_a_row_is_a_lead_and_a_column_a_figure(door: Door, ada: dict[str, str]) -> None:
    lines = [line("a", "I", "II"), line(None, "V1", rate=None), line("empty"), line("c", "I", "I")]
    batch_id = door.submit(ada, *lines).json["id"]
    door.work()
    text = export(door, ada, f"{batch_id}/insights")
    assert text.endswith("\r\n")
    header, *rows = rows_of(text)
    assert ",".join(header) == HEADER
    assert [[*row[:2], *row[3:]] for row in rows] == [
        ["1", "a", "0", "I", "1", "1", "1", "125.0", ""],
        ["1", "a", "1", "II", "1", "1", "1", "125.0", ""],
        # No rate without a sampling rate; and of an ECG without leads there is no row.
        ["2", "", "0", "V1", "1", "1", "1", "", ""],
        ["4", "c", "0", "I", "1", "1", "1", "125.0", ""],
        ["4", "c", "1", "I", "1", "1", "1", "125.0", ""],
    ]
    frame = pd.read_csv(io.StringIO(text))
    assert frame["zero_crossings_count"].tolist() == [1] * 5
    assert frame["zero_crossings_rate_hz"].isna().tolist() == [False, False, True, False, False]


def test_nothing_is_a_table_with_a_header(door: Door, ada: dict[str, str]) -> None:
    batch_id = door.submit(ada).json["id"]
    assert export(door, ada, f"{batch_id}/insights") == HEADER + "\r\n"
    errors = "line,custom_id,ecg_id,verdict,type,detail,errors\r\n"
    assert export(door, ada, f"{batch_id}/errors") == errors


def test_names_come_out_as_they_went_in_and_none_is_a_formula(
    door: Door, ada: dict[str, str]
) -> None:
    names = [*UGLY, *FORMULAS, *CUT]
    batch_id = door.submit(ada, *(line(name, name) for name in names)).json["id"]
    door.work()
    table = export(door, ada, f"{batch_id}/insights")
    [_, *rows] = rows_of(table)
    tamed = [*UGLY, *(f"'{name}" for name in FORMULAS), *CUT.values()]
    for row in csv.reader(io.StringIO(table, newline=""), delimiter=";"):
        assert not [cell for cell in row if cell.lstrip(" \u200b").startswith(tuple("=+-@\uff1d"))]
    assert [row[1] for row in rows] == tamed
    assert [row[4] for row in rows] == tamed


def digest(header: str) -> str:
    return hashlib.sha256(header.encode()).hexdigest()[:16]


def test_after_a_line_it_goes_on_below_the_header_that_is_named(
    door: Door, ada: dict[str, str]
) -> None:
    bad = json.dumps({"custom_id": "=bad", "leads": [{"name": "I", "signal": ["1"]}]})
    lines = [line("a", "I"), bad, *(line(str(n), "I", "II") for n in range(100)), bad, "x"]
    batch_id = door.submit(ada, *lines).json["id"]
    while door.rung:
        door.work()
    for what, ends in (("insights", (1, 2, 50, 102, 999_999_999)), ("errors", (1, 2, 103, 104))):
        whole = export(door, ada, f"{batch_id}/{what}")
        header, *_ = whole.splitlines(keepends=True)
        rows = rows_of(whole)
        for end in (0, *ends):
            below = f"&columns={digest(header.rstrip())}"
            rest = export(door, ada, f"{batch_id}/{what}?after={end}{below}")
            expected = [row for row in rows[1:] if int(row[0]) > end]
            assert (rows_of(rest) if rest else []) == expected
            # The pieces are one file.
            first = whole.removesuffix(rest)
            assert first + rest == whole
            # Who names no header gets one: nothing is without.
            assert export(door, ada, f"{batch_id}/{what}?after={end}") == header + rest


def test_no_piece_goes_on_below_the_header_of_another_release(
    door: Door, ada: dict[str, str]
) -> None:
    batch_id = door.submit(ada, line("a", "I"), line("b", "I")).json["id"]
    door.work()
    header, first, second = export(door, ada, f"{batch_id}/insights").splitlines()
    path = f"/batches/{batch_id}/insights?after=1&columns={digest(header)}"
    assert export(door, ada, path.removeprefix("/batches/")) == second + "\r\n"
    # The release: what is measured now comes before what was, in the order of names.
    publish_catalogue(door.engine)
    answer = door.get(path, headers={**ada, **CSV})
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/columns-changed")
    assert "take the table anew" in answer.json["detail"]
    # Lines of JSON name their figures themselves.
    assert door.get(path, headers=ada).status_code == 200
    anew = export(door, ada, f"{batch_id}/insights?after=1")
    names, row = rows_of(anew)
    assert len(names) > len(header.split(","))
    at = names.index("zero_crossings_count")
    assert row[at] == second.split(",")[header.split(",").index("zero_crossings_count")]
    assert first.split(",")[0] == "1"


@pytest.mark.parametrize("columns", ["", "x", "0" * 16, "0" * 10_000, "\u2028"])
def test_columns_that_were_never_there_are_not_gone_on_below(
    sqlite_door: Door, columns: str
) -> None:
    publish_catalogue(sqlite_door.engine)
    ada = sqlite_door.user()
    batch_id = sqlite_door.submit(ada).json["id"]
    for what in ("insights", "errors"):
        query = {"columns": columns, "format": "csv"}
        answer = sqlite_door.get(f"/batches/{batch_id}/{what}", query_string=query, headers=ada)
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/columns-changed")


def test_an_export_that_was_begun_before_more_came_leaves_no_gap(
    door: Door, ada: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "key"}
    batch_id = door.submit(ada, line("a", "I"), **key).json["id"]
    door.work()
    with reading(door.engine) as connection:
        who = Caller(connection.scalars(select(User.id)).one())
    begun = exports.export_insights(door.engine, who, batch_id, after=0, form="ndjson")
    # Asked for when all had ended; now more comes, of which the last line ends first.
    door.submit(ada, line("a", "I"), line("b", "I"), line("c", "I"), **key)
    door.rung.reverse()
    with reading(door.engine) as connection:
        third = connection.scalars(select(Ecg.id).where(Ecg.custom_id == "c")).one()
    waiting = [ecg_id for ecg_id in door.rung if ecg_id != third]
    door.rung[:] = [third]
    door.work()
    first = [json.loads(row)["line"] for row in b"".join(begun).splitlines()]
    door.rung[:] = waiting
    door.work()
    rest = exports.export_insights(door.engine, who, batch_id, after=first[-1], form="ndjson")
    assert [*first, *(json.loads(row)["line"] for row in b"".join(rest).splitlines())] == [1, 2, 3]


@pytest.mark.parametrize("after", ["", "-1", "+1", "1.0", "x", "1e3", "٣", "1" * 10, " 1", "0x1"])
def test_after_is_the_number_of_a_line(sqlite_door: Door, after: str) -> None:
    publish_catalogue(sqlite_door.engine)
    ada = sqlite_door.user()
    batch_id = sqlite_door.submit(ada).json["id"]
    for what in ("insights", "errors"):
        query = {"after": after}
        answer = sqlite_door.get(f"/batches/{batch_id}/{what}", query_string=query, headers=ada)
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == "/query/after"


def test_errors_are_a_table_too(door: Door, ada: dict[str, str]) -> None:
    bad = json.dumps({"custom_id": "-b,\u2028", "leads": [{"name": "I", "signal": ["1", None]}]})
    batch_id = door.submit(ada, bad, "no JSON", line("c", "I"), line("c", "I")).json["id"]
    with transaction(door.engine) as connection:
        ended = {"status": "failed", "failure": '=He said: "no",\r\nand again', "finished_at_s": 1}
        connection.execute(update(Ecg).values(**ended))
        connection.execute(add_to_counts(batch_id, failed=1))
    header, first, second, third, fourth = rows_of(export(door, ada, f"{batch_id}/errors"))
    assert header == ["line", "custom_id", "ecg_id", "verdict", "type", "detail", "errors"]
    assert first[:5] == ["1", "'-b,\u2028", "", "rejected", "/problems/invalid-request"]
    assert first[6] == (
        "/leads/0/signal/0 must be a number, not a string; "
        "/leads/0/signal/1 must be a number, not null"
    )
    assert second[:5] == ["2", "", "", "rejected", "/problems/malformed-request"]
    assert third[3:] == [
        *("failed", "/problems/analysis-failed", '\'=He said: "no",\r\nand again', "")
    ]
    assert fourth[6] == "/custom_id is that of an earlier line"


def test_what_is_not_there_is_not_looked_for_through_a_million_lines(door: Door) -> None:
    ada = door.user()
    batch_id = door.submit(ada, line("a", "I"), "no JSON", line("c", "I")).json["id"]
    statements: list[str] = []
    event.listen(door.engine, "before_cursor_execute", lambda *asked: statements.append(asked[2]))

    def asked_for(status: str) -> bool:
        statements.clear()
        export(door, ada, f"{batch_id}/errors")
        return any(re.search(status, statement) for statement in statements)

    # Whose status is looked at, to find the first that waits, and those that have failed.
    waiting, failed = r"ORDER BY ecgs\.line\s+LIMIT", r"ecgs\.failure"
    assert asked_for(waiting)
    door.work()
    assert not asked_for(waiting)
    assert not asked_for(failed)


def test_figures_are_numbers_and_what_cannot_be_said_is_empty(
    door: Door, ada: dict[str, str]
) -> None:
    """As a bench with other insights would write it, some of which cannot be said of a lead."""
    batch_id = door.submit(ada, line("a", "I", "II", "III")).json["id"]
    definition = {"name": "axis", "version": 2, "unit": "°", "definition": "…"}
    insights: list[dict[str, Any]] = [
        {"axis": {"version": 2, "angle_deg": -30, "shift_mv": -0.125}},
        {"axis": {"version": 2, "not_computable": "-needs a lead aVF, and I"}},
        {"axis": {"version": 2, "angle_deg": -0.0, "shift_mv": 1e-300, "new": 5}},
    ]
    with transaction(door.engine) as connection:
        figures = '["angle_deg", "shift_mv"]'
        connection.execute(insert(InsightDefinition), {**definition, "figures": figures})
        ecg_id = connection.scalar(select(Ecg.id))
        leads = [
            {"name": "I", "number_of_zero_crossings": None, "insights": one} for one in insights
        ]
        document = json.dumps({"ecg_id": ecg_id, "status": "finished", "leads": leads}).encode()
        connection.execute(update(Ecg).values(status="finished", finished_at_s=1))
        connection.execute(insert(Insights), {"ecg_id": ecg_id, "document": document})
    text = export(door, ada, f"{batch_id}/insights")
    header, *rows = rows_of(text)
    names = ["axis_version", "axis_angle_deg", "axis_shift_mv", "axis_problem"]
    assert header[5:9] == names
    assert [row[5:9] for row in rows] == [
        ["2", "-30", "-0.125", ""],
        ["2", "", "", "'-needs a lead aVF, and I"],
        ["2", "-0.0", "1e-300", ""],
    ]
    # The others say nothing of these leads.
    assert {cell for row in rows for cell in row[9:]} == {""}
    frame = pd.read_csv(io.StringIO(text))
    assert frame["axis_shift_mv"].fillna(0).tolist() == [-0.125, 0, 1e-300]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, routes.NDJSON),
        ("", routes.NDJSON),
        ("*/*", routes.NDJSON),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv; header=present", "text/csv"),
        ("text/csv; charset=utf-8; q=0.5, application/x-ndjson; q=0.4", "text/csv"),
        ("application/x-ndjson;charset=utf-8", routes.NDJSON),
        ("nonsense", None),
        ("text/*", "text/csv"),
        ("application/*", routes.NDJSON),
        ("application/x-ndjson", routes.NDJSON),
        ("text/csv;q=0.9, application/x-ndjson;q=0.8", "text/csv"),
        ("text/csv;q=0.8, application/x-ndjson;q=0.9", routes.NDJSON),
        ("text/csv, */*", "text/csv"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("text/csv;q=0, */*", routes.NDJSON),
        ("application/x-ndjson;q=0, */*", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", routes.NDJSON),
        ("text/html", None),
        ("application/json", None),
        ("text/csv;q=0", None),
        ("*/*;q=0", None),
    ],
)
def test_accept_says_which_form(sqlite_door: Door, accept: str | None, form: str | None) -> None:
    publish_catalogue(sqlite_door.engine)
    ada = sqlite_door.user()
    batch_id = sqlite_door.submit(ada, "bad").json["id"]
    headers = ada if accept is None else {**ada, "Accept": accept}
    for what in ("insights", "errors"):
        answer = sqlite_door.get(f"/batches/{batch_id}/{what}", headers=headers)
        if form is None:
            assert (answer.status_code, answer.json["type"]) == (406, "/problems/not-acceptable")
            # What is asked for in so many words is given.
            asked = sqlite_door.get(f"/batches/{batch_id}/{what}?format=csv", headers=headers)
            assert (asked.status_code, asked.mimetype) == (200, "text/csv")
        else:
            assert (answer.status_code, answer.mimetype) == (200, form)
    asked = sqlite_door.get(f"/batches/{batch_id}/errors?format=xlsx", headers=headers)
    assert asked.status_code == 422


def test_ndjson_is_one_line_a_line_whatever_is_in_the_names(
    door: Door, ada: dict[str, str]
) -> None:
    batch_id = door.submit(ada, *(line(name, name) for name in UGLY)).json["id"]
    door.work()
    answer = door.get(f"/batches/{batch_id}/insights", headers=ada)
    found = [json.loads(one) for one in answer.get_data().removesuffix(b"\n").split(b"\n")]
    # Also to whoever takes for the end of a line what Unicode does.
    assert [json.loads(one) for one in answer.text.splitlines()] == found
    assert [one["custom_id"] for one in found] == UGLY
    assert [one["leads"][0]["name"] for one in found] == UGLY


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_results_that_cannot_be_read_to_their_end_say_so_where_they_end(
    door: Door, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)
    lines = [line(str(number), "I") for number in range(5)]
    batch_id = door.submit(ada, *lines).json["id"]
    door.work()
    path = f"batches/{batch_id}/insights?format={form}"
    whole = door.get(f"/{path}", headers=ada).data.splitlines()
    pages: list[int] = []

    def go_away(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        pages.append("insights.document" in statement)
        if sum(pages) == 2:
            raise OperationalError("", None, Exception("it went away"))

    event.listen(door.engine, "before_cursor_execute", go_away)
    answer = door.get(f"/{path}", headers=ada)
    event.remove(door.engine, "before_cursor_execute", go_away)
    *told, end = answer.data.splitlines()
    assert told == whole[: 2 + (form == "csv")]
    if form == "csv":
        assert end.startswith(b"cut,The rest could not be read")
    else:
        assert json.loads(end)["type"] == "/problems/unavailable"
        assert json.loads(end)["request_id"] == answer.headers["X-Request-ID"]
