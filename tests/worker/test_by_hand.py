"""A worker that somebody starts without `python -m worker`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.parts import HOUSE


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
