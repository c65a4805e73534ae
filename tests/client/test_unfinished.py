"""What is kept of submissions that were begun, and how it is said."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isoline import unfinished
from isoline.answers import Batch, Counts
from isoline.config import Access
from isoline.screen import sentence
from isoline.watching import how_to_go_on

URL = "http://a"


def said_of_one_that_waits() -> str:
    counts = Counts(total=0, pending=0, finished=0, failed=0, rejected=0)
    now = datetime.now(UTC)
    waiting = Batch(id="b", status="receiving", counts=counts, progress=0, created_at=now)
    return sentence(how_to_go_on(waiting, Access(URL, None, None, "")), sys.maxsize)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def test_of_many_files_a_reminder_names_some_as_they_are_called_from_anywhere(
    tmp_path: Path,
) -> None:
    names = ["my data", os.fsdecode(b"\xff\x1b"), "../c", "d", "e"]
    unfinished.begin(URL, "k", [Path(name) for name in names])
    some = rf"{tmp_path}/my data, {tmp_path}/\udcff\x1b, {tmp_path.parent}/c and 2 more"
    assert f"submit its files ({some}) again with --key k;" in said_of_one_that_waits()


def test_without_a_file_or_with_several_that_may_be_meant_nothing_is_guessed() -> None:
    nothing = "submit its files again with the --key it was begun with;"
    assert nothing in said_of_one_that_waits()
    for key in "ab":
        unfinished.begin(URL, key, [Path("c")])
    assert nothing in said_of_one_that_waits()
    unfinished.end(URL, "b")
    assert "with --key a;" in said_of_one_that_waits()


def test_what_was_kept_before_paths_were_still_gives_its_key() -> None:
    unfinished.begin(URL, "k", [Path("c")])
    [file] = Path("config/isoline/unfinished").iterdir()
    file.write_text(f'{{"url": "{URL}", "key": "k", "begun_at": "{datetime.now(UTC)}"}}')
    assert "submit its files again with --key k;" in said_of_one_that_waits()
