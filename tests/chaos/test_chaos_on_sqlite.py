"""The short run on SQLite: a file of its own, so that the one on PostgreSQL runs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.short import run_shortly


@pytest.mark.timeout(240)
def test_nothing_is_lost_doubled_or_wrong_while_everything_dies(tmp_path: Path) -> None:
    run_shortly(tmp_path, f"sqlite:///{tmp_path / 'isoline.db'}", 240)
