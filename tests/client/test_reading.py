"""Which files belong to a submission: the key that is made from them changes with each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isoline.finding import find_sources
from isoline.reading import key_of


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
