"""EDF, CSV, JSON and numpy's files that lie, are too large, or could be read as something else."""

from __future__ import annotations

import os
import pickle
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile, UnreadableLine
from isoline.finding import Source
from isoline.formats import read
from isoline.reading import Unreadable, read_file, read_lines


def outcome(path: Path, fs: float | None = None) -> Any:
    [(_, found)] = read(path, fs)
    return found


def refusal(path: Path) -> str:
    found = outcome(path)
    assert isinstance(found, UnreadableFile), found
    assert str(found).isprintable()
    return str(found)


def signals(ecg: Any) -> list[list[float]]:
    assert isinstance(ecg, Ecg), ecg
    return [np.asarray(lead.signal).tolist() for lead in ecg.leads]


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def sparse(path: Path, size: int) -> None:
    with path.open("ab") as file:
        file.truncate(size)


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.json", "a.edf"])
def test_a_file_of_gigabytes_is_one_line_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    large, good = tmp_path / name, tmp_path / "good.csv"
    good.write_text("I\n1\n")
    large.write_text("I\n1\n")
    if name == "a.npy":
        np.save(large, np.zeros(1, np.int16))
        content = large.read_bytes().replace(b"(1,), }", b"(1500000000,), }")
        large.write_bytes(content.replace(b" " * 9 + b"\n", b"\n"))
    if name == "a.edf":
        edfio.Edf([edfio.EdfSignal(np.zeros(10), 10, physical_range=(-1, 1))]).write(large)
        content = large.read_bytes()
        large.write_bytes(content[:236] + b"-1      " + content[244:])
    sparse(large, 3 * 10**9 + (128 if name == "a.npy" else 0))
    bad: list[Unreadable] = []
    with little_memory():
        sources = [Source(path.name, path) for path in (large, good)]
        lines = list(read_lines(sources, None, bad.append, print, lambda: None))
    assert lines == [b'{"custom_id":"good.csv","leads":[{"name":"I","signal":[1]}]}']
    [only] = bad
    assert "too large for an upload" in only.reason


def test_a_line_of_json_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"leads": []}\n[')
    sparse(path, 400 * 2**20)
    with path.open("ab") as file:
        file.write(b'\n{"leads": []}\n')
    found = [ecg for _, ecg in read(path)]
    assert [type(ecg) for ecg in found] == [Ecg, UnreadableLine, Ecg]
    assert "Line 2: It is too large" in str(found[1])


def test_arrays_of_an_archive_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    lead = np.zeros(2**21, np.int8)
    np.savez_compressed(path, *[lead] * 20)
    assert path.stat().st_size < 2**20
    with little_memory():
        assert "too large for an upload: 41,943,040 samples" in refusal(path)


def npy(header: str, *, version: int = 2, promised: int | None = None) -> bytes:
    """An array as numpy writes it, which may promise a longer header than it has."""
    length = len(header) if promised is None else promised
    return (
        b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little")
    ) + header.encode()


HEADER = "{'descr': '|i1', 'fortran_order': False, 'shape': (3,)}\n"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_arrays_of_every_version(tmp_path: Path, version: int) -> None:
    content = npy(HEADER, version=version) + bytes([1, 2, 3])
    (tmp_path / "a.npy").write_bytes(content)
    assert signals(outcome(tmp_path / "a.npy")) == [[1, 2, 3]]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("I.npy", content)
    assert signals(outcome(tmp_path / "a.npz")) == [[1, 2, 3]]


@pytest.mark.parametrize("version", [0, 4, 255])
def test_arrays_of_no_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(HEADER, version=version) + bytes([1, 2, 3]))
    assert (
        refusal(path)
        == f"It is written in version {version}.0 of numpy's format, which is not read."
    )


@pytest.mark.parametrize("promised", [2**16 + 1, 2**28, 2**32 - 1])
def test_a_header_longer_than_any_takes_no_memory(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(HEADER, promised=promised))
    sparse(path, promised + 2**20)
    with little_memory():
        assert refusal(path) == f"Its header is {promised:,} bytes long, and 65,536 are the most."


