"""Workers that somebody starts: without `python -m worker`, or in vain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.brokers import open_valkey
from tests.parts import HOUSE, free_port, wait_until


@pytest.mark.parametrize("queues", [(), ("--queues=interactive,bulk",), ("--queues=celery",)])
def test_a_worker_that_would_eat_what_is_not_its_own_is_refused_with_words(
    redis_url: str, queues: tuple[str, ...]
) -> None:
    done = subprocess.run(
        # Without processes of a pool, which would be left behind.
        [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--pool=solo", *queues],
        env={**os.environ, "ISOLINE_REDIS_URL": redis_url},
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "start it with python -m worker" in done.stderr


def test_a_worker_that_cannot_start_does_not_end_as_if_all_were_well(tmp_path: Path) -> None:
    broker_port = free_port()
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker"],
        env={**os.environ, "ISOLINE_REDIS_URL": f"redis://:a-password@127.0.0.1:{broker_port}/0"},
        cwd=HOUSE,
        stderr=subprocess.DEVNULL,
    )
    try:
        # It waits for its broker, and its processes are there already.
        children = psutil.Process(worker.pid).children
        wait_until(children, 30, "for its processes")
        children()[0].kill()
        broker, _ = open_valkey(tmp_path, broker_port)
        assert worker.wait(60) == 1
        broker.terminate()
        broker.wait(10)
    finally:
        worker.terminate()
