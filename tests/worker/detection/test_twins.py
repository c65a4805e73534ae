"""One recording in several formats has the same beats in each, those that most leads have.

What has no reader of ours is read here by itself, as its standard says.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.records import DATA, read_leads
from bench.scores import pair
from isoline import Ecg
from isoline.formats import read
from worker.analysis import analyse_ecg
from worker.detection.beats import find_beats
from worker.detection.traces import condition

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real recordings are not part of the project and not beside it"
)

Samples = NDArray[Any]
Leads = dict[str, Samples]

ORDER = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "AVR", "AVL", "AVF")
DICOMS_ORDER = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
# As EC57 has it, on either side.
WINDOW_S = 0.15


def of_aecg(content: bytes) -> Leads:
    """HL7 aECG: counts of 2.5 µV as text, first those of the rhythm and then of a median beat."""
    text = content.decode()
    names = re.findall(r"MDC_ECG_LEAD_(\w+)", text)
    digits = re.findall(r"<digits>([^<]*)</digits>", text)
    leads = zip(names, digits, strict=True)
    return {
        name: np.array(one.split(), np.int16) for name, one in itertools.islice(leads, len(ORDER))
    }


def of_dicom(content: bytes) -> Leads:
    """Waveform Data (5400,1010) of its first group: all leads, sample by sample."""
    at = content.index(b"\x00\x54\x10\x10") + 4
    (length,) = struct.unpack_from("<I", content, at)
    samples = np.frombuffer(content, "<i2", length // 2, at + 4).reshape(-1, len(DICOMS_ORDER))
    return {name: lead.copy() for name, lead in zip(DICOMS_ORDER, samples.T, strict=True)}


def of_scp(content: bytes) -> Leads:
    """Section 6 of SCP-ECG: second differences in the default Huffman code."""
    pointers = [struct.unpack_from("<HII", content, 22 + 10 * n) for n in range(12)]
    (begin,) = (index - 1 for number, _, index in pointers if number == 6)
    lengths = struct.unpack_from("<12H", content, begin + 22)
    ends = list(itertools.accumulate(lengths, initial=begin + 46))
    leads = {}
    for name, (first, last) in zip(ORDER, itertools.pairwise(ends), strict=True):
        coded = decode_huffman(content[first:last], 5_000)
        slopes = np.cumsum([coded[1] - coded[0], *coded[2:]])
        leads[name] = np.cumsum([coded[0], *slopes])
    return leads


def decode_huffman(content: bytes, number: int) -> list[int]:
    """So many ones, a zero and a sign are a number up to 8; nine and ten ones begin a plain one."""
    bits = "".join(f"{byte:08b}" for byte in content)
    numbers: list[int] = []
    at = 0
    while len(numbers) < number:
        ones = len(bits[at : at + 10].partition("0")[0])
        if ones < 9:
            at += ones + 2 if ones else 1
            numbers.append(-ones if ones and bits[at - 1] == "1" else ones)
        else:
            width = 8 if ones == 9 else 16
            plain = int(bits[at + 10 : at + 10 + width], 2)
            numbers.append(plain - (plain >> (width - 1) << width))
            at += 10 + width
    return numbers


def of_three() -> dict[str, Leads]:
    readers = {"xml": of_aecg, "dcm": of_dicom, "scp": of_scp}
    return {
        suffix: reader((DATA / "formats" / f"Example.{suffix}").read_bytes())
        for suffix, reader in readers.items()
    }


def analyse(leads: Leads, **words: Any) -> dict[str, Any]:
    return analyse_ecg(list(leads), list(leads.values()), **{"baseline": 0.0, **words})


def of_most(leads: Sequence[Samples], sampling_rate_hz: float) -> NDArray[np.int64]:
    """Where more than half of the leads, each by itself, have a beat within the window."""
    found = [beats for beats in find_beats(condition(leads, sampling_rate_hz)) if beats]
    at = np.sort(np.concatenate([beats.samples for beats in found]))
    edges = np.flatnonzero(np.diff(at) > WINDOW_S * sampling_rate_hz) + 1
    clusters = [one for one in np.split(at, edges) if 2 * one.size > len(leads)]
    return np.array([np.median(one) for one in clusters]).astype(np.int64)


def assert_those_of_most(
    samples: list[int], leads: Sequence[Samples], sampling_rate_hz: float
) -> None:
    """Beat by beat, none too many, and none further off than the window."""
    most, fused = of_most(leads, sampling_rate_hz), np.array(samples)
    pairs = pair(most, fused, WINDOW_S * sampling_rate_hz)
    assert pairs.found.size == fused.size == most.size > 0


def test_dicom_scp_and_aecg_hold_the_same_samples_and_have_the_same_insights() -> None:
    aecg, *others = of_three().values()
    expected = analyse(aecg, sampling_rate_hz=500.0, gain=400.0)
    assert expected["insights"]["beats"]["count"] > 5
    of_leads = {lead["name"]: lead for lead in expected["leads"]}
    for other in others:
        assert {name: lead.tolist() for name, lead in other.items()} == {
            name: lead.tolist() for name, lead in aecg.items()
        }
        said = analyse(other, sampling_rate_hz=500.0, gain=400.0)
        assert said["insights"] == expected["insights"]
        assert {lead["name"]: lead for lead in said["leads"]} == of_leads


@pytest.mark.parametrize("suffix", ["xml", "dcm", "scp"])
def test_their_fused_beats_are_those_that_most_leads_have(suffix: str) -> None:
    leads = of_three()[suffix]
    said = analyse(leads, sampling_rate_hz=500.0)["insights"]["beats"]
    assert_those_of_most(said["samples"], list(leads.values()), 500.0)


def read_one(name: str) -> Ecg:
    ((_, ecg),) = read(DATA / "cpsc2018" / name)
    assert isinstance(ecg, Ecg)
    return ecg


def test_wfdb_edf_and_csv_have_the_same_insights() -> None:
    documents = []
    for name in ("A0001.hea", "A0001.edf", "A0001.csv"):
        ecg = read_one(name)
        leads = {lead.name: np.asarray(lead.signal) for lead in ecg.leads}
        documents.append(analyse(leads, sampling_rate_hz=ecg.sampling_rate, gain=ecg.gain))
    expected, *others = documents
    assert expected["insights"]["beats"]["count"] == 25
    for said in others:
        assert said["insights"] == expected["insights"]
        for one, other in zip(said["leads"], expected["leads"], strict=True):
            # Counts in one, millivolts that were rounded in the others.
            for insight in ("beats", "quality"):
                assert one["insights"][insight] == other["insights"][insight]


@pytest.mark.parametrize("number", range(1, 6))
def test_twelve_leads_fused_have_the_beats_that_most_of_them_have(number: int) -> None:
    leads, sampling_rate_hz = read_leads(DATA / "cpsc2018" / f"A000{number}")
    names = {str(n): lead for n, lead in enumerate(leads)}
    said = analyse(names, sampling_rate_hz=sampling_rate_hz)["insights"]["beats"]
    assert_those_of_most(said["samples"], leads, sampling_rate_hz)
