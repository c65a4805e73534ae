"""Headers of WFDB that lie, hide, or are read otherwise by the library."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile
from isoline.formats import read

ONE = "r 1 250 2\nr.dat 16 200 16 0 0 0 0 I\n"


def outcome(folder: Path, header: str | bytes, samples: list[int] | None = None) -> Any:
    np.array([3, 4] if samples is None else samples, "<i2").tofile(folder / "r.dat")
    path = folder / "r.hea"
    path.write_bytes(header if isinstance(header, bytes) else header.encode())
    [(_, found)] = read(path)
    return found


def refusal(folder: Path, header: str | bytes, samples: list[int] | None = None) -> str:
    found = outcome(folder, header, samples)
    assert isinstance(found, UnreadableFile), found
    assert str(found).isprintable()
    return str(found)


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x00", "\x1b", "\x7f"])
def test_a_line_that_only_the_library_sees_is_refused(tmp_path: Path, sign: str) -> None:
    hidden = f"r 1 250 2 # {sign}evil.dat 16 200\nr.dat 16 200 16 0 0 0 0 I\n"
    assert "control characters" in refusal(tmp_path, hidden)
    assert "control characters" in refusal(tmp_path, f"{ONE}# a comment{sign}x.dat 16\n")


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\u00a0", "é"])
def test_a_letter_that_the_library_drops_hides_nothing(
    tmp_path: Path, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.dat").write_bytes(bytes(4))
    ecg = outcome(tmp_path, f"# {sign}evil.dat 16 200\n{ONE.replace(' I', f' I{sign}x')}")
    assert isinstance(ecg, Ecg)
    assert np.asarray(ecg.leads[0].signal).tolist() == [3, 4]
    assert ecg.leads[0].name == f"I{sign}x"
    monkeypatch.setattr("wfdb.rdrecord", lambda *_, **__: pytest.fail("it was opened"))
    for header in (
        f"r 1 250 2\n{sign}# r.dat 16 200\nevil.dat 16 200\n",
        f"r 1 250 2{sign}evil.dat 16 200\nr.dat 16 200\n",
        f"r 1 250 2\nevil{sign}.dat 16 200\n",
        f"r 2 250 1\nr.dat 16 200{sign}evil.dat 16 200\n",
        f"r 1 250 2\n{sign}\nr.dat 16 200\n",
    ):
        found = outcome(tmp_path, header)
        assert isinstance(found, UnreadableFile), header


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("r 1 250 2\nr.dat 16x1000000000 200\n", "different sampling rates"),
        ("r 1 250 2\nr.dat 16:100000000 200\n", "do not begin at the same time"),
        ("r 1 250 2\nr.dat 16+-4 200\n", "cannot be read"),
        ("r 1 250 2\nr.dat 16+2 200\n", "too short"),
        ("r 1 250 0\nr.dat 16+8 200\n", "too short"),
        ("r 1 250 999999999999999\nr.dat 16 200\n", "too short"),
        ("r 1 250 " + "9" * 5000 + "\nr.dat 16 200\n", "first line"),
        ("r 2 250 1\nr.dat 16 200\nr.dat 80 200\n", "differ in format"),
        ("r 2 250 1\nr.dat 16 200\nr.dat 16+2 200\n", "differ in format"),
        ("r 1 250 1\nr.dat 16 200\nr.dat 16 200\n", "describes 2"),
        ("r 3 250 1\nr.dat 16 200\nlong.dat 16 200\nr.dat 16 200\n", "do not stand together"),
        ("r 2 250\nr.dat 16 200\nlong.dat 16 200\n", "not of one length"),
        ("r 1 250\nr.hea 16 200\n", "which is a header"),
        ("r 1 250 2\n~ 16 200\n", "layout without samples"),
        ("r 1 250 2\nr.dat 16 nan/mV\n", "cannot be read"),
        ("r 1 250 2\nr.dat 16 inf\n", "cannot be read"),
        ("r 1 250 2\nr.dat 16 1E3\n", "cannot be read"),
        ("r 1 250 2\nr.dat 16 200(0.5)/mV\n", "cannot be read"),
        ("r 1 250 2\nr.dat 16 1e999\n", "cannot be true"),
        ("r 1 250 2\nr.dat 16 1e-300\n", "cannot be true"),
        ("r 1 250 2\nr.dat 16 200(99999999999999)/mV\n", "cannot be true"),
        ("r 1 nan 2\nr.dat 16 200\n", "first line"),
        ("r 1 2.5e2 2\nr.dat 16 200\n", "first line"),
        ("r/2 1 250 4\nr 2\nr 2\n", "not what it promises"),
        ("r/1 1 250 99\nr 2\n", "not what it promises"),
        ("r/1 1 250 99999999999\nother 99999999999\n", "too large"),
        ("r/1 1 250 2\n/etc/x 2\n", "no file"),
        ("r/1 1 250 2\nhttp://x 2\n", "no file"),
        ("r/2 1 250 2\nr 2\n~ 9\n", "missing"),
        ("x" * 2**21, "larger than any header"),
    ],
)
def test_what_cannot_be_true_is_one_sentence(tmp_path: Path, header: str, says: str) -> None:
    (tmp_path / "long.dat").write_bytes(bytes(400))
    assert says in refusal(tmp_path, header)


@pytest.mark.parametrize("header", ["r 1 {}x", "r 1 250 2\nr.dat 16 {}x", "r/1 1 250 2\n{}!"])
def test_endless_lines_take_no_time(tmp_path: Path, header: str) -> None:
    began = time.monotonic()
    assert refusal(tmp_path, header.format("1" * 10**6))
    outcome(tmp_path, header.format("1 " * 10**5))
    assert refusal(tmp_path, header.format(" " * 10**6))
    assert time.monotonic() - began < 5


def test_a_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    outcome(tmp_path, ONE)
    with (tmp_path / "r.dat").open("ab") as file:
        file.truncate(3 * 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for header in ("r 1 250\nr.dat 16 200\n", "r 1 250 1000000000\nr.dat 16 200\n"):
        (tmp_path / "r.hea").write_text(header)
        [(_, found)] = read(tmp_path / "r.hea")
        assert "too large for an upload" in str(found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize(
    ("calibration", "gain", "baseline", "samples"),
    [
        ("200(7)/mV 16 5", 200, 7, [3, 4]),
        ("200/mV 16 5", 200, 5, [3, 4]),
        ("", None, 0, [3, 4]),
        ("0(7)/mV", None, 7, [3, 4]),
        ("0.2/uV", 200, 0, [3, 4]),
        ("0.2/µV", 200, 0, [3, 4]),
        ("2e5/V", 200, 0, [3, 4]),
        ("-200(7)/mV", 200, -7, [-3, -4]),
        ("10/mmHg", None, 0, [3, 4]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_gain_and_baseline(
    tmp_path: Path, calibration: str, gain: float, baseline: int, samples: list[int], encoding: str
) -> None:
    ecg = outcome(tmp_path, f"r 1 250 2\nr.dat 16 {calibration}\n".encode(encoding))
    assert isinstance(ecg, Ecg), ecg
    assert (ecg.gain, ecg.baseline) == (gain, baseline)
    assert np.asarray(ecg.leads[0].signal).tolist() == samples
    assert ecg.leads[0].name == "1"


def test_leads_of_different_gains_are_millivolts(tmp_path: Path) -> None:
    header = "r 2 250 3\nr.dat 16 200(5)/mV 16 0 0 0 0 I\nr.dat 16 0.1(-5)/uV 16 0 0 0 0 II\n"
    ecg = outcome(tmp_path, header, [5, 5, 6, -5, 4, -105])
    assert (ecg.unit, ecg.gain, ecg.baseline) == ("mV", None, None)
    assert [np.asarray(lead.signal).tolist() for lead in ecg.leads] == [
        [0, 1 / 200, -1 / 200],
        [0.1, 0, -1],
    ]


def test_what_is_no_voltage_is_left_out_beside_what_is(tmp_path: Path) -> None:
    header = "r 2 250 1\nr.dat 16 200/mV 16 0 0 0 0 I\nr.dat 16 10/mmHg 16 0 0 0 0 ABP\n"
    ecg = outcome(tmp_path, header)
    assert [lead.name for lead in ecg.leads] == ["I"]
    header = "r 2 250 1\nr.dat 16 0/mV 16 0 0 0 0 I\nr.dat 16 10/mV 16 0 0 0 0 II\n"
    assert "no gain" in refusal(tmp_path, header)


@pytest.mark.parametrize(
    ("start", "date"),
    [
        ("", None),
        (" 10:00:00", None),
        (" 10:00:00.5 01/02/2003", "2003-02-01T10:00:00.500000+00:00"),
        # As in a well known archive, which is not as it should be.
        (" 12-May-2020 12:33:59", None),
    ],
)
def test_when_it_began(tmp_path: Path, start: str, date: str | None) -> None:
    ecg = outcome(tmp_path, ONE.replace("250 2", f"250 2{start}"))
    assert (ecg.date and ecg.date.isoformat()) == date


def segment(folder: Path, name: str, line: str, rate: str = "250", number: int = 2) -> None:
    np.arange(number, dtype="<i2").tofile(folder / f"{name}.dat")
    (folder / f"{name}.hea").write_text(f"{name} 1 {rate} {number}\n{name}.dat {line}\n")


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("16 100/mV 16 0 0 0 0 I", "250"),
        ("16 200(3)/mV 16 0 0 0 0 I", "250"),
        ("16 200/uV 16 0 0 0 0 I", "250"),
        ("16 200/mV 16 0 0 0 0 II", "250"),
        ("16 200/mV 16 0 0 0 0 I", "500"),
    ],
)
def test_segments_that_differ_are_not_one_recording(tmp_path: Path, line: str, rate: str) -> None:
    segment(tmp_path, "a", "16 200/mV 16 0 0 0 0 I")
    segment(tmp_path, "b", line, rate)
    assert "Its segments differ" in refusal(tmp_path, "r/2 1 250 4\na 2\nb 2\n")


def test_segments_with_a_layout(tmp_path: Path) -> None:
    for name in ("a", "b"):
        segment(tmp_path, name, "16 200/mV 16 0 0 0 0 I", number=3)
    (tmp_path / "l.hea").write_text("l 1 250 0\n~ 0 200/mV 16 0 0 0 0 I\n")
    ecg = outcome(tmp_path, "r/3 1 250 6\nl 0\na 3\nb 3\n")
    assert isinstance(ecg, Ecg), ecg
    assert np.asarray(ecg.leads[0].signal).tolist() == [0, 1, 2, 0, 1, 2]
    assert "is not what" in refusal(tmp_path, "r/1 1 250 2\na 2\n")


def test_names_that_the_library_would_take_for_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "a::zip"
    folder.mkdir()
    assert "two colons" in refusal(folder, ONE)
    outcome(tmp_path, ONE)
    (tmp_path / "r.hea").rename(tmp_path / "r.HEA")
    [(_, found)] = read(tmp_path / "r.HEA")
    assert "capitals" in str(found)
