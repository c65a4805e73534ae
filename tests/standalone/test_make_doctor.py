"""`make doctor`: what it asks where the stack of this machine runs, and where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from shared import doctor
from shared.settings import Settings
from standalone.data_folder import BROKER_URL, is_occupied, occupy
from standalone.doctor import parts_of


def page(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    settings = Settings.from_environ({"ISOLINE_DATA_DIR": str(folder)})
    code = doctor.main(settings, [], parts_of(settings))
    return code, capsys.readouterr().out


def test_where_nothing_runs_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "never was", tmp_path / "was"):
        code, said = page(folder, capsys)
        assert code == 1
        first, advice, _, last = said.splitlines()
        assert first == f"!!  Isoline        does not run on {folder}"
        assert advice.endswith("make run")
        assert last == "1 of 1 need somebody."
        with occupy(tmp_path / "was"):
            pass
    assert not (tmp_path / "never was").exists()


def test_where_it_runs_nobody_is_told_to_start_what_comes_back_by_itself(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.zadd("isoline:heartbeats", {"worker:somebody": client.time()[0] - 60})
    with occupy(tmp_path):
        assert is_occupied(tmp_path)
        (tmp_path / BROKER_URL).write_text(redis_url)
        code, said = page(tmp_path, capsys)
    assert code == 1
    assert "!!  workers        0 online (somebody 6" in said
    assert "`make run` brings it back by itself" in said
    assert "python -m worker" not in said
    assert not is_occupied(tmp_path)
