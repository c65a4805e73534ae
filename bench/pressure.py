"""Three times more than can be done, for a minute: `python -m bench.pressure`.

What is answered, how large the processes get, and how long it takes until an upload takes as long
as before. Uploads begin at a fixed rate whatever the answers do; everything runs on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.cases import Case, Stand, cases, open_isoline
from bench.load import connections
from bench.singles import at_a_rate, idle, quantile, rate, settle
from bench.tables import print_table
from tests.parts import another_database, open_postgresql

# Normal again: three uploads running that take less than so many times the idle median.
NORMAL = 2.0
LOOKED_FOR_S = 120.0


@contextmanager
def weighing(stand: Stand) -> Iterator[dict[str, float]]:
    """The largest each part gets, with its children, in MB, until the block ends."""
    peaks: dict[str, float] = {}
    is_over = threading.Event()

    def weigh() -> None:
        while not is_over.wait(0.25):
            for name, pid in stand.parts().items():
                parent = psutil.Process(pid)
                family = [parent, *parent.children(recursive=True)]
                size = sum(one.memory_info().rss for one in family if one.is_running()) / 1e6
                peaks[name] = max(peaks.get(name, 0.0), round(size))

    thread = threading.Thread(target=weigh)
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()


async def until_normal(stand: Stand, case: Case, limit_s: float) -> float:
    """Upload one after the other until three running are quick; the seconds until then."""
    began_s = time.perf_counter()
    quick = 0
    async with connections(stand.port, 1) as [connection]:
        while time.perf_counter() - began_s < LOOKED_FOR_S:
            reply = await connection.send(stand.upload(case, 0))
            quick = quick + 1 if reply.status == 201 and reply.took_s < limit_s else 0
            if quick == 3:
                return time.perf_counter() - began_s
            await asyncio.sleep(0.05)
    raise AssertionError("not normal again")


async def press(stand: Stand, case: Case, times: float, seconds: float) -> list[dict[str, Any]]:
    """Do it; rows of what was found."""
    before_s = await idle(stand, case, 50)
    alone_s = quantile(before_s, 0.5) / 1e3
    capacity = (await rate(stand, case, 8, 5.0)).a_second
    with weighing(stand) as peaks:
        met = await at_a_rate(stand, case, times * capacity, seconds)
    normal_s = await until_normal(stand, case, NORMAL * alone_s)
    began_s = time.perf_counter()
    await settle(stand)
    after_s = await idle(stand, case, 50)
    rows = {
        "to finished in a closed loop, 8 connections": f"{capacity:.0f}/s",
        "asked for": f"{times * capacity:.0f}/s for {seconds:.0f} s",
        "answers": met["statuses"],
        "stored: p50, p99": f"{met['p50_ms']:.0f}, {met['p99_ms']:.0f} ms",
        "largest, MB, each with its children": peaks,
        "an upload is quick again after": f"{normal_s:.1f} s",
        "all that was accepted is finished after": f"{time.perf_counter() - began_s:.0f} s more",
        "upload to insights, idle, before and after": f"{1e3 * alone_s:.1f} and "
        f"{quantile(after_s, 0.5):.1f} ms",
    }
    return [{"what": what, "figure": figure} for what, figure in rows.items()]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pressure", description=__doc__)
    parser.add_argument("--case", default="P12")
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        url = ""
        if asked.postgresql:
            url = another_database(stack.enter_context(open_postgresql()), "bench")
        stand = stack.enter_context(open_isoline(folder, url))
        rows = asyncio.run(press(stand, cases()[asked.case], asked.times, asked.seconds))
    print_table("Under pressure", rows)


if __name__ == "__main__":
    main()
