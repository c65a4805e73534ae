"""All real recordings beside the checkout, as the command submits them, against numpy's count."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isoline import Client, Insights
from isoline.finding import find_sources
from tests.parts import HOUSE
from tests.stack import Stack

DATA = HOUSE.parent / "shared" / "data"


def expected(header: Path) -> dict[str, int]:
    """How often each lead crosses its baseline, from the bytes of the file and its header's words.

    Nothing of ours is asked: formats 212 and 16 as header(5) and signal(5) describe them.
    """
    record, *signals = [
        line.split() for line in header.read_text().splitlines() if line.strip() and line[0] != "#"
    ]
    leads, samples = int(record[1]), int(record[3])
    signals = signals[:leads]
    form, _, skipped = signals[0][1].partition("+")
    raw = (header.parent / signals[0][0]).read_bytes()[int(skipped or 0) :]
    if form in {"16", "16x1"}:
        counts: NDArray[np.int64] = np.frombuffer(raw, "<i2").astype(np.int64)
    else:
        assert form == "212"
        bytes_ = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int64)
        first = bytes_[:, 0] + 256 * (bytes_[:, 1] % 16)
        second = bytes_[:, 2] + 256 * (bytes_[:, 1] // 16)
        counts = np.stack([first, second], axis=1).ravel()
        counts[counts >= 2048] -= 4096
    crossings = {}
    for number, signal in enumerate(signals):
        gain = re.match(r"[^(/]+\((-?\d+)\)", signal[2])
        zero = int(gain[1] if gain else signal[4])
        signs = np.sign(counts[: leads * samples].reshape(samples, leads)[:, number] - zero)
        signs = signs[signs != 0]
        crossings[signal[8]] = int(np.count_nonzero(signs[1:] != signs[:-1]))
    return crossings


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder of real recordings is not beside the checkout"
)
def test_every_lead_of_every_recording_is_counted_as_numpy_counts_it(
    isoline: Client, stack: Stack, token: str, tmp_path: Path
) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(HOUSE / "client"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "ISOLINE_URL": stack.url,
        "ISOLINE_TOKEN": token,
    }
    command = [sys.executable, "-m", "isoline", "batch", "submit", str(DATA), "--watch", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=110)
    # All are read, though not everything there is a recording.
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stderr
    submitted = json.loads(done.stdout)
    assert submitted["status"] == "finished"
    assert submitted["finished"] == submitted["total"] == len(find_sources([DATA]).sources)
    lines = list(isoline.batch_insights(submitted["id"]))
    assert len(lines) == submitted["total"]
    found = {
        line.custom_id or "": {lead.name: lead.number_of_zero_crossings for lead in line.leads}
        for line in lines
    }
    headers = {
        name: DATA / name for name in found if re.match(r"(mitdb|cpsc2018|nstdb)/.*hea", name)
    }
    assert len(headers) >= 30
    assert {name: found[name] for name in headers} == {
        name: expected(header) for name, header in headers.items()
    }
    forms = {Path(line.custom_id or "").name: line for line in lines}
    header = said(forms["A0001.hea"])
    assert len(header) > 300
    for name in ("A0001.edf", "A0001.csv"):
        other = said(forms[name])
        assert other.keys() == header.keys()
        for way, value in header.items():
            # Decimals of millivolts in one form are not in the other what they are as counts.
            same = value if isinstance(value, str | None) else pytest.approx(value, abs=1e-3)
            assert other[way] == same, (name, way)


def said(line: Insights) -> dict[str, Any]:
    """Every figure of every insight, of the leads and of the whole, by its way through the tree.

    Amplitudes are compared in millivolts, in which the three forms are written; only the CSV does
    not say so, and has them under the name of counts.
    """
    found: dict[str, Any] = {}

    def walk(way: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, below in value.items():
                walk(f"{way}/{name.removesuffix('_adc').removesuffix('_mv')}", below)
        elif isinstance(value, list):
            for number, below in enumerate(value):
                walk(f"{way}/{number}", below)
        else:
            found[way] = value

    for lead in line.leads:
        walk(lead.name, lead.insights)
    walk("ecg", line.insights)
    return found
