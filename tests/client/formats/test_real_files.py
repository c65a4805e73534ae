"""Real recordings, where they lie beside the checkout: every sample is the one in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from isoline.ecg import Ecg
from isoline.finding import find_sources
from isoline.formats import read
from tests.parts import HOUSE
from worker.insights import Recording, zero_crossings

DATA = HOUSE.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder of real recordings is not beside the checkout"
)


def the_one(path: Path) -> Ecg:
    [(name, ecg)] = read(path)
    assert name is None
    assert isinstance(ecg, Ecg), ecg
    return ecg


def decode_212(path: Path) -> NDArray[np.int16]:
    """Two samples of twelve bits in three bytes, as header(5) describes them."""
    raw = np.fromfile(path, np.uint8).reshape(-1, 3).astype(np.int16)
    first = raw[:, 0] | ((raw[:, 1] & 0x0F) << 8)
    second = raw[:, 2] | ((raw[:, 1] & 0xF0) << 4)
    samples = np.stack([first, second], axis=1)
    samples[samples >= 2048] -= 4096
    return samples


RECORDS = sorted((DATA / "mitdb").glob("*.hea")) if DATA.is_dir() else []


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_mitdb_as_it_lies_on_the_disk(path: Path) -> None:
    ecg = the_one(path)
    expected = decode_212(path.with_suffix(".dat"))
    assert (ecg.sampling_rate, ecg.gain, ecg.baseline, ecg.unit) == (360, 200, 1024, "adc")
    for lead, samples in zip(ecg.leads, expected.T, strict=True):
        assert np.asarray(lead.signal).dtype.kind == "i"
        assert np.array_equal(lead.signal, samples)


def test_the_twins_of_one_recording_cross_zero_as_often() -> None:
    twins = [the_one(DATA / "cpsc2018" / f"A0001{end}") for end in (".hea", ".edf", ".csv")]
    assert [lead.name for lead in twins[0].leads] == [lead.name for lead in twins[1].leads]
    insights = [
        [
            zero_crossings.compute(
                Recording("lead", [np.asarray(lead.signal) - (twin.baseline or 0)], 500.0), {}
            )
            for lead in twin.leads
        ]
        for twin in twins
    ]
    assert insights[0] == insights[1] == insights[2]
    assert {twin.sampling_rate for twin in twins} == {500.0}
    assert np.array_equal(
        np.stack([np.asarray(lead.signal) for lead in twins[0].leads]),
        np.round(1000 * np.stack([np.asarray(lead.signal) for lead in twins[2].leads])),
    )


def test_in_a_folder_each_recording_is_found_once() -> None:
    findings = find_sources([DATA])
    found = {source.custom_id for source in findings.sources}
    assert len([name for name in found if name.startswith("mitdb/")]) == 25
    assert {"cpsc2018/A0001.hea", "cpsc2018/A0001.edf", "cpsc2018/A0001.csv"} <= found
    assert not any(name.endswith((".dat", ".atr", ".mat")) for name in found)


def test_all_of_them_can_be_read() -> None:
    for source in find_sources([DATA]).sources:
        assert all(isinstance(ecg, Ecg) for _, ecg in read(source.path)), source
