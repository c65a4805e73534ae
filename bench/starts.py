"""How long everything takes to start: `python -m bench.starts`.

From the command to the first answer, and of that what Python's imports take, in processor time.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench.tables import print_table
from shared.broker import Broker, Role
from tests.chaos.house import House
from tests.parts import wait_until

# What each process imports before anything else, by the name it is started under.
MODULES = {"api": "api.routes.desk, api.wsgi", "worker": "worker.app", "relay": "worker.relay"}


def until_there(house: House, name: str, is_there: Callable[[], bool]) -> float:
    """Stop it, start it again; the seconds from then until it is there."""
    house.stop(name)
    wait_until(lambda: not is_there(), what=f"for {name} to be missed")
    began_s = time.perf_counter()
    house.start(name)
    wait_until(is_there, what=f"for {name}")
    return time.perf_counter() - began_s


def import_cpu_s(modules: str, environ: Mapping[str, str]) -> float:
    """Processor time of a Python that imports these and ends, less that of one with none."""
    return _cpu_s(f"import {modules}", environ) - _cpu_s("", environ)


def _cpu_s(program: str, environ: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def is_heard(house: House, role: Role) -> bool:
    """Whether anybody in this role was just heard, by somebody who remembers nothing."""
    roll = Broker(house.redis_url).roll()
    return bool(roll and roll.online(role))


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.starts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as name:
        folder = Path(name)
        with House(folder, f"sqlite:///{folder / 'isoline.db'}") as house:
            signs: dict[str, Callable[[], bool]] = {
                "api": house.answers,
                "worker": partial(is_heard, house, "worker"),
                "relay": partial(is_heard, house, "relay"),
            }
            rows = []
            for started, is_there in signs.items():
                begin = partial(until_there, house, started, is_there)
                importing = partial(import_cpu_s, MODULES[started], house.environ)
                rows.append(
                    {
                        "process": started,
                        "from the command to its first sign, ms": _median_ms(begin, asked.rounds),
                        "imports, CPU ms": _median_ms(importing, asked.rounds),
                    }
                )
    print_table("Starting", rows)


def _median_ms(measure: Callable[[], float], rounds: int) -> int:
    return round(1e3 * statistics.median(measure() for _ in range(rounds)))


if __name__ == "__main__":
    main()