def test_a_header_that_unpacks_to_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("I.npy", "w") as member,
    ):
        member.write(npy(HEADER, promised=2**31))
        for _ in range(100):
            member.write(b" " * 2**20)
    assert path.stat().st_size < 2**17
    with little_memory():
        assert "Its header is 2,147,483,648 bytes long" in refusal(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_as_numpy_never_does_takes_no_memory(tmp_path: Path, packed: int) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr("I.npy", npy(HEADER) + bytes(3 + 10 * 2**20))
    with little_memory():
        assert refusal(path) == "It is compressed in a way that numpy does not write."


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/isoline-was-here",)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    objects = np.array([Bomb()], dtype=object)
    if name == "a.npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, I=np.array([1]), II=objects, allow_pickle=True)
    assert "not numbers" in refusal(path)
    path.write_bytes(pickle.dumps(Bomb()))
    assert refusal(path)
    assert not Path("/tmp/isoline-was-here").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, "c16"),
        np.zeros(3, bool),
        np.zeros(3, "f4,i2"),
        np.zeros(3, "S3"),
        np.zeros(3, "M8[s]"),
        np.zeros(3, np.longdouble),
        np.zeros(()),
        np.zeros((2, 3, 4)),
        np.zeros((5, 5)),
    ],
    ids=str,
)
def test_arrays_that_are_no_recording(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    assert refusal(tmp_path / "a.npy")


def test_arrays_with_something_behind_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(b"x")
    assert "longer than its header" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "numbers",
    [
        {"fs": 0},
        {"fs": -1},
        {"fs": np.nan},
        {"gain": np.inf},
        {"gain": [1, 2]},
        {"fs": 250, "sampling_rate": 500},
    ],
)
def test_numbers_beside_arrays(tmp_path: Path, numbers: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", I=np.array([1, 2]), **numbers)
    assert refusal(tmp_path / "a.npz")


def test_an_archive_with_a_name_twice(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1]))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "I.npy")
        archive.write(tmp_path / "a.npy", "I")
    assert "same name" in refusal(tmp_path / "a.npz")


def edf(path: Path, changes: dict[int, bytes], *, leads: int = 2, tail: bytes = b"") -> Path:
    signals = [
        edfio.EdfSignal.from_digital(
            np.arange(20, dtype=np.int16),
            10,
            label=f"L{number}",
            physical_dimension="mV",
            physical_range=(-1, 1),
            digital_range=(-100, 100),
        )
        for number in range(leads)
    ]
    edfio.Edf(signals).write(path)
    content = bytearray(path.read_bytes())
    for at, field in changes.items():
        content[at : at + len(field)] = field
    path.write_bytes(bytes(content) + tail)
    return path


# Where the fields of two signals stand: physical minimum, maximum, digital ones, samples a record.
UNIT, LOW, HIGH, DIGITAL_LOW, LENGTH = 448, 464, 480, 496, 688


@pytest.mark.parametrize(
    ("changes", "tail", "says"),
    [
        ({236: b"-5      "}, b"", "shorter|longer|header"),
        ({236: b"1       "}, b"", "longer"),
        ({236: b"1_0     "}, b"", "not that of an EDF"),
        ({}, b"x", "longer"),
        ({236: b"99999999"}, b"", "shorter"),
        ({LENGTH: b"99999999"}, b"", "shorter"),
        ({LENGTH: b"0       "}, b"", "not that of an EDF"),
        ({LENGTH: b"-3      "}, b"", "not that of an EDF"),
        ({244: b"0       "}, b"", "how long a record lasts"),
        ({244: b"nan     "}, b"", "how long a record lasts"),
        ({244: b"-1      "}, b"", "how long a record lasts"),
        ({252: b"9999"}, b"", "not that of an EDF"),
        ({252: b"-1  "}, b"", "not that of an EDF"),
        ({0: b"\xffBIOSEMI"}, b"", "not that of an EDF"),
        ({DIGITAL_LOW: b"100     "}, b"", "says nothing"),
        ({LOW: b"1       "}, b"", "says nothing"),
        ({LOW: b"nan     "}, b"", "says nothing"),
        ({LOW: b"1e999   "}, b"", "damaged"),
        ({LOW: b"0.999999999999999"[:8]}, b"", ""),
        ({LOW: b"1e300   "}, b"", "cannot be true"),
    ],
)
def test_edf_that_lies(tmp_path: Path, changes: dict[int, bytes], tail: bytes, says: str) -> None:
    found = outcome(edf(tmp_path / "a.edf", changes, tail=tail))
    if says:
        assert isinstance(found, UnreadableFile), found
        assert any(word in str(found) for word in says.split("|")), found


