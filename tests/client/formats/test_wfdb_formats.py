"""WFDB's formats, written here as signal(5) describes them, bit by bit, and read by way of wfdb.

https://physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile
from isoline.formats import read

with warnings.catch_warnings():
    # What it does when it is imported, pandas calls old-fashioned.
    warnings.simplefilter("ignore")
    import wfdb

BITS = {8: 8, 80: 8, 310: 10, 311: 10, 212: 12, 16: 16, 61: 16, 160: 16, 24: 24, 32: 32}


def pairs_212(samples: list[int]) -> bytes:
    out = bytearray()
    for at in range(0, len(samples), 2):
        first, second = (*[one & 0xFFF for one in samples[at : at + 2]], 0)[:2]
        out += bytes([first & 0xFF, (first >> 8) | (second >> 8) << 4, second & 0xFF])
    return bytes(out[: -(-len(samples) * 3 // 2)])


def triples_310(samples: list[int]) -> bytes:
    out = bytearray()
    for at in range(0, len(samples), 3):
        a, b, c = (*[one & 0x3FF for one in samples[at : at + 3]], 0, 0)[:3]
        words = (a << 1) & 0xFFFF | (c & 0x1F) << 11, (b << 1) & 0xFFFF | (c >> 5) << 11
        out += b"".join(word.to_bytes(2, "little") for word in words)
    return bytes(out)


def triples_311(samples: list[int]) -> bytes:
    out = bytearray()
    for at in range(0, len(samples), 3):
        a, b, c = (*[one & 0x3FF for one in samples[at : at + 3]], 0, 0)[:3]
        out += (a | b << 10 | c << 20).to_bytes(4, "little")
    return bytes(out)


WRITERS: dict[int, Callable[[list[int]], bytes]] = {
    16: lambda samples: np.array(samples, "<i2").tobytes(),
    61: lambda samples: np.array(samples, ">i2").tobytes(),
    32: lambda samples: np.array(samples, "<i4").tobytes(),
    24: lambda samples: b"".join((one & 0xFFFFFF).to_bytes(3, "little") for one in samples),
    80: lambda samples: bytes(one + 128 for one in samples),
    160: lambda samples: np.array([one + 32768 for one in samples], "<u2").tobytes(),
    212: pairs_212,
    310: triples_310,
    311: triples_311,
}


def write(folder: Path, format_: int | str, samples: NDArray[Any], content: bytes) -> Path:
    (folder / "r.dat").write_bytes(content)
    number, leads = samples.shape
    lines = [f"r.dat {format_} 200 16 0 {samples[0, lead]} 0 0 {lead}\n" for lead in range(leads)]
    path = folder / "r.hea"
    path.write_text(f"r {leads} 250 {number}\n{''.join(lines)}")
    return path


def outcome(path: Path) -> Ecg | UnreadableFile:
    [(_, found)] = read(path)
    assert isinstance(found, Ecg | UnreadableFile)
    return found


def assert_holds(path: Path, samples: NDArray[Any]) -> None:
    ecg = outcome(path)
    assert isinstance(ecg, Ecg), ecg
    for lead, expected in zip(ecg.leads, samples.T, strict=True):
        assert np.asarray(lead.signal).dtype.kind == "i"
        assert np.array_equal(lead.signal, expected)


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 1000])
@pytest.mark.parametrize("format_", WRITERS)
def test_every_sample_is_the_one_in_the_file(
    tmp_path: Path, format_: int, number: int, leads: int
) -> None:
    most = 2 ** (BITS[format_] - 1) - 1
    samples = np.random.default_rng(number).integers(-most, most, (number, leads), endpoint=True)
    samples[0], samples[-1] = -most, most
    content = WRITERS[format_](samples.reshape(-1).tolist())
    assert_holds(write(tmp_path, format_, samples, content), samples)
    # With something in front of it, and a length that is not said.
    path = write(tmp_path, f"{format_}+7", samples, b"\xff" * 7 + content)
    assert_holds(path, samples)
    (tmp_path / "r.dat").write_bytes((b"\xff" * 7 + content)[:-1])
    found = outcome(path)
    is_padding = format_ in {310, 311} and isinstance(found, Ecg)
    if is_padding:
        assert_holds(path, samples)
    else:
        assert "too short" in str(found)


def test_format_8_holds_differences(tmp_path: Path) -> None:
    steps = np.random.default_rng(8).integers(-128, 128, (500, 2))
    samples = np.cumsum(steps, axis=0) + np.array([9, -9])
    differences = np.diff(samples, axis=0, prepend=samples[:1]).astype("i1")
    assert_holds(write(tmp_path, 8, samples, differences.tobytes()), samples)
    path = write(tmp_path, 8, samples + 2**31 - 2, differences.tobytes())
    assert "larger than can be counted" in str(outcome(path))


def test_bits_that_belong_to_no_sample_make_none(tmp_path: Path) -> None:
    samples = np.array([[1], [2], [-3]])
    content = bytearray(triples_311([1, 2, -3]))
    content[3] |= 0x40
    assert "no number" in str(outcome(write(tmp_path, 311, samples, bytes(content))))


@pytest.mark.parametrize(("format_", "kind"), [(508, "PCM_S8"), (516, "PCM_16"), (524, "PCM_24")])
def test_flac(tmp_path: Path, format_: int, kind: str) -> None:
    bits = format_ - 500
    most = 2 ** (bits - 1) - 1
    samples = np.random.default_rng(bits).integers(-most, most, (3000, 2), endpoint=True)
    soundfile.write(
        tmp_path / "flac", samples.astype(np.int32) << (32 - bits), 250, format="FLAC", subtype=kind
    )
    content = (tmp_path / "flac").read_bytes()
    path = write(tmp_path, format_, samples, content)
    assert_holds(path, samples)
    path.write_text(path.read_text().replace("250 3000", "250 3001"))
    assert isinstance(outcome(path), UnreadableFile)
    path.write_text(path.read_text().replace("250 3001", "250"))
    assert "how many samples" in str(outcome(path))
    path = write(tmp_path, format_, samples, b"RIFF" + content)
    assert isinstance(outcome(path), UnreadableFile)
    path.write_text("r 1 250 99999999999\nr.dat 516 200\n")
    assert "too large" in str(outcome(path))


def write_two(folder: Path, form: str) -> None:
    """Two records of the same form and length; only their samples, and so their sums, differ."""
    samples = np.random.default_rng(7).integers(-100, 100, (500, 2))
    for name, counts in (("a", samples), ("b", samples[:, ::-1] + [0, 1])):
        wfdb.wrsamp(
            name,
            *(500, ["mV", "mV"], ["I", "II"]),
            d_signal=counts,
            fmt=[form] * 2,
            adc_gain=[200.0] * 2,
            baseline=[0] * 2,
            write_dir=str(folder),
        )


# What it does when it writes, pandas calls old-fashioned.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("form", ["16", "24", "32", "80", "212", "508", "516", "524"])
def test_samples_of_another_header_are_seen_by_their_sum(tmp_path: Path, form: str) -> None:
    write_two(tmp_path, form)
    [(_, found)] = read(tmp_path / "a.hea")
    assert isinstance(found, Ecg)
    (tmp_path / "b.dat").replace(tmp_path / "a.dat")
    [(_, found)] = read(tmp_path / "a.hea")
    assert isinstance(found, UnreadableFile)
    assert "do not belong to this header: checksum" in str(found)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_each_segment_has_its_own_sum(tmp_path: Path) -> None:
    write_two(tmp_path, "212")
    (tmp_path / "m.hea").write_text("m/2 2 500 1000\na 500\nb 500\n")
    [(_, found)] = read(tmp_path / "m.hea")
    assert isinstance(found, Ecg)
    (tmp_path / "b.dat").write_bytes((tmp_path / "a.dat").read_bytes())
    [(_, found)] = read(tmp_path / "m.hea")
    assert "do not belong to this header" in str(found)


@pytest.mark.parametrize(("written", "is_read"), [(6, 1), (65542, 1), (-65530, 1), (0, 1), (7, 0)])
def test_of_a_sum_sixteen_bits_count_and_zero_is_none(
    tmp_path: Path, written: int, is_read: int
) -> None:
    (tmp_path / "r.dat").write_bytes(np.array([1, 2, 3], "<i2").tobytes())
    (tmp_path / "r.hea").write_text(f"r 1 250 3\nr.dat 16 200 16 0 1 {written} 0 I\n")
    [(_, found)] = read(tmp_path / "r.hea")
    assert isinstance(found, Ecg) == bool(is_read)


@pytest.mark.parametrize("written", [62436, -3100])
def test_both_sums_are_shown_with_a_sign_as_headers_write_them(
    tmp_path: Path, written: int
) -> None:
    (tmp_path / "r.dat").write_bytes(np.array([-3000, -110, -6], "<i2").tobytes())
    (tmp_path / "r.hea").write_text(f"r 1 250 3\nr.dat 16 200 16 0 0 {written} 0 I\n")
    [(_, found)] = read(tmp_path / "r.hea")
    assert "checksum -3100 is promised, and -3116 found" in str(found)
