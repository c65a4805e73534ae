"""The short run on PostgreSQL, which dies as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.short import run_shortly
from tests.databases import open_postgresql_server


@pytest.mark.timeout(240)
def test_nothing_is_lost_doubled_or_wrong_while_everything_dies(tmp_path: Path) -> None:
    with open_postgresql_server() as server:
        outcome = run_shortly(tmp_path, server.url, 200, server)
    assert outcome.done["database killed, back after 5 s"] == 1
