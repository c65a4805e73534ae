"""Three times more than can be done, for a minute: `python -m bench.pressure`.

What is answered, how large the processes get, and how long it takes until an upload is answered as
soon as before. It fails when an upload is neither stored nor refused as documented, or when that
takes longer than ten seconds. Uploads begin at a fixed rate whatever the answers do; everything
runs on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from bench.cases import Case, Stand, cases, open_isoline
from bench.load import Reply, connections
from bench.singles import at_a_rate, idle, quantile, rate, settle
from bench.tables import print_table
from tests.databases import another_database, open_postgresql

# Normal again: three uploads running that take less than so many times the median of before.
NORMAL = 2.0
NORMAL_WITHIN_S = 10.0
LOOKED_FOR_S = 120.0
# Less of what was asked for is another load.
KEPT_UP = 0.9
# What compose lets an API have.
MOST_MB = 1536 * 2**20 / 1e6
UPLOADS = 50
PARTS_OF_TIME = 3


@contextmanager
def weighing(stand: Stand) -> Iterator[dict[str, list[float]]]:
    """How large each part is, with its children, in MB, four times a second until the end."""
    sizes: dict[str, list[float]] = {}
    is_over = threading.Event()

    # Of PostgreSQL each connection would count what all of them share.
    families = {
        name: [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for name, pid in stand.parts().items()
        if name != "postgresql"
    }

    def weigh() -> None:
        # Nobody is looked for meanwhile: that takes a tenth of what there is to share.
        while not is_over.wait(0.25):
            for name, family in families.items():
                size = sum(one.memory_info().rss for one in family if one.is_running()) / 1e6
                sizes.setdefault(name, []).append(size)

    thread = threading.Thread(target=weigh)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join()


def largest_in_each_third(sizes: dict[str, list[float]]) -> str:
    """What is bounded has become as large as it gets before the end."""
    said = []
    for name, of in sizes.items():
        length = -(-len(of) // PARTS_OF_TIME)
        thirds = [max(of[start : start + length]) for start in range(0, len(of), length)]
        said.append(f"{name}: {' → '.join(f'{size:.0f}' for size in thirds)}")
    return "; ".join(said)


async def uploads(stand: Stand, case: Case, within_s: float) -> AsyncIterator[Reply]:
    """One upload after the other, with a pause between, for so long."""
    began_s = time.perf_counter()
    async with connections(stand.port, 1) as [connection]:
        while time.perf_counter() - began_s < within_s:
            yield await connection.send(stand.upload(case, 0))
            await asyncio.sleep(0.05)


async def to_201(stand: Stand, case: Case) -> list[float]:
    """The seconds until some uploads were answered, on an idle system."""
    took_s: list[float] = []
    async for reply in uploads(stand, case, LOOKED_FOR_S):
        assert reply.status == 201, reply.body
        took_s.append(reply.took_s)
        if len(took_s) == UPLOADS:
            break
    return took_s


async def until_normal(stand: Stand, case: Case, limit_s: float) -> None:
    """Upload one after the other until three running are quick."""
    quick = 0
    async for reply in uploads(stand, case, LOOKED_FOR_S):
        quick = quick + 1 if reply.status == 201 and reply.took_s < limit_s else 0
        if quick == 3:
            break
    else:
        raise AssertionError("not normal again")


async def press(
    stand: Stand, case: Case, times: float, seconds: float, most: int
) -> tuple[dict[str, str], list[str]]:
    """Do it; what was found, and what of it must not be."""
    idle_s = await idle(stand, case, UPLOADS)
    before_ms = quantile(await to_201(stand, case), 0.5)
    capacity = (await rate(stand, case, 8, 5.0)).a_second
    with weighing(stand) as sizes:
        met = await at_a_rate(stand, case, times * capacity, seconds, most=most)
    # From the end of the load, not from that of its answers.
    ended_s = time.perf_counter() - met["drained_s"]
    await until_normal(stand, case, NORMAL * before_ms / 1e3)
    normal_s = time.perf_counter() - ended_s
    await settle(stand, case)
    settled_s = time.perf_counter() - ended_s
    after_ms = quantile(await to_201(stand, case), 0.5)
    idle_after_s = await idle(stand, case, UPLOADS)
    wrong = met["neither_stored_nor_refused"]
    found = {
        "to finished in a closed loop, 8 connections": f"{capacity:.0f}/s",
        "asked for": f"{times * capacity:.0f}/s for {seconds:.0f} s",
        f"begun, over {most:,} connections": f"{met['begun_a_second']:.0f}/s, "
        f"{met['begun_a_second'] / capacity:.1f} times what can be done",
        "answers": ", ".join(f"{status}: {number:,}" for status, number in met["statuses"].items()),
        "neither 201, nor 429 or 503 with Retry-After and a problem": f"{wrong}",
        "stored: p50, p99": f"{met['p50_ms']:.0f}, {met['p99_ms']:.0f} ms",
        "largest, MB, each with its children, in each third of that time": largest_in_each_third(
            sizes
        ),
        "to 201, idle, before": f"{before_ms:.1f} ms",
        f"at most {NORMAL:g} times that, three times running": f"{normal_s:.1f} s after the last "
        "one was begun",
        "all that was accepted is finished": f"{settled_s:.1f} s after the last one was begun",
        "to 201, idle, then": f"{after_ms:.1f} ms",
        "upload to insights, idle, before and then": f"{quantile(idle_s, 0.5):.1f} and "
        f"{quantile(idle_after_s, 0.5):.1f} ms",
    }
    faults = []
    if wrong:
        faults.append(f"{wrong} uploads were neither stored nor refused as documented.")
    if normal_s > NORMAL_WITHIN_S:
        faults.append(f"Uploads were slow for {normal_s:.0f} s after the end.")
    if met["begun_a_second"] < KEPT_UP * times * capacity:
        faults.append(f"Only {met['begun_a_second']:.0f} a second were begun.")
    if max(sizes["api"]) > MOST_MB:
        faults.append(f"The API took {max(sizes['api']):.0f} MB.")
    return found, faults


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pressure", description=__doc__)
    parser.add_argument("--case", default="P12")
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--connections",
        type=int,
        default=4096,
        help="at most: who finds none waits for one, and is then begun late",
    )
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    asked = parser.parse_args()
    # For the connections of this end.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        url = ""
        if asked.postgresql:
            url = another_database(stack.enter_context(open_postgresql()), "bench")
        stand = stack.enter_context(open_isoline(folder, url))
        case = cases()[asked.case]
        found, faults = asyncio.run(
            press(stand, case, asked.times, asked.seconds, asked.connections)
        )
    print_table(
        "Under pressure", [{"what": what, "figure": figure} for what, figure in found.items()]
    )
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
