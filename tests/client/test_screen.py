"""What a table looks like where there is little room, and where there is none to care about."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from api import tables
from isoline import output, screen
from isoline.escapes import printable
from isoline.screen import (
    ROWS_AT_ONCE,
    Row,
    endless_lines,
    sentence,
    table_lines,
    typed,
    visible_json,
)

ID = "01a20abc-2b62-7314-b407-ca860a0d2250"
BATCH = {"id": ID, "status": "finished", "total": 1000000, "pending": 0, "finished": 1000000}
WIDE = {**BATCH, "failed": 0, "rejected": 0, "created_at": "2026-11-25 20:46"}


def lay(rows: Sequence[Row], width: int) -> list[str]:
    return [line for line, _ in table_lines(rows, list(rows[0]), width)]


def lead(file: str, number: int, insights: int = 1) -> dict[str, Any]:
    figures = {f"insight{n}_figure": n for n in range(insights)}
    return {"file": file, "ecg_id": ID, "lead": number, "name": "aVR", **figures}


def test_with_room_a_row_is_a_line() -> None:
    assert lay([BATCH], 80) == [
        "id                                    status      total  pending  finished",
        f"{ID}  finished  1000000        0   1000000",
    ]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 81, 100, 120])
def test_nothing_is_cut_and_an_id_stands_on_one_line(width: int) -> None:
    rows = [WIDE, {**WIDE, "id": ID[::-1]}]
    lines = lay(rows, width)
    assert max(map(len, lines)) <= width
    for row in rows:
        assert sum(str(row["id"]) in line for line in lines) >= 1
    assert sum("2026-11-25 20:46" in line for line in lines) == 2
    assert "rejected" in " ".join(lines)


def test_in_a_file_nothing_is_folded() -> None:
    rows = [{"line": 1, "custom_id": "x" * 300, "verdict": "rejected", "detail": "a word " * 99}]
    [_, line] = lay(rows, sys.maxsize)
    assert "x" * 300 in line
    assert ("a word " * 99).strip() in line


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text whose width has been asked for: the work that a table is."""
    texts: list[str] = []

    def count(text: str) -> int:
        texts.append(text)
        return len(text)

    monkeypatch.setattr(screen, "cell_len", count)
    return texts


@pytest.mark.parametrize("width", [40, sys.maxsize])
def test_the_work_of_a_table_grows_as_its_rows_do(measured: list[str], width: int) -> None:
    lay([lead("a", n, insights=8) for n in range(100)], width)
    of_a_hundred = len(measured)
    measured.clear()
    lay([lead("a", n, insights=8) for n in range(1000)], width)
    assert len(measured) < 12 * of_a_hundred


def test_a_table_in_a_file_comes_as_its_rows_do(measured: list[str]) -> None:
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        for taken in range(1, 20_001):
            yield {"line": taken, "custom_id": f"ecg {taken}", "lead": 0}

    furthest_ahead = 0
    lines: list[tuple[str, bool]] = []
    for line, is_header in endless_lines(rows(), ["line", "custom_id"]):
        furthest_ahead = max(furthest_ahead, taken - len(lines))
        lines.append((line, is_header))
    assert furthest_ahead <= ROWS_AT_ONCE
    assert len(measured) < 20 * 20_000
    # A header again where a name needs more room, and every row once.
    assert [line.split() for line, is_header in lines if is_header] == 2 * [
        ["line", "custom_id", "lead"]
    ]
    assert [int(line.split()[0]) for line, is_header in lines if line and not is_header] == list(
        range(1, 20_001)
    )


def test_a_column_that_comes_late_has_a_header() -> None:
    rows: list[Row] = [{"line": n} for n in range(ROWS_AT_ONCE)] + [{"line": 7, "problem": "so"}]
    lines = [line for line, _ in endless_lines(rows, ["line"])]
    assert lines[0] == "line"
    assert lines[-3:] == ["", "line  problem", "   7  so"]
    assert [line for line, _ in endless_lines([], ["line", "name"])] == ["line  name"]
    assert list(endless_lines([], [])) == []


def test_rows_with_the_same_name_share_it() -> None:
    lines = lay([lead("a" * 40, 0), lead("a" * 40, 1), lead("b", 0)], 80)
    assert [line for line in lines if ID in line] == [f"{'a' * 40}  {ID}", f"b  {ID}"]
    assert lines[3:] == [
        f"{'a' * 40}  {ID}",
        "     0  aVR           0",
        "     1  aVR           0",
        f"b  {ID}",
        "     0  aVR           0",
    ]


def test_columns_that_find_no_room_go_below() -> None:
    lines = lay([lead("a", 7, insights=30)], 80)
    assert max(map(len, lines)) <= 80
    bands = [line.split() for line in lines if line.startswith("     7")]
    assert len(bands) > 1
    assert all(band[:2] == ["7", "aVR"] for band in bands)
    assert [cell for band in bands for cell in band[2:]] == [str(n) for n in range(30)]


def test_a_sentence_is_folded_between_words() -> None:
    detail = "of lead I the sample 17 must be a number, not a string"
    row = {"line": 1, "custom_id": "day/one.csv", "verdict": "rejected", "detail": detail}
    lines = lay([row], 80)
    assert max(map(len, lines)) <= 80
    assert " ".join(line[lines[0].index("detail") :].strip() for line in lines[1:]) == detail


def test_what_is_wider_than_everything_is_left_whole() -> None:
    name = "a" * 200
    assert name in lay([{"file": name, "ecg_id": ID, "status": "finished"}], 80)


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable("a\x1b[31m\n\x7f\x9b\u202e\udcff é 心") == (
        r"a\x1b[31m\n\x7f\x9b\u202e\udcff é 心"
    )
    assert visible_json('"\x7f\x9b\u202e\U000e0041é"') == r'"\u007f\u009b\u202e\udb40\udc41é"'


def test_a_sentence_is_one_and_a_command_in_it_is_copied_whole() -> None:
    command = f"isoline batch cancel {ID}"
    said = f"{'word ' * 20}to\nend it: {typed(command)}"
    lines = sentence(said, 60).splitlines()
    assert lines[-1] == command
    assert max(map(len, lines)) <= 60
    assert sentence(said, sys.maxsize) == f"{'word ' * 20}to\\nend it: {command}"
    assert sentence("a" * 100, 60) == "a" * 100


def test_the_commands_tables_tame_what_the_servers_tame() -> None:
    assert output.FORMULA.pattern == tables.FORMULA.pattern


def test_a_part_of_a_text_is_no_formula_either(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    texts = ["x\n=1", "x\r\n=1", "x\t+1", ";@x", "\t=1", 'x;"=1"', "x\t; =1", "a\r\nb"]
    output.show([{"a": text, "b": text} for text in texts], "csv")
    table = capsysbinary.readouterr().out.decode()
    for delimiter in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(table, newline=""), delimiter=delimiter):
            assert not [cell for cell in row if re.match(r"\s*[=+@-]", cell)]
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert [row[0].replace("'", "") for row in rows[1:]] == texts
    assert rows[-1] == ["a\r\nb", "a\r\nb"]
