"""The sampling rate that files state, and the one that is given for those that state none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile, UnreadableLine
from isoline.finding import Source
from isoline.formats import AssumedRate, read
from isoline.reading import Remark, read_file

SAMPLES = np.array([1, 5, 2, 7, 1, 4, 3, 8, 2, 6, 1, 9, 3, 5, 2, 7, 4, 6, 1, 8], np.int16)


def wfdb(folder: Path, rate: str = " 360") -> Path:
    SAMPLES.astype("<i2").tofile(folder / "r.dat")
    path = folder / "r.hea"
    path.write_text(f"r 1{rate}\nr.dat 16 200 16 0 0 0 0 I\n")
    return path


def edf(folder: Path) -> Path:
    signal = edfio.EdfSignal(
        np.resize(SAMPLES, 720).astype(float), 360, label="I", physical_dimension="mV"
    )
    path = folder / "a.edf"
    edfio.Edf([signal]).write(path)
    return path


def table(folder: Path) -> Path:
    path = folder / "a.csv"
    path.write_text("time,I\n" + "".join(f"{n / 360:.6f},{s}\n" for n, s in enumerate(SAMPLES)))
    return path


def table_without_a_header(folder: Path) -> Path:
    path = folder / "b.csv"
    path.write_text("".join(f"{n / 360:.6f},{s}\n" for n, s in enumerate(SAMPLES)))
    return path


def as_json(folder: Path) -> Path:
    path = folder / "a.json"
    lead = {"name": "I", "signal": SAMPLES.tolist()}
    path.write_text(json.dumps({"sampling_rate": 360, "leads": [lead]}))
    return path


def archive(folder: Path) -> Path:
    np.savez(folder / "a.npz", I=SAMPLES, fs=360)
    return folder / "a.npz"


def found_in(path: Path, given_hz: float | None = None) -> Any:
    return [found for _, found in read(path, given_hz)][-1]


@pytest.mark.parametrize("make", [wfdb, edf, table, table_without_a_header, as_json, archive])
def test_a_file_that_states_another_rate_than_the_given_one_is_refused(
    tmp_path: Path, make: Any
) -> None:
    path = make(tmp_path)
    assert found_in(path).sampling_rate == pytest.approx(360)
    assert found_in(path, 360).sampling_rate == pytest.approx(360)
    refused = found_in(path, 500)
    assert isinstance(refused, UnreadableFile)
    assert str(refused).startswith("It says 360 Hz, and --fs 500: ")


def test_a_line_that_states_another_rate_does_not_end_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    line = as_json(tmp_path).read_text()
    path.write_text(f"{line}\n{line.replace('360', '500')}\n{line.replace('360', 'null')}\n")
    found = [ecg for _, ecg in read(path, 500)]
    assert [type(one) for one in found] == [UnreadableLine, Ecg, Ecg]
    assert [one.sampling_rate for one in found if isinstance(one, Ecg)] == [500, 500]


@pytest.mark.parametrize("rate", [128, 257, 300, 360, 400])
def test_times_too_coarse_to_tell_a_rate_tell_that_another_is_wrong(
    tmp_path: Path, rate: int
) -> None:
    path = tmp_path / "a.csv"
    rows = (f"{n / rate:.3f},{sample}\n" for n, sample in enumerate(SAMPLES[:10]))
    path.write_text("time,I\n" + "".join(rows))
    assert found_in(path, rate).sampling_rate == rate
    assert isinstance(found_in(path, 2 * rate), UnreadableFile)


@pytest.mark.parametrize(
    ("step", "given_hz", "is_read"),
    [
        (4, 250, True),
        (4000, 250, True),
        (4, 250_000, True),
        (4, 500, False),
        # Milliseconds, or numbers of rows: nobody knows.
        (1, 500, False),
        # Seconds, as long as they can be.
        (0.004, 250, True),
        (0.004, 500, False),
    ],
)
def test_the_given_rate_says_in_which_unit_times_are(
    tmp_path: Path, step: float, given_hz: float, is_read: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,I\n" + "".join(f"{n * step:g},{s}\n" for n, s in enumerate(SAMPLES)))
    found = found_in(path, given_hz)
    assert isinstance(found, Ecg) == is_read, found
    assert not is_read or found.sampling_rate == given_hz


def test_a_record_of_wfdb_that_states_no_rate_is_told_of(tmp_path: Path) -> None:
    path = wfdb(tmp_path, "")
    notice, ecg = (found for _, found in read(path))
    assert isinstance(notice, AssumedRate)
    assert isinstance(ecg, Ecg)
    assert ecg.sampling_rate == 250
    remark, _ = read_file(Source("r.hea", path), None)
    assert isinstance(remark, Remark)
    assert "It does not say its sampling rate, nor does --fs: 250 Hz are taken" in remark.text
    [(_, given)] = read(path, 360)
    assert isinstance(given, Ecg)
    assert given.sampling_rate == 360


@pytest.mark.parametrize("rate", [" 0", " 0.0", " 0/1(0) 20", " .0 20"])
@pytest.mark.parametrize("given_hz", [None, 360])
def test_a_rate_of_zero_is_none(tmp_path: Path, rate: str, given_hz: float | None) -> None:
    refused = found_in(wfdb(tmp_path, rate), given_hz)
    assert str(refused) == "Its header says that its sampling rate is 0 Hz."


TIMES = np.arange(SAMPLES.size) / 360


@pytest.mark.parametrize(
    "arrays",
    [
        {"time": TIMES},
        {"t": TIMES.astype(np.float32)},
        {"time_ms": TIMES * 1000},
        {"time": TIMES, "fs": np.array(360)},
        {"elapsed_us": np.round(TIMES * 1e6).astype(int)},
    ],
)
def test_an_array_of_times_is_no_lead_and_gives_the_rate(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    path = tmp_path / "a.npz"
    for named in ({"I": SAMPLES, "II": SAMPLES}, {"signal": np.array([SAMPLES, SAMPLES]).T}):
        for ordered in ({**arrays, **named}, {**named, **arrays}):
            np.savez(path, **ordered)
            ecg = found_in(path)
            assert isinstance(ecg, Ecg), ecg
            assert [lead.name for lead in ecg.leads] in (["I", "II"], ["signal 1", "signal 2"])
            assert ecg.sampling_rate == pytest.approx(360)
            assert isinstance(found_in(path, 500), UnreadableFile)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"time": TIMES**2}, "times in time do not go up evenly"),
        ({"time": TIMES[1:]}, "19 times, and 20 samples of lead I"),
        ({"time": TIMES, "fs": np.array(500)}, "times are those of another sampling rate"),
        ({"time": TIMES * 1000}, "time has no unit, and steps of 2.77778: call it 'time_ms'"),
        ({"time": TIMES, "t": TIMES}, "Lead t only goes up"),
        ({"seconds": TIMES}, "Lead seconds only goes up"),
        ({"rows": np.arange(SAMPLES.size)}, "Lead rows only goes up"),
        ({"time": np.array([TIMES])}, "Lead time 1 only goes up"),
    ],
)
def test_arrays_of_times_that_say_nothing_for_certain(
    tmp_path: Path, arrays: dict[str, Any], says: str
) -> None:
    path = tmp_path / "a.npz"
    for ordered in ({"I": SAMPLES, **arrays}, {**arrays, "I": SAMPLES}):
        np.savez(path, **ordered)
        assert says in str(found_in(path))


def test_a_column_of_times_in_an_array_without_names_is_what_it_is_in_a_table(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.npy"
    for array in (np.array([TIMES, SAMPLES, SAMPLES]), np.array([TIMES, SAMPLES, SAMPLES]).T):
        np.save(path, array)
        ecg = found_in(path)
        assert isinstance(ecg, Ecg), ecg
        assert [lead.name for lead in ecg.leads] == ["1", "2"]
        assert np.asarray(ecg.leads[0].signal).tolist() == SAMPLES.tolist()
        assert ecg.sampling_rate == pytest.approx(360)
        assert isinstance(found_in(path, 500), UnreadableFile)
    for ramp in (np.arange(SAMPLES.size), TIMES**2):
        np.save(path, np.array([ramp, SAMPLES]))
        assert "Lead 1 only goes up" in str(found_in(path))
    np.save(path, np.array([SAMPLES, TIMES]))
    assert "Lead 2 only goes up" in str(found_in(path))
    np.save(path, np.array([TIMES * 1000, SAMPLES]))
    assert "steps of 2.77778, and nothing says what it is" in str(found_in(path))
