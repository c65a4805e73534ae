"""More processes, on PostgreSQL or SQLite: `python -m bench.scaling [--sqlite]`.

One or two API processes and one or two workers, single uploads to finished; or, with `--pools`,
one of each and a pool of so many processes in the worker. All of it shares the processors of one
machine with the database and the clients: what is seen here is what the processes cost each other,
not what machines of their own would bring.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from bench.cases import Case, Stand, cases, open_program
from bench.singles import rate
from bench.tables import print_table
from tests.chaos.house import House
from tests.databases import another_database, open_postgresql
from tests.parts import free_port, wait_until

CONNECTIONS = 16


@dataclass(frozen=True)
class Layout:
    """So many APIs, and so many workers with a pool of so many processes each."""

    apis: int
    workers: int
    pool: int = 1


LAYOUTS = (Layout(1, 1), Layout(2, 1), Layout(1, 2), Layout(2, 2))


async def together(stands: Sequence[Stand], case: Case, seconds: float) -> float:
    """ECGs a second to finished, over all doors at once."""
    runs = await asyncio.gather(
        *(rate(stand, case, CONNECTIONS // len(stands), seconds) for stand in stands)
    )
    return sum(run.a_second for run in runs)


@contextmanager
def open_layout(layout: Layout, url: str) -> Iterator[list[Stand]]:
    """Start it, and find its doors; without a URL it has a SQLite file of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        house = House(folder, url or f"sqlite:///{folder / 'isoline.db'}")
        house.environ["ISOLINE_WORKERS"] = str(layout.pool)
        stack.enter_context(house)
        with httpx.Client(base_url=house.url, timeout=60) as http:
            headers = {"x-user-token": house.register(http, "bench")}
        port = int(house.url.rpartition(":")[2])
        door = Stand("isoline", port, dict, lambda: 0, headers, is_isoline=True)
        doors = [door]
        for _ in range(layout.apis - 1):
            port = free_port()
            stack.enter_context(open_program(["api"], {**house.environ, "ISOLINE_PORT": str(port)}))
            doors.append(replace(door, port=port))
            wait_until(lambda port=port: _is_up(port), what="for another API")
        for _ in range(layout.workers - 1):
            stack.enter_context(open_program(["worker"], house.environ))
        yield doors


def measure(
    houses: Mapping[Layout, Sequence[Stand]], case: Case, seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """One row for each layout: medians of rounds in turn, and of their ratios."""
    met: dict[Layout, list[float]] = {layout: [] for layout in houses}
    for _ in range(1 + rounds):
        for layout, doors in houses.items():
            met[layout].append(asyncio.run(together(doors, case, seconds)))
    first = next(iter(met.values()))
    return [
        {
            "API": layout.apis,
            "worker": layout.workers,
            "processes in its pool": layout.pool,
            # The first round finds nothing warm.
            "ECG/s": round(statistics.median(of[1:])),
            "× the first": round(
                statistics.median(a / b for a, b in zip(of[1:], first[1:], strict=True)), 2
            ),
        }
        for layout, of in met.items()
    ]


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ping").status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", default="P12")
    parser.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    parser.add_argument("--pools", nargs="*", type=int, help="instead of APIs and workers")
    asked = parser.parse_args()
    layouts = [Layout(1, 1, pool) for pool in asked.pools] if asked.pools else LAYOUTS
    case = cases()[asked.case]
    with ExitStack() as stack:
        server = "" if asked.sqlite else stack.enter_context(open_postgresql())
        houses: dict[Layout, list[Stand]] = {}
        for layout in layouts:
            name = f"bench_{layout.apis}_{layout.workers}_{layout.pool}"
            url = another_database(server, name) if server else ""
            houses[layout] = stack.enter_context(open_layout(layout, url))
        rows = measure(houses, case, asked.seconds, asked.rounds)
    kind = "SQLite" if asked.sqlite else "PostgreSQL"
    print_table(f"Processes on {kind}, {asked.case}", rows)


if __name__ == "__main__":
    main()
