"""The relay is heard for as long as it goes round, whatever becomes of its rounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import redis
from sqlalchemy import Engine, create_engine, event

from shared.broker import Broker
from tests.parts import ADMIN_TOKEN, HOUSE, wait_until
from worker.pulse import BEAT_S, Pulse


def last_beat_s(broker: redis.Redis) -> float:
    """When the relay was last heard, by the clock of Redis; 0 when it never was."""
    beats = broker.zrange("isoline:heartbeats", 0, -1, withscores=True)
    return max((beat_s for _, beat_s in cast(list[tuple[bytes, float]], beats)), default=0.0)


def test_a_relay_is_heard_while_somebody_else_holds_the_database(
    engine: Engine, redis_url: str, broker: redis.Redis, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "ISOLINE_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "ISOLINE_REDIS_URL": redis_url,
        "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
        "ISOLINE_DATA_DIR": str(tmp_path),
    }
    lock = "LOCK TABLE ecgs IN ACCESS EXCLUSIVE MODE"
    holder = create_engine(engine.url)
    if engine.dialect.name == "sqlite":
        lock = "BEGIN IMMEDIATE"
        event.listen(holder, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
    log = tmp_path / "relay.log"
    with log.open("wb") as written:
        relay = subprocess.Popen(
            [sys.executable, "-m", "worker.relay"], env=environ, cwd=HOUSE, stderr=written
        )
    try:
        wait_until(lambda: last_beat_s(broker), what="for its first beat")
        with holder.connect() as somebody:
            somebody.exec_driver_sql(lock)
            wait_until(lambda: "relay waits" in log.read_text(), 30, "for a round in vain")
            before_s = last_beat_s(broker)
            wait_until(lambda: last_beat_s(broker) > before_s, what="for another beat")
            if engine.dialect.name == "sqlite":
                somebody.exec_driver_sql("ROLLBACK")
    finally:
        relay.terminate()
        assert relay.wait(30) == 0
        holder.dispose()
    # Who ends as asked is not missed.
    assert not last_beat_s(broker)


def test_a_relay_that_hangs_in_a_round_falls_silent(redis_url: str, broker: redis.Redis) -> None:
    with Pulse(Broker(redis_url), longest_round_s=0.0) as pulse:
        time.sleep(2 * BEAT_S)
        assert not last_beat_s(broker)

        def is_heard_after_a_round() -> bool:
            pulse._longest_round_s = 10.0
            pulse.went_round()
            return bool(last_beat_s(broker))

        wait_until(is_heard_after_a_round, what="for a beat after a round")