def test_edf_whose_length_nobody_knew(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", {236: b"-1      "}, tail=b"cut")
    assert [len(signal) for signal in signals(outcome(path))] == [20, 20]


@pytest.mark.parametrize("unit", ["uV", "µV"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_edf_in_microvolts(tmp_path: Path, unit: str, encoding: str) -> None:
    field = unit.encode(encoding).ljust(8)
    ecg = outcome(edf(tmp_path / "a.edf", {UNIT: field * 2}))
    assert ecg.gain == 100_000
    # One in microvolts, the other in millivolts: both are millivolts then.
    ecg = outcome(edf(tmp_path / "a.edf", {UNIT: field}))
    assert (ecg.unit, ecg.gain) == ("mV", None)
    assert signals(ecg)[0] == pytest.approx([one / 100_000 for one in range(20)])
    assert signals(ecg)[1] == pytest.approx([one / 100 for one in range(20)])


def test_edf_upside_down(tmp_path: Path) -> None:
    ecg = outcome(edf(tmp_path / "a.edf", {LOW: b"1       " * 2, HIGH: b"-1      " * 2}))
    assert (ecg.gain, ecg.baseline) == (100, 0)
    assert signals(ecg)[0] == [-one for one in range(20)]


def test_edf_with_nothing_but_annotations(tmp_path: Path) -> None:
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, None, "x")]).write(tmp_path / "a.edf")
    assert refusal(tmp_path / "a.edf")


@pytest.mark.parametrize(
    ("text", "expected", "rate"),
    [
        ("I;II\n1,5;2\n2,25;-3\n", [[1.5, 2.25], [2, -3]], None),
        ("1,5;2,5\n3,5;4,5\n", [[1.5, 3.5], [2.5, 4.5]], None),
        ("Zeit\tI\n", None, None),
        ('"I";"II"\n"1,5";"2"\n', [[1.5], [2]], None),
        ('I,II\n"1","2"\n', [[1], [2]], None),
        ("I\n1e308\n-1e308\n", [[1e308, -1e308]], None),
        ("I,II\r\r\n1,2\r\r\n", [[1], [2]], None),
        ("time_ms,I\n0,1\n4,2\n8,3\n", [[1, 2, 3]], 250),
        ("Elapsed time [s],I\n0,1\n0.002,2\n0.004,3\n", [[1, 2, 3]], 500),
        (
            "timestamp,I\n2026-01-01T00:00:00.000Z,1\n2026-01-01T00:00:00.004Z,2\n",
            [[1, 2]],
            250,
        ),
        ("I\n1\n", [[1]], None),
        ("I,time\n5,0.0\n6,0.004\n7,0.008\n", [[5, 6, 7]], 250),
        ("sample,I,time\n0,5,0.0\n1,6,0.004\n", [[5, 6]], 250),
        # Nothing is missing where nothing follows, or nothing has come yet.
        ("I,II\n\n1,2\n3,4\n\n \n\n", [[1, 3], [2, 4]], None),
        ("0.0\n1\n", [[0, 1]], None),
        ("1\n2\n", [[1, 2]], None),
        # A step is no ramp, nor is a line without one.
        (
            "I,II\n" + "0.5,7\n" * 300 + "1.5,7\n" * 300,
            [[0.5] * 300 + [1.5] * 300, [7] * 600],
            None,
        ),
        ("I,II\n1,0.5\n2,1.5\n3,2.5\n4,3.5\n", [[1, 2, 3, 4], [0.5, 1.5, 2.5, 3.5]], None),
        ("timestamp,I\n1700000000.000,1\n1700000000.004,2\n", [[1, 2]], 250),
    ],
)
def test_tables(tmp_path: Path, text: str, expected: Any, rate: float | None) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    found = outcome(path)
    if expected is None:
        assert isinstance(found, UnreadableFile), found
    else:
        assert (signals(found), found.sampling_rate) == (expected, rate)


