"""Which files belong to a submission, whose key changes with each; and how they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from isoline import reading
from isoline.finding import Source, find_sources
from isoline.formats import Found, read
from isoline.reading import AHEAD, Remark, key_of, read_file, read_lines
from tests.parts import wait_until


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of two segments, the second of which has a file of its own name."""
    (tmp_path / "r.hea").write_text("r/2 1 360 20\n# a comment\none 10\ntwo 10\n")
    (tmp_path / "one.hea").write_text("one 1 360 10\none.dat 16 200 11 1024 995 0 0 MLII\n")
    (tmp_path / "two.hea").write_text("two 1 360 10\nodd.mat 16 200 11 1024 995 0 0 MLII\n")
    for name in ("one.dat", "odd.mat", "other.dat"):
        (tmp_path / name).write_bytes(bytes(20))
    return tmp_path


def key(path: Path) -> str:
    return key_of(find_sources([path]).sources, None)


@pytest.mark.parametrize("changed", ["r.hea", "one.hea", "two.hea", "one.dat", "odd.mat"])
def test_a_file_that_a_header_names_is_part_of_it(record: Path, changed: str) -> None:
    path = record / "r.hea"
    before = key(path)
    assert key(path) == before
    os.utime(record / changed, ns=(1, 1))
    after = key(path)
    assert after != before
    if changed.endswith(("dat", "mat")):
        (record / changed).unlink()
        assert key(path) not in (before, after)


def test_a_file_that_nobody_names_is_none(record: Path) -> None:
    before = key(record / "r.hea")
    os.utime(record / "other.dat", ns=(1, 1))
    assert key(record / "r.hea") == before


@pytest.mark.parametrize("text", [b"", b"\0", b"r 1\n\0 x\n", b"\xff" * 99, b"../x 1\n" * 9])
def test_what_is_no_header_has_a_key_too(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "r.hea").write_bytes(text)
    assert key(tmp_path / "r.hea").startswith("files-")


def test_a_header_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.hea")
    assert key(tmp_path / "r.hea").startswith("files-")


def test_while_a_line_is_being_sent_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[threading.Thread] = []

    def spy(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
        begun.append(threading.current_thread())
        return read(path, sampling_rate_hz)

    monkeypatch.setattr(reading, "read", spy)
    sources = []
    for number in range(100):
        path = tmp_path / f"{number}.json"
        path.write_text('{"leads": []}')
        sources.append(Source(path.name, path))
    lines = read_lines(
        sources, None, lambda found: pytest.fail(str(found)), lambda _: None, lambda: None
    )
    next(lines)
    # Nobody asks for another line meanwhile.
    wait_until(lambda: len(begun) > AHEAD)
    # And yet they come in order, and no more of them are in memory than a few.
    assert len(begun) <= AHEAD + 1
    assert threading.main_thread() not in begun
    names = [msgspec.json.decode(line)["custom_id"] for line in lines]
    assert names == [f"{number}.json" for number in range(1, 100)]


def test_files_that_look_the_same_in_another_folder_are_others(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "rec").mkdir(parents=True)
        path = tmp_path / folder / "rec" / "ecg.csv"
        path.write_text("I\n1\n-1\n" if folder == "one" else "I\n1\n+1\n")
        os.utime(path, ns=(1, 1))
    assert key(tmp_path / "one" / "rec") != key(tmp_path / "two" / "rec")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert key(tmp_path / "one" / "rec") == key(tmp_path / "link" / "rec")


def test_what_is_said_once_says_that_it_may_be_true_of_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"leads": [{"name": "I", "signal": [1]}]}')
    remark, _ = read_file(Source("a.json", tmp_path / "a.json"), None)
    assert isinstance(remark, Remark)
    assert remark.text.endswith("has no value. Of others that are alike this is not said again.")
