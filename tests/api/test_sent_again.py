"""What is sent again with the same key: known lines are known wherever they stand, and nothing
else is."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sqlalchemy import event, select

from shared.database import reading
from shared.models import Ecg, RejectedLine
from tests.door import Door

KEY = {"Idempotency-Key": "k"}


def good(name: str | None) -> str:
    named = {} if name is None else {"custom_id": name}
    return json.dumps({**named, "leads": [{"name": "I", "signal": [1, -1]}]})


def bad(name: str) -> str:
    return json.dumps({"custom_id": name, "leads": 1})


def stored(door: Door) -> list[tuple[int, str | None, bool]]:
    """Number, name, and whether it is an ecg, of every line there is."""
    with reading(door.engine) as connection:
        ecgs = connection.execute(select(Ecg.line, Ecg.custom_id)).all()
        rejected = connection.execute(select(RejectedLine.line, RejectedLine.custom_id)).all()
    lines = [(line or 0, name, True) for line, name in ecgs]
    lines += [(line, name, False) for line, name in rejected]
    assert len({line for line, *_ in lines}) == len(lines)
    return sorted(lines)


def send(door: Door, user: dict[str, str], *lines: str) -> tuple[int, int, int]:
    """Submit these; return the counts of lines that are there, are rejected, and were known."""
    answer = door.submit(user, *lines, **KEY)
    assert answer.status_code == 202
    assert answer.json["accepted"] + answer.json["rejected"] == answer.json["total"]
    assert answer.json["total"] == len(stored(door))
    return answer.json["total"], answer.json["rejected"], answer.json["known"]


@pytest.mark.parametrize("front", [1, 2, 70])
def test_what_is_put_in_front_makes_no_known_line_a_new_one(door: Door, front: int) -> None:
    ada = door.user()
    lines = [good(name) for name in "abc"]
    assert send(door, ada, *lines) == (3, 0, 0)
    more = [*(good(f"z{n}") for n in range(front)), *lines]
    assert send(door, ada, *more) == (3 + front, 0, 3)
    assert send(door, ada, *more) == (3 + front, 0, 3 + front)
    assert [name for _, name, _ in stored(door)][:4] == ["a", "b", "c", "z0"]


def test_in_another_order_they_are_known_all_the_same(door: Door) -> None:
    ada = door.user()
    lines = [*(good(str(n)) for n in range(150)), bad("x"), bad("y")]
    assert send(door, ada, *lines) == (152, 2, 0)
    random.Random(1).shuffle(lines)
    assert send(door, ada, *lines) == (152, 2, 152)


def test_what_is_there_twice_in_one_body_is_rejected_however_often_that_is_sent(
    door: Door,
) -> None:
    ada = door.user()
    lines = [good("a"), good("b"), good("a"), good("a"), bad("b"), bad("c")]
    assert send(door, ada, *lines) == (6, 4, 0)
    assert send(door, ada, *lines) == (6, 4, 6)
    # Shifted, too.
    assert send(door, ada, good("z"), *lines) == (7, 4, 6)
    # Once more often than it had come: that one is new, and its name is taken.
    assert send(door, ada, *lines, good("a")) == (8, 5, 6)


@pytest.mark.parametrize("come", range(8))
def test_wherever_the_first_was_cut_the_second_leaves_what_one_would_have(
    door: Door, come: int
) -> None:
    ada = door.user()
    lines = [good("a"), good(None), bad("b"), good("a"), good("c"), "{}", good("b")]
    if come:
        send(door, ada, *lines[:come])
    total, rejected, known = send(door, ada, *lines)
    assert (total, rejected, known) == (7, 4, come)
    assert stored(door) == [
        *((1, "a", True), (2, None, True), (3, "b", False), (4, "a", False)),
        *((5, "c", True), (6, None, False), (7, "b", False)),
    ]


def test_a_line_without_a_name_is_told_by_its_number_in_the_body(door: Door) -> None:
    ada = door.user()
    send(door, ada, good("a"), good("b"))
    more = [good("y"), good("z"), good(None), good(None), good(None)]
    # Cut behind the third: what it is stored under stands behind that of the fifth.
    assert send(door, ada, *more[:3]) == (5, 0, 0)
    assert send(door, ada, *more) == (7, 0, 3)
    assert send(door, ada, *more) == (7, 0, 5)


@pytest.mark.parametrize("at", [0, 50, 100])
@pytest.mark.parametrize("new", ["nonsense", '{"custom_id": "cut off', good(None)])
def test_a_new_line_without_a_name_is_not_taken_for_one_that_has(
    door: Door, new: str, at: int
) -> None:
    ada = door.user()
    lines = [good(f"ecg {n}") for n in range(100)]
    send(door, ada, *lines)
    is_bad = new != good(None)
    more = [*lines[:at], new, *lines[at:]]
    assert send(door, ada, *more) == (101, is_bad, 100)
    # From then on it is known, as all others are.
    assert send(door, ada, *more) == (101, is_bad, 101)


@pytest.mark.parametrize("between", [0, 64])
def test_a_name_is_taken_by_a_bad_line_however_near_it_is(door: Door, between: int) -> None:
    ada = door.user()
    others = [good(f"other {n}") for n in range(between)]
    assert send(door, ada, bad("a"), *others, good("a")) == (between + 2, 2, 0)


def test_what_is_known_costs_a_few_statements_a_chunk(sqlite_door: Door) -> None:
    door = sqlite_door
    ada = door.user()
    lines = [good(str(n)) for n in range(640)]
    send(door, ada, *lines)
    statements: list[str] = []
    event.listen(door.engine, "before_cursor_execute", lambda *asked: statements.append(asked[2]))
    assert door.submit(ada, *lines, **KEY).json["known"] == 640
    # Ten chunks: begin, two look-ups, the clock; and the frame of the request.
    assert len(statements) < 10 * 5 + 12


def test_a_line_that_is_too_long_keeps_its_place_among_those_without_a_name(door: Door) -> None:
    ada = door.user()
    # Longer than an upload may be.
    long = " " * (door.app.extensions["isoline"].settings.max_upload_bytes + 1)
    lines = [f"{long}1", good("a"), good("b")]
    assert send(door, ada, *lines) == (3, 1, 0)
    assert send(door, ada, lines[0], good(None), *lines[1:]) == (4, 1, 3)
    assert stored(door)[-1] == (4, None, True)


def test_what_was_erased_without_a_name_makes_no_other_line_a_new_one(door: Door) -> None:
    ada = door.user()
    lines = [good(None) for _ in range(5)]
    assert send(door, ada, *lines) == (5, 0, 0)
    door.delete(f"/ecgs/{door.rung[0]}", headers=ada)
    assert door.submit(ada, *lines, **KEY).json["known"] == 5
    assert [line for line, *_ in stored(door)] == [2, 3, 4, 5]


def test_the_number_of_an_erased_line_is_no_other_ones(door: Door) -> None:
    ada = door.user()
    door.submit(ada, good("a"), **KEY)
    door.submit(ada, good("a"), good("x"), **KEY)
    door.delete(f"/ecgs/{door.rung[1]}", headers=ada)
    door.submit(ada, good("a"), good("y"), **KEY)
    assert stored(door) == [(1, "a", True), (3, "y", True)]


def test_many_of_one_name_are_read_once_however_many_chunks_they_come_in(door: Door) -> None:
    ada = door.user()
    first, second = [good("a")] * 300, [good("b")] * 300
    assert send(door, ada, *first, *second) == (600, 598, 0)
    read: list[int] = []
    event.listen(
        door.engine,
        "before_cursor_execute",
        lambda *asked: read.append("custom_id IN" in asked[2] and "line <=" in asked[2]),
    )
    # None stands where it stood; one more is new, and its name is taken.
    assert send(door, ada, *second, good("a"), *first) == (601, 599, 600)
    assert sum(read) == 2


def test_a_name_that_all_lines_bear_is_looked_for_once(door: Door) -> None:
    looked_for: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if "UNION SELECT rejected_lines.custom_id" in statement:
            asked = given.values() if isinstance(given, dict) else given
            looked_for.extend(name for name in ("a", "b") if name in asked)

    event.listen(door.engine, "before_cursor_execute", note)
    send(door, door.user(), *[good("a")] * 300, *[good("b")] * 300)
    # Before any line bore it, and after.
    assert looked_for == ["a", "a", "b", "b"]