RAMP = range(20)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("I;II\n1,5;2.5\n", "not a number"),
        ("I,II\n", "no samples in it: line 1 is taken for a header, since 'I' is not a number"),
        ("# of Monday\n1,x\n", "line 2 is taken for a header, since 'x' is not a number"),
        ("I\ninf\n", "'inf' is not a number"),
        ("I\n1e999\n", "'1e999' is not a number"),
        ("I\n99999999999999999999\n", "not a number"),
        ("I\nTrue\nFalse\n", "not a number"),
        ("I\n0x10\n", "not a number"),
        ("0,1\n5,6\n", "counts the columns"),
        ("1,2,3\n5,6,7\n", "counts the columns"),
        ("1,2\n5,6\n", "counts the columns"),
        ("0\n0.5\n-0.5\n", "counts the columns"),
        ("1;2\n5;6\n", "counts the columns"),
        ("I\n1\n\n2\n", "Line 3 is empty"),
        ("1\n \n2\n", "Line 2 is empty"),
        ("I,II\n\n1,2\n3,4\n\n\n5,6\n", "Line 5 is empty"),
        ("# made by hand\nI,II\n1,2\r\n\r\n3,4\n", "Line 4 is empty"),
        ("I,II\r\r\n1,2\r\r\n\r\r\n3,4\r\r\n", "Line 3 is empty"),
        ("Zeit,I\n0,5\n0.004,6\n0.009,5\n0.012,7\n", "only goes up"),
        ("0.5,5\n0.504,6\n0.509,5\n0.518,7\n", "only goes up"),
        ("Zeit,I\n0,5\n0.004,6\n0.008,5\n0.012,7\n", "only goes up"),
        ("zeit,I\n" + "".join(f"{4 * n + n % 3},5\n" for n in RAMP), "only goes up"),
        ("Zeit,I\n" + "".join(f"{n / 256:.2f},{n % 3}\n" for n in range(100)), "only goes up"),
        ("time,I\n0,1\n4,2\n8,3\n", "no unit"),
        ("time,I\n2026-01-01,1\n\x1b[2J,2\n", "not a number"),
        ("time,I\n2026-01-01T00:00:01Z,1\n2026-01-01T00:00:00Z,2\n", "do not go up evenly"),
        ("zeit,I\n" + "".join(f"{4 * n},5\n" for n in RAMP), "only goes up"),
        ("".join(f"{4 * n},5\n" for n in RAMP), "only goes up"),
        (",".join(map(str, range(5, 2000))) + "\n", "more columns than rows"),
        ("\x1b[2J,II\nx,1\n", "column \\x1b[2J"),
        ('"I\n1\n2\n', ""),
        ("t" + "_" * 100_000 + "x,II\n1,2\n", "longer than any"),
        ("I" + " " * 100_000 + "I,II\n1,2\n", "longer than any"),
        ("I" * 200_000 + ",II\n1,2\n", "field larger"),
    ],
)
def test_tables_that_could_be_read_wrongly(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert says in refusal(path)


@pytest.mark.parametrize("rate", [128, 200, 257, 300, 360, 400])
@pytest.mark.parametrize("header", ["time,I\n", ""])
def test_times_that_were_rounded(tmp_path: Path, rate: int, header: str) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{n / rate:.3f},{n % 7}\n" for n in range(2000)]
    path.write_text(header + "".join(rows))
    assert outcome(path).sampling_rate == rate
    assert len(outcome(path).leads) == 1
    for gone in (1, 1000, 1998):
        path.write_text(header + "".join(rows[:gone] + rows[gone + 1 :]))
        assert isinstance(outcome(path), UnreadableFile)
    path.write_text("time,I\n" + "".join(rows[:10]))
    found = outcome(path)
    assert isinstance(found, UnreadableFile) or found.sampling_rate == rate
    assert outcome(path, rate).sampling_rate == rate


def test_hundreds_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"V{n}" for n in range(300)) + "\n" + ",".join(["7"] * 300) + "\n")
    assert signals(outcome(path)) == [[7]] * 300


@pytest.mark.parametrize(
    "signal",
    ["[1e999]", "[NaN]", f"[{10**400}]", f"[{10**30}]", "[true]", "[null]", '["1"]', "[[1]]"],
)
def test_json_with_what_is_no_sample(tmp_path: Path, signal: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"leads": [{"name": "I", "signal": ' + signal + "}]}")
    [line] = read_file(Source("a.json", path), 500)
    # What JSON calls a number and the server does not take, the server refuses.
    assert isinstance(line, Unreadable) or signal == f"[{10**30}]", line


def test_json_as_windows_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"leads": [{"name": "I", "signal": [1, -0.0]}]}\r\n')
    assert signals(outcome(path)) == [[1, 0]]
    path.write_bytes('{"leads": []}'.encode("utf-16"))
    assert "no ECG in JSON" in refusal(path)
    path.write_text('{"leads":' * 100_000)
    assert "no ECG in JSON" in refusal(path)


def test_what_a_file_says_is_never_obeyed_by_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '{"leads": [{"name": "\\u001b[2J\\u009b", "signal": [1], "number_of_samples": 2}]}'
    )
    assert r"Lead \x1b[2J\x9b is said" in refusal(path)
