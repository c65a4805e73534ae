"""A fault that is meant for work in hand is done then, and owned up to when there was none."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from shared import database
from shared.database import now_s, transaction
from shared.models import RUNNING, Ecg
from tests.chaos import faults
from tests.chaos.batches import spread
from tests.chaos.clients import Sendable
from tests.chaos.faults import Chaos
from tests.chaos.house import House
from tests.chaos.reckoning import find_left
from tests.chaos.uploads import make_harmless
from tests.parts import wait_until


def test_a_worker_that_has_nothing_in_hand_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "IN_HAND_WITHIN_S", 0.5)
    monkeypatch.setattr(faults, "SENT_AGAIN_AFTER_S", 0.1)
    with House(tmp_path, f"sqlite:///{tmp_path / 'isoline.db'}") as house:
        with house.client() as client:
            client.headers["x-user-token"] = house.register(client, "chaos")
            things: list[Sendable] = [make_harmless(1, seed=1), *spread(3, 1, seed=1, scale=0.0)]
            for thing in things:
                assert thing.post(client).is_success
        wait_until(lambda: not find_left(house.database_url), what="for their end")
        # As what another one had in hand when it was killed.
        engine = database.connect(house.database_url, pool_size=1)
        with transaction(engine) as connection:
            held = {"status": RUNNING, "attempts": 1, "lease_until_s": now_s() + 60.0}
            connection.execute(update(Ecg).values(**held))
        engine.dispose()
        workers = [psutil.Process(house.process(name).pid) for name in ("worker", "bulk")]
        before = [wait_until(worker.children, what="for its pool") for worker in workers]
        there_are = Chaos(house, 1, 1.0, upload=lambda: None, submit=lambda: None).faults()
        for fault in ("worker child killed", "bulk worker killed", "bulk worker's children killed"):
            assert not there_are[fault]()
            assert [worker.children() for worker in workers] == before
