"""Real ECGs, read here by a few lines of their own, give the counts that a slow look gives."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.signals import decode, encode
from worker.analysis import analyse_ecg

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real recordings are not part of the project and not beside it"
)


def read_212(path: Path) -> list[NDArray[Any]]:
    """Two leads of 12-bit samples: three bytes hold one sample of each."""
    first, middle, last = np.fromfile(path, np.uint8).reshape(-1, 3).T.astype(np.int64)
    leads = [first | (middle & 0x0F) << 8, last | (middle & 0xF0) << 4]
    return [np.where(lead < 2048, lead, lead - 4096) for lead in leads]


def read_mat(path: Path) -> list[NDArray[Any]]:
    """The one int16 matrix of a MATLAB 4 file: a row a lead, stored column by column."""
    content = path.read_bytes()
    kind, rows, columns, imaginary, name_length = struct.unpack_from("<5i", content)
    assert (kind, imaginary) == (30, 0)
    samples = np.frombuffer(content, "<i2", rows * columns, offset=20 + name_length)
    return list(samples.reshape(columns, rows).T)


def count_slowly(lead: NDArray[Any], baseline: int) -> int:
    """Leave out the zeros, then look at each pair of neighbours."""
    signs = [sample > baseline for sample in lead.tolist() if sample != baseline]
    return sum(before != after for before, after in itertools.pairwise(signs))


def assert_read_as_its_header_says(leads: list[NDArray[Any]], header: Path) -> None:
    """Hold first sample and 16-bit checksum of each lead against its line of the WFDB header."""
    lines = header.read_text().splitlines()[1 : 1 + len(leads)]
    for lead, line in zip(leads, lines, strict=True):
        first, checksum = map(int, line.split()[5:7])
        assert int(lead[0]) == first
        assert (int(lead.sum(dtype=np.int64)) - checksum) % 2**16 == 0


RECORDS = {
    "mitdb/100": (read_212, ".dat", 360.0, 1024, [650_000] * 2),
    "cpsc2018/A0001": (read_mat, ".mat", 500.0, 0, [7_500] * 12),
    "nstdb/118e12": (lambda path: [np.fromfile(path, "<i2")], ".dat", 360.0, 0, [650_000]),
}


@pytest.mark.parametrize("record", RECORDS)
def test_stored_and_analysed_a_real_record_has_the_counts_of_a_slow_look(record: str) -> None:
    read, suffix, sampling_rate_hz, baseline, lengths = RECORDS[record]
    leads = read((DATA / record).with_suffix(suffix))
    assert [lead.size for lead in leads] == lengths
    assert_read_as_its_header_says(leads, (DATA / record).with_suffix(".hea"))

    stored = encode(leads)
    analysed = analyse_ecg(
        [str(number) for number in range(len(leads))],
        decode(stored),
        sampling_rate_hz=sampling_rate_hz,
        baseline=baseline,
    )["leads"]

    counts = [count_slowly(lead, baseline) for lead in leads]
    assert [lead["number_of_zero_crossings"] for lead in analysed] == counts
    assert all(counts)
    assert len(stored) < 0.8 * sum(lengths)
