"""The data folder: private, and of one run at a time; the keys in it."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from shared.errors import SettingsError
from standalone import keys
from standalone.data_folder import IGNORED, LOCK, occupy


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with occupy(tmp_path / "deep down" / "data"):
            assert mode_of(tmp_path / "deep down" / "data") == 0o700
            assert mode_of(tmp_path / "deep down" / "data" / LOCK) == 0o600
    finally:
        os.umask(before)


def test_an_empty_folder_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with occupy(tmp_path):
        assert mode_of(tmp_path) == 0o700


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(SettingsError, match="ISOLINE_DATA_DIR"), occupy(tmp_path):
        pass
    assert mode_of(tmp_path) == 0o755


def test_a_folder_with_nothing_but_a_backup_is_taken_and_closed(tmp_path: Path) -> None:
    (tmp_path / "isoline.db").touch()
    tmp_path.chmod(0o755)
    with occupy(tmp_path):
        assert mode_of(tmp_path) == 0o700


def test_a_start_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="taken"), occupy(tmp_path / "deep down" / "data"):
        raise SettingsError("The port is taken.")
    assert os.listdir(tmp_path) == []


def test_what_was_there_before_a_start_or_came_by_it_stays(tmp_path: Path) -> None:
    with occupy(tmp_path):
        pass
    assert os.listdir(tmp_path) == [LOCK]
    with occupy(tmp_path / "data"):
        (tmp_path / "data" / "admin_token").touch()
    assert sorted(os.listdir(tmp_path / "data")) == [IGNORED, "admin_token", LOCK]


def test_what_is_no_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot hold"), occupy(tmp_path / "file"):
        pass


def test_a_second_run_is_refused_and_told_about_the_first(tmp_path: Path) -> None:
    with occupy(tmp_path):
        expected = f"already runs on {tmp_path} \\(process {os.getpid()}\\)"
        with pytest.raises(SettingsError, match=expected), occupy(tmp_path):
            pass
    with occupy(tmp_path):
        pass


def test_a_new_run_waits_for_what_a_killed_one_left_behind(tmp_path: Path) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    with occupy(tmp_path) as lock:
        leftover = subprocess.Popen(["/bin/sleep", "600"], pass_fds=[lock])
        # As if the one who took it had been killed.
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(gone.pid).encode(), 0)
    timer = threading.Timer(0.3, leftover.kill)
    timer.start()
    with occupy(tmp_path):
        assert leftover.wait(0) is not None


def test_a_secret_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secret = keys.keep(tmp_path / "admin_token")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "admin_token") == 0o600
    assert len(secret) >= 43
    assert keys.keep(tmp_path / "admin_token") == secret
    assert keys.keep(tmp_path / "another") != secret
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin_token", "another"]


def test_a_secret_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "admin_token").write_text("a-secret-of-my-own-making\n")
    (tmp_path / "admin_token").chmod(0o644)
    assert keys.keep(tmp_path / "admin_token") == "a-secret-of-my-own-making"
    assert mode_of(tmp_path / "admin_token") == 0o600


@pytest.mark.parametrize("damaged", ["", "too-short", "sixteen letters and\nmore", "é" * 20])
def test_a_damaged_secret_is_refused_with_a_way_out(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "admin_token").write_text(damaged)
    with pytest.raises(SettingsError, match="delete it"):
        keys.keep(tmp_path / "admin_token")
