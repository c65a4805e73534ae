"""The short one: each fault once, in a tenth of its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run, schedule


@pytest.mark.timeout(240)
def test_nothing_is_lost_doubled_or_wrong_while_everything_dies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    outcome = run(tmp_path, url, uploads=360, rounds=1, scale=0.1, seed=1, hasty=True)
    assert outcome.is_good, outcome.table("sqlite")
    assert outcome.accepted == 360
    assert outcome.poison_failed == 1


def test_the_seed_decides() -> None:
    names = ["one", "two", "three", "four"]
    assert schedule(names, 3, seed=7) == schedule(names, 3, seed=7)
    assert schedule(names, 3, seed=7) != schedule(names, 3, seed=8)
