"""Files as they should not be: one clear sentence each, and nothing outside is ever opened."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile, UnreadableLine
from isoline.finding import Source
from isoline.formats import LeftOut, read
from isoline.reading import read_lines


def outcome(path: Path, **options: Any) -> Ecg | UnreadableFile:
    [(_, found)] = read(path, **options)
    assert isinstance(found, Ecg | UnreadableFile)
    return found


def refusal(path: Path) -> str:
    found = outcome(path)
    assert isinstance(found, UnreadableFile), found
    return str(found)


def recording(path: Path, **options: Any) -> Ecg:
    found = outcome(path, **options)
    assert isinstance(found, Ecg), found
    return found


def signals(ecg: Ecg) -> list[list[float]]:
    return [np.asarray(lead.signal).tolist() for lead in ecg.leads]


def wfdb_record(folder: Path, header: str, samples: list[int], name: str = "r") -> Path:
    np.array(samples, "<i2").tofile(folder / f"{name}.dat")
    path = folder / f"{name}.hea"
    path.write_text(header)
    return path


def test_a_record_in_format_16(tmp_path: Path) -> None:
    lead = "r.dat 16 200(7)/mV 16 0 0 0 0 I\n"
    header = f"r 2 250 3 10:00:00 01/02/2003\n{lead}{lead}"
    ecg = recording(wfdb_record(tmp_path, header, [1, 10, 2, 20, 3, 30]))
    assert signals(ecg) == [[1, 2, 3], [10, 20, 30]]
    assert (ecg.sampling_rate, ecg.gain, ecg.baseline) == (250, 200, 7)
    assert ecg.date is not None
    assert ecg.date.isoformat() == "2003-02-01T10:00:00+00:00"


def test_leads_with_zeros_of_their_own_are_brought_to_one(tmp_path: Path) -> None:
    header = "r 2 250 2\nr.dat 16 200(5)/mV 16 0 0 0 0 I\nr.dat 16 200(-5)/mV 16 0 0 0 0 II\n"
    ecg = recording(wfdb_record(tmp_path, header, [5, 5, 6, 6]))
    assert signals(ecg) == [[0, 1], [10, 11]]
    assert (ecg.unit, ecg.gain, ecg.baseline) == ("adc", 200, 0)


def test_a_record_of_two_segments(tmp_path: Path) -> None:
    for name, samples in (("r_1", [1, 2]), ("r_2", [3, 4, 5])):
        header = f"{name} 1 250 {len(samples)}\n{name}.dat 16 200 16 0 {samples[0]} 0 0 I\n"
        wfdb_record(tmp_path, header, samples, name)
    path = tmp_path / "r.hea"
    path.write_text("r/2 1 250 5\nr_1 2\nr_2 3\n")
    assert signals(recording(path)) == [[1, 2, 3, 4, 5]]


OUTSIDE = ["../secret.dat", "/etc/passwd", "http://x/r.dat", "s3://x/r.dat", ".hidden", "a b"]


@pytest.mark.parametrize("name", [*OUTSIDE, "not_there.dat"])
def test_a_header_names_files_beside_it_and_nothing_else(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.dat").write_bytes(bytes(100))
    header = f"r 1 250 2\n{name} 16 200 16 0 0 0 0 I\n"
    path = wfdb_record(tmp_path / "in", header, [1, 2])
    monkeypatch.setattr("wfdb.rdrecord", lambda *_, **__: pytest.fail("it was opened"))
    assert "header" in refusal(path) or "Format" in refusal(path)
    path.write_text(f"r/1 1 250 2\n{name} 2\n")
    assert "header" in refusal(path)


def test_a_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.dat").write_bytes(bytes(100))
    path = wfdb_record(tmp_path / "in", "r 1 250 2\nlink.dat 16 200 16 0 0 0 0 I\n", [1, 2])
    (tmp_path / "in" / "link.dat").symlink_to(tmp_path / "secret.dat")
    assert "link to another folder" in refusal(path)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("", "first line"),
        ("# only a comment\n", "first line"),
        ("r 1 250 1000000000000\nr.dat 16 200 16 0 0 0 0 I\n", "too short"),
        ("r 1 250 3\nr.dat 16+100 200 16 0 0 0 0 I\n", "too short"),
        ("r 2 250 1\nr.dat 16 200 16 0 0 0 0 I\n", "promises 2 signals"),
        ("r 1 250 2\nr.dat 999 200 16 0 0 0 0 I\n", "not read here"),
        ("r 1 250 1\nr.dat 16x2 200 16 0 0 0 0 I\n", "different sampling rates"),
        ("r 0 250 0\n", "no signals"),
        ("r/2 1 250 4\nr 2\n", "promises 2 segments"),
        ("r/2 1 250 4\n~ 2\n~ 2\n", "missing"),
        ("r/1 1 250 2\nr 2\n", "consists of segments"),
    ],
)
def test_a_header_that_promises_what_is_not_there(tmp_path: Path, header: str, says: str) -> None:
    assert says in refusal(wfdb_record(tmp_path, header, [1, 2]))


def test_samples_that_are_marked_as_missing_are_no_numbers(tmp_path: Path) -> None:
    header = "r 1 250 3\nr.dat 16 200 16 0 0 0 0 I\n"
    assert "marked as missing" in refusal(wfdb_record(tmp_path, header, [1, -32768, 2]))


def edf(path: Path, *leads: edfio.EdfSignal) -> Path:
    edfio.Edf(list(leads)).write(path)
    return path


def edf_lead(label: str, counts: list[int], rate: float = 10, **fields: Any) -> edfio.EdfSignal:
    fields = {"physical_dimension": "uV", "physical_range": (-32768, 32767), **fields}
    return edfio.EdfSignal.from_digital(
        np.array(counts, np.int16), rate, label=label, digital_range=(-32768, 32767), **fields
    )


def test_counts_of_edf_stay_counts(tmp_path: Path) -> None:
    counts = [*range(-5, 5)]
    ecg = recording(edf(tmp_path / "a.edf", edf_lead("I", counts), edf_lead("II", counts[::-1])))
    assert signals(ecg) == [counts, counts[::-1]]
    assert (ecg.gain, ecg.baseline, ecg.sampling_rate) == (1000, 0, 10)
    assert [lead.name for lead in ecg.leads] == ["I", "II"]


@pytest.mark.parametrize("counts_a_millivolt", [200, 250, 409.6, 500, 1000, 2000])
@pytest.mark.parametrize(("low", "high"), [(-2048, 2047), (0, 4095), (-8192, 8191)])
def test_zero_that_lies_on_a_count_is_that_count_also_in_a_lead_without_it(
    tmp_path: Path, low: int, high: int, counts_a_millivolt: float
) -> None:
    # None of them is zero, and its neighbours occur: one of them alone in the first lead.
    counts = np.array([3, -1, 5, -1, 3, -3, -1, -5] * 5, np.int16)
    zero = 0 if low else 2048
    # Eight characters, as in the header.
    ends = [float(f"{(end - zero) / counts_a_millivolt:.6f}"[:8]) for end in (low, high)]
    leads = [
        edfio.EdfSignal.from_digital(
            signs * counts + np.int16(zero),
            10,
            label=f"lead {number}",
            digital_range=(low, high),
            physical_dimension="mV",
            physical_range=(ends[0], ends[1]),
        )
        for number, signs in enumerate((1, -1))
    ]
    ecg = recording(edf(tmp_path / "a.edf", *leads))
    zeroed = [np.array(one) - ecg.baseline for one in signals(ecg)]
    crossings = [np.count_nonzero(np.diff(np.sign(one))) for one in zeroed]
    assert crossings == [np.count_nonzero(np.diff(np.sign(counts)))] * 2


def test_zero_is_found_however_few_digits_a_header_has_for_it(tmp_path: Path) -> None:
    chance = np.random.default_rng(7)
    counts = np.array([3, -1, 5, -1, 3, -3, -1, -5] * 5, np.int16)
    for _ in range(200):
        zero = int(chance.integers(-2000, 2000))
        millivolts_a_count = 10 ** chance.uniform(-5, -2.7)
        ends = [(end - zero) * millivolts_a_count for end in (-32768, 32767)]
        low, high = (float(f"{end:.10f}"[:8]) for end in ends)
        if max(len(str(low)), len(str(high))) < 8:
            # One in a hundred, which looks as if it had not been cut.
            continue
        lead = edfio.EdfSignal.from_digital(
            counts + np.int16(zero),
            10,
            label="I",
            digital_range=(-32768, 32767),
            physical_dimension="mV",
            physical_range=(low, high),
        )
        assert recording(edf(tmp_path / "a.edf", lead)).baseline == zero


def test_gains_that_differ_in_the_last_bit_alone_leave_counts_what_they_are(
    tmp_path: Path,
) -> None:
    header = "r 2 250 2\nr.dat 16 1000 16 0 0 0 0 I\nr.dat 16 1000.0000000001 16 0 0 0 0 II\n"
    ecg = recording(wfdb_record(tmp_path, header, [1, -1, 2, -2]))
    assert (ecg.gain, ecg.unit, signals(ecg)) == (1000, "adc", [[1, 2], [-1, -2]])


def test_what_is_no_voltage_is_left_out_beside_what_is(tmp_path: Path) -> None:
    breath = edf_lead("Resp", [1] * 5, 5, physical_dimension="l")
    assert len(recording(edf(tmp_path / "a.edf", edf_lead("I", [1] * 10), breath)).leads) == 1


def test_leads_of_different_rates_are_no_ecg(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", edf_lead("I", [1] * 10, 10), edf_lead("II", [1] * 20, 20))
    assert "different sampling rates" in refusal(path)


@pytest.mark.parametrize("size", [0, 10, 255, 256, 400, 530])
def test_edf_that_is_cut(tmp_path: Path, size: int) -> None:
    path = edf(tmp_path / "a.edf", edf_lead("I", [1] * 10))
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(path)


@pytest.mark.parametrize(("kind", "is_read"), [("EDF+C", True), ("EDF+D", False), ("", True)])
def test_edf_with_gaps_is_refused(tmp_path: Path, kind: str, is_read: bool) -> None:
    path = edf(tmp_path / "a.edf", edf_lead("I", [1] * 10))
    content = bytearray(path.read_bytes())
    content[192:236] = kind.encode().ljust(44)
    path.write_bytes(content)
    assert isinstance(outcome(path), Ecg) == is_read
    assert is_read or "gaps" in refusal(path)


def test_edf_that_promises_more_than_there_is(tmp_path: Path) -> None:
    path = edf(tmp_path / "a.edf", edf_lead("I", [1] * 10))
    content = bytearray(path.read_bytes())
    content[236:244] = b"99999999"
    path.write_bytes(content)
    assert "shorter than its header says" in refusal(path)


@pytest.mark.parametrize(
    ("text", "expected", "rate"),
    [
        ("I,II\n1,2\n3,4\n", [[1, 3], [2, 4]], None),
        ("1,3\n2,4\n", [[1, 2], [3, 4]], None),
        ("I;II\n1;2\n3;4\n", [[1, 3], [2, 4]], None),
        ("I\tII\n1\t2\n3\t4\n", [[1, 3], [2, 4]], None),
        ("\ufeffI,II\r\n1,2\r\n3,4\r\n", [[1, 3], [2, 4]], None),
        ("time,I\n0,5\n0.004,6\n0.008,7\n", [[5, 6, 7]], 250.0),
        ("Time (ms),I\n0,5\n4,6\n8,7\n", [[5, 6, 7]], 250.0),
        ("0.000,5\n0.002,6\n0.004,7\n", [[5, 6, 7]], 500.0),
        ("1,5\n2,6\n3,7\n", [[1, 2, 3], [5, 6, 7]], None),
        ("I\n0.1\n-0.25\n", [[0.1, -0.25]], None),
        ("I\n1\n2\n\n", [[1, 2]], None),
        ("I [mV]\n1.5\n2.5\n", [[1.5, 2.5]], None),
        # The rows are numbered, as pandas and the tools of PhysioNet do.
        (",I\n0,5\n1,6\n", [[5, 6]], None),
        ("sample,I\n0,5\n1,6\n", [[5, 6]], None),
        ("'sample #','I','V5'\n7,5,1\n8,6,2\n", [[5, 6], [1, 2]], None),
    ],
)
def test_tables_as_people_write_them(
    tmp_path: Path, text: str, expected: list[list[float]], rate: float | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    ecg = recording(path)
    assert (signals(ecg), ecg.sampling_rate) == (expected, rate)
    given = recording(path, sampling_rate_hz=rate or 360)
    assert given.sampling_rate == (rate or 360)
    assert all("mV" not in lead.name for lead in ecg.leads)


@pytest.mark.parametrize(
    ("text", "names", "expected", "rate", "unit"),
    [
        # As `rdsamp -c -v -p`, `-v -p`, `-v -pe`, `-c -v` and `-p` of the WFDB tools write them.
        (
            "'Elapsed time','MLII','V5'\n'sec','mV','mV'\n0.000,-0.145,1\n0.008,-0.15,2\n",
            ["MLII", "V5"],
            [[-0.145, -0.15], [1, 2]],
            125.0,
            "mv",
        ),
        (
            "   Elapsed time\t   MLII\t     V5\n      (seconds)\t   (uV)\t   (uV)\n"
            "          0.000\t   -145\t      1\n          0.004\t    -15\t      2\n",
            ["MLII", "V5"],
            [[-145, -15], [1, 2]],
            250.0,
            "uv",
        ),
        (
            "'Elapsed time','I'\n'hh:mm:ss.mmm','mV'\n"
            "'0:59:59.998',5\n'1:00:00.000',6\n'1:00:00.002',7\n",
            ["I"],
            [[5, 6, 7]],
            500.0,
            "mv",
        ),
        ("'sample #','I'\n0,5\n1,6\n", ["I"], [[5, 6]], None, None),
        ("'sample #','I'\n'sample #','mV'\n0,5\n1,6\n", ["I"], [[5, 6]], None, "mv"),
        ("  0.000\t 5\n  0.002\t 6\n  0.004\t 7\n", ["1"], [[5, 6, 7]], 500.0, None),
        # Units of some columns, of one that has it in its name already, and in ADC counts.
        ("time;I;II\n;mV;mV\n0,000;5;1\n0,002;6;2\n", ["I", "II"], [[5, 6], [1, 2]], 500, "mv"),
        ("I (uV),II\nuV,uV\n5,1\n6,2\n", ["I", "II"], [[5, 6], [1, 2]], None, "uv"),
        ("I,II\nadc,\n5,1\n6,2\n", ["I", "II"], [[5, 6], [1, 2]], None, None),
        # Remarks; one that names the columns is their header, as numpy writes it.
        ("# by Bob, at home\n#\n\ntime,I\nms,uV\n0,5\n2,6\n", ["I"], [[5, 6]], 500.0, "uv"),
        ("\ufeff# by Bob, at home\n0.000,5\n0.002,6\n", ["1"], [[5, 6]], 500.0, None),
        ("# time (ms),I (uV)\n0.0,5\n2.5,6\n5.0,7\n", ["I"], [[5, 6, 7]], 400.0, "uv"),
        ('"I\nx",II\nmV,mV\n5,1\n6,2\n', ["I\nx", "II"], [[5, 6], [1, 2]], None, "mv"),
    ],
)
def test_what_stands_above_the_samples(
    tmp_path: Path,
    text: str,
    names: list[str],
    expected: list[list[float]],
    rate: float | None,
    unit: str | None,
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    ecg = recording(path)
    assert [lead.name for lead in ecg.leads] == names
    assert (signals(ecg), ecg.sampling_rate, ecg.unit) == (expected, rate, unit)


def test_times_that_the_wfdb_tools_have_rounded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{n / 360:.3f},{n % 7}\n" for n in range(1000))
    path.write_text(f"'Elapsed time','MLII'\n'sec','mV'\n{rows}")
    assert recording(path).sampling_rate == 360
    rows = "".join(f"'{n // 21600}:{n / 360 % 60:06.3f}',{n % 7}\n" for n in range(30_000))
    path.write_text(f"'Elapsed time','MLII'\n'mm:ss.mmm','mV'\n{rows}")
    assert recording(path).sampling_rate == 360


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\x00\x01\x02", "no text"),
        (b"I,II\n1,x\n", "Line 2, column II: 'x' is not a number"),
        (b"I,II\n1\n", "Line 2 has 1 columns, the first one 2."),
        (b"I,II\n1,2\n0,5,6\n", "Line 3 has 3 columns"),
        (b"1,2\n0,5,6\n", "Line 2 has 3 columns"),
        (b"I,II\n1,\n", "Line 2, column II: '' is not a number, and nothing stands for it."),
        (b"I,I\n1,2\n", "the same name"),
        (b"sample,I\n0,5\n2,6\n", "does not count the rows"),
        # Units below the header: only those that are known, and one for all.
        (b"'time','I'\n'sec','mmHg'\n0.000,5\n0.002,6\n", "column I stands 'mmHg'"),
        (b"'time','I'\n'sec','sec'\n0.000,5\n0.002,6\n", "column I stands 'sec'"),
        (b"'time','I'\n'min','mV'\n0.000,5\n0.002,6\n", "column time stands 'min'"),
        (b"time (ms),I\ns,mV\n0.000,5\n0.002,6\n", "another unit below its name: 's'"),
        (b"I (uV),II\nmV,mV\n5,1\n6,2\n", "another unit below its name: 'mV'"),
        (b"'I','II'\n'mV','uV'\n5,1\n6,2\n", "in different units"),
        (b"I (mV),II (uV)\n5,1\n6,2\n", "in different units"),
        (b"'I','II'\n'mV'\n5,1\n6,2\n", "Line 2 has 1 columns"),
        (b"'I','II'\n'mV','mV'\n", "line 1 is taken for a header, since \"'I'\" is not a number"),
        (b"I,II\n'mV','mV'\n5,1\n'mV','mV'\n", "not a number"),
        (b"'time','I'\n'hh:mm:ss','mV'\n'0:00',5\n'0:01',6\n", "not a number"),
        (b'# a remark\n\nI;II\n1,5;2\n"a\nb";3\n', r"Line 6, column I: 'a\nb' is not a number"),
        (b"index,time (ms),I\n0,0,1\n1,2,x\n", "Line 3, column I: 'x' is not a number"),
        (b"7,9\n3,4\n5," + b"x" * 99, f"Line 3, column 2: '{'x' * 40}…' is not a number"),
        (b"# a remark\n", "empty"),
        (b"# a remark\nI,II\n1\n", "Line 3 has 1 columns"),
        (b"# time (ms),I\n0,5\n2.5,6\n9,7\n", "do not go up evenly"),
        # Nothing says that these are no milliseconds.
        (b"0,5\n2.5,6\n5,7\n", "goes up in steps of 2.5"),
        (b"I\nnan\n1\n", "Line 2, column I: 'nan' is not a number"),
        (b"time,I\n0,1\n1,2\n5,3\n", "do not go up evenly"),
        (b"I\n\xff\xfe\n", "no text in UTF-8"),
        (b"time (s)\n1\n2\n", "no signal"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert says in refusal(path)


def test_json_in_the_form_of_an_upload(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps(
            {
                "custom_id": "a",
                "date": "2026-11-23T08:00:00+01:00",
                "sampling_rate": 500,
                "gain": 200,
                "leads": [{"name": "I", "signal": [1, 2.5], "number_of_samples": 2}],
            },
            indent=2,
        )
    )
    [(name, ecg)] = read(path)
    assert isinstance(ecg, Ecg)
    assert (name, ecg.sampling_rate, ecg.gain, signals(ecg)) == ("a", 500, 200, [[1, 2.5]])


@pytest.mark.parametrize("text", ["{", "[]", '{"leads": [{"name": 1}]}', "\xff", "[" * 5000])
def test_json_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    assert "no ECG in JSON" in refusal(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"leads": [{"name": "I", "signal": [1, 2], "number_of_samples": 3}]}', "3 samples"),
        ('{"leads": [], "baselin": 1024}', "baselin"),
        ('{"leads": [], "samplingRate": 500}', "'sampling_rate' seems to be meant"),
        ('{"leads": [], "sample_rate": 500}', "'sampling_rate' seems to be meant"),
        ('{"leads": [], "fs": 500}', "'sampling_rate' seems to be meant"),
        ('{"leads": [], "units": "mV"}', "'unit' seems to be meant"),
        ('{"leads": [], "leadz": []}', "'leads' seems to be meant"),
        ('{"leads": [{"name": "I", "signal": [1], "gain": 200}]}', "'gain' seems to be meant"),
        ('{"leads": [{"name": "I", "signal": [1], "offset": 7}]}', "'baseline' seems to be meant"),
    ],
)
def test_json_that_says_what_would_be_lost_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert says in refusal(path)


def test_fields_that_no_upload_has_are_left_out_and_named_once(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    lead = '{"name": "I", "signal": [1], "quality": "good"}'
    line = '{"leads": [%s], "patient": {"gain": 7}, "number_of_leads": 1, "update": null%s}\n'
    path.write_text(line % (lead, "") + line % (lead, ', "device": 1') + line % (lead, ""))
    found = [ecg for _, ecg in read(path)]
    assert [type(ecg) for ecg in found] == [LeftOut, Ecg, LeftOut, Ecg, Ecg]
    assert str(found[0]).endswith("has: number_of_leads, patient, quality, update.")
    assert str(found[2]).endswith("has: device.")
    sources = [Source("a.ndjson", path)]
    lines = read_lines(sources, None, print, print, print)
    named = [json.loads(line)["custom_id"] for line in lines]
    assert named == ["a.ndjson#1", "a.ndjson#2", "a.ndjson#3"]


def test_a_bad_line_of_ndjson_does_not_end_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"leads": []}\n\nbad\n{"custom_id": "c", "leads": []}\n')
    found = list(read(path))
    assert [type(ecg) for _, ecg in found] == [Ecg, UnreadableLine, Ecg]
    assert str(found[1][1]).startswith("Line 3: ")
    assert found[2][0] == "c"


@pytest.mark.parametrize("dtype", ["<i1", "<i2", ">i2", "<i4", "<u2", "<f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_whichever_way_round(tmp_path: Path, dtype: str, order: Any) -> None:
    samples = np.arange(12).reshape(6, 2).astype(dtype)
    for array in (samples, samples.T):
        np.save(tmp_path / "a.npy", np.asarray(array, order=order))
        assert signals(recording(tmp_path / "a.npy")) == samples.T.tolist()


def test_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", II=np.array([1, 2]), V1=np.array([3.5]), fs=250, baseline=7)
    ecg = recording(tmp_path / "a.npz")
    assert {lead.name: np.asarray(lead.signal).tolist() for lead in ecg.leads} == {
        "II": [1, 2],
        "V1": [3.5],
    }
    assert (ecg.sampling_rate, ecg.baseline) == (250, 7)


def test_arrays_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    ugly: list[Any] = [np.zeros((2, 2, 2)), np.array([True]), np.array([1j]), np.array(["a"])]
    for array in [*ugly, np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array(3)]:
        np.save(path, array)
        assert refusal(path)
    # Objects would be run as a program.
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not numbers" in refusal(path)
    claims = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claims, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    path.write_bytes(claims.getvalue())
    assert "shorter than its header says" in refusal(path)
    path.write_bytes(claims.getvalue()[:20])
    assert refusal(path)
    npz = tmp_path / "a.npz"
    npz.write_bytes(b"PK\x03\x04" + struct.pack("<I", 7) * 10)
    assert refusal(npz)


def test_a_number_beside_arrays_by_a_name_that_is_none_of_theirs(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", I=np.array([1, 2]), frequency=360)
    said = "Array frequency has 0 dimensions, and leads have one or two; a sampling rate is called"
    assert refusal(tmp_path / "a.npz") == f"{said} fs."
    np.save(tmp_path / "a.npy", np.array(360))
    assert refusal(tmp_path / "a.npy") == "The array has 0 dimensions, and leads have one or two."


def test_several_uploads_in_one_file_of_json(tmp_path: Path) -> None:
    for text in ('[{"leads": []}, {"leads": []}]', "\ufeff [1]", "[]"):
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        assert "several go into .ndjson, a line each" in refusal(tmp_path / "a.json")


def test_what_has_no_name_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    assert "does not end like" in refusal(tmp_path / "a.dcm")
    assert "no such file" in refusal(tmp_path / "a.csv")
    (tmp_path / "b.csv").mkdir()
    assert "cannot be opened" in refusal(tmp_path / "b.csv")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    assert "no file" in refusal(tmp_path / "a.csv")
