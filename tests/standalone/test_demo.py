"""What `make demo` uploads and prints, and what the banner offers to paste."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isoline import Ecg
from isoline.formats import read
from shared.settings import Settings
from standalone.banner import banner, exports, login, snippet
from standalone.demo import table
from standalone.synthetic import BASELINE, GAIN_PER_MV, SAMPLING_RATE_HZ, make_ecg
from tests.parts import HOUSE


def test_the_synthetic_ecg_has_twelve_leads_that_agree_with_each_other() -> None:
    leads = {
        lead["name"]: (np.array(lead["signal"]) - BASELINE) / GAIN_PER_MV
        for lead in make_ecg()["leads"]
    }
    assert list(leads) == ["I", "II", "III", "aVR", "aVL", "aVF", *(f"V{n}" for n in range(1, 7))]
    rounding_mv = 2 / GAIN_PER_MV
    assert np.abs(leads["I"] + leads["III"] - leads["II"]).max() < rounding_mv
    assert np.abs(leads["aVR"] + leads["aVL"] + leads["aVF"]).max() < rounding_mv


def test_the_synthetic_heart_beats_twelve_times_in_ten_seconds() -> None:
    [signal] = [lead["signal"] for lead in make_ecg()["leads"] if lead["name"] == "II"]
    assert all(type(sample) is int for sample in signal)
    is_high = (np.array(signal) - BASELINE) / GAIN_PER_MV > 0.6
    peaks = np.flatnonzero(is_high[1:] & ~is_high[:-1])
    assert len(peaks) == 12
    rates_bpm = 60 * SAMPLING_RATE_HZ / np.diff(peaks)
    assert 68 < rates_bpm.min() < rates_bpm.max() < 76


def test_the_table_has_a_row_for_each_measurement_and_a_column_for_each_lead() -> None:
    leads = [
        {"name": "I", "insights": {"crossings": {"version": 1, "count": 12, "rate_hz": 1.23456}}},
        {"name": "aVR", "insights": {"crossings": {"version": 1, "not_computable": "why"}}},
    ]
    assert table(leads).splitlines() == [
        "                      I   aVR",
        "crossings.count      12     -",
        "crossings.rate_hz 1.235     -",
    ]


def test_one_column_without_a_name_has_no_header() -> None:
    assert table([{"name": "", "insights": {"rr": {"version": 1, "count": 12}}}]) == "rr.count 12"
    assert (
        table([{"name": "", "insights": {"rr": {"not_computable": "needs beats"}}}]).strip() == ""
    )


def test_an_archive_says_what_it_is_in_and_how_many_there_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "standalone.synthetic", str(tmp_path / "a"), "2"]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True)
    assert done.stdout == f"2 ECGs in {tmp_path / 'a'}/\n"
    [(_, found)] = read(tmp_path / "a" / "ecg00002.csv")
    assert isinstance(found, Ecg)
    assert (found.unit, found.sampling_rate) == ("mv", SAMPLING_RATE_HZ)
    assert [lead.name for lead in found.leads][:3] == ["I", "II", "III"]


def test_a_table_of_twelve_leads_fits_a_terminal() -> None:
    measured = {"zero_crossings": {"version": 1, "count": 146, "rate_hz": 14.63}}
    leads = [{"name": f"V{number}", "insights": measured} for number in range(1, 13)]
    lines = table(leads).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == [f"V{number}" for number in range(1, 7)]
    assert lines[3] == ""
    assert lines[4].split() == [f"V{number}" for number in range(7, 13)]
    assert lines[5].split() == ["zero_crossings.count", *["146"] * 6]


def test_the_banner_names_secrets_and_shows_none(tmp_path: Path) -> None:
    token_file, password_file = tmp_path / "admin_token", tmp_path / "flower_password"
    url = "http://127.0.0.1:8000"
    usual = Settings.from_environ({})
    said = banner(usual, url, token_file, "http://127.0.0.1:5555", password_file)
    for expected in (str(token_file), str(password_file), "/docs", "user isoline", "Not a medical"):
        assert expected in said
    assert f"isoline login {url} --admin --token-stdin < {token_file}\n" in said
    assert "export" not in said
    secrets = {
        "ISOLINE_ADMIN_TOKEN": "the-token-that-was-chosen",
        "ISOLINE_DATABASE_URL": "postgresql://ada:password@host/isoline",
        "ISOLINE_REDIS_URL": "redis://:password@host",
    }
    said = banner(Settings.from_environ(secrets), url, None, None, password_file)
    assert "ISOLINE_FLOWER_PORT=0" in said
    assert "Admin token  in ISOLINE_ADMIN_TOKEN" in said
    assert f'echo "$ISOLINE_ADMIN_TOKEN" | isoline login {url} --admin --token-stdin\n' in said
    for name in secrets:
        assert f"{name}=…" in said
    assert "that-was-chosen" not in said
    assert "password@" not in said
    assert str(password_file) not in said


def test_the_banner_has_for_another_terminal_what_was_chosen_in_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "a 'quoted' folder"
    chosen = {
        "ISOLINE_PORT": "8001",
        "ISOLINE_FLOWER_PORT": "5556",
        "ISOLINE_HOST": "0.0.0.0",
        "ISOLINE_DATA_DIR": str(folder),
    }
    command = exports(Settings.from_environ(chosen))
    done = subprocess.run(
        ["sh", "-c", f"{command}; env"], env={}, capture_output=True, text=True, check=True
    )
    told = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: text for name, text in told.items() if "ISOLINE" in name} == chosen


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("file", [None, "/a 'quoted' folder/$HOME/admin_token"])
def test_shells_can_read_the_snippet(shell: str, file: str | None) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    token_file = Path(file) if file else None
    url = "http://[::1]:8000"
    said = f"{snippet(url, token_file)}\n{login(url, token_file)}\n"
    subprocess.run([shell, "-n"], input=said, text=True, check=True)
