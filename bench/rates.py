"""Uploads to finished, and what an ECG takes, of several programs in turn.

Whoever is measured is done when the client holds the insights of every ECG: of single uploads by a
poll for each, of a batch by its results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench import bulk, singles
from bench.cases import Case, Stand

CONNECTIONS = {
    "S": (1, 8, 64),
    "P12": (1, 8, 64),
    "F12": (1, 8, 64),
    "P12gz": (1, 8, 64),
    # 64 bodies of that size are more than an API takes at once.
    "H2": (1, 8),
    "P12all": (1, 8),
    "H2all": (1,),
}
# Batches, one at a time, beside single uploads over so many connections.
BULK_OF = {"P12 bulk": "P12", "P12all bulk": "P12all"}
# The peers take no gzip.
PLAIN_OF = {"P12gz": "P12"}
BULK_LINES = 2_000
BULK_BESIDE = 8
RULE = (
    "Until the client holds the insights of every ECG: of single uploads by polling each of them "
    f"over as many connections, of a bulk ({BULK_LINES:,} lines, one batch at a time) by reading "
    f"its results. Programs without batches: single uploads over {BULK_BESIDE} connections; those "
    "without gzip: plain bodies"
)


async def measure(
    stands: Sequence[Stand],
    cases: Mapping[str, Case],
    connections: Mapping[str, Sequence[int]],
    rounds: int,
    seconds: float,
) -> list[singles.Run]:
    """Uploads in a closed loop, to finished: every case, every program, round by round."""
    for case in cases.values():
        await singles.right([one for one in stands if one.is_isoline or not case.is_gzip], case)
    runs = []
    for name, case in cases.items():
        for _ in range(rounds):
            for number in connections[name]:
                for stand in stands:
                    if case.is_gzip and not stand.is_isoline:
                        continue
                    await singles.forget(stand)
                    runs.append(await singles.rate(stand, case, number, seconds))
            if name in BULK_OF.values():
                lines = replace(case, name=f"{name} bulk")
                runs += [bulk.rate(one, lines, BULK_LINES) for one in stands if one.is_isoline]
    return runs


def table(runs: Sequence[singles.Run]) -> list[dict[str, Any]]:
    """One row for each case and number of connections."""
    rows = []
    for case, number in dict.fromkeys((run.case, run.connections) for run in runs):
        middle = middle_of(runs, case, number)
        mine = middle["isoline"]
        if case in BULK_OF:
            # The peers have no batches: what they can do is single uploads, of the same run.
            middle = {**middle_of(runs, BULK_OF[case], BULK_BESIDE), **middle}
        elif case in PLAIN_OF:
            middle = {**middle_of(runs, PLAIN_OF[case], number), **middle}
        row: dict[str, Any] = {"case": case, "connections": number}
        for stand, run in middle.items():
            row[f"{stand} ECG/s"] = round(run.a_second, 1 if run.a_second < 10 else 0)
        for stand, run in middle.items():
            if stand != "isoline":
                row[f"× {stand}"] = round(mine.a_second / run.a_second, 1)
        rows.append(row)
    return rows


def costs(runs: Sequence[singles.Run]) -> list[dict[str, Any]]:
    """One row for each case, number of connections and program: what an ECG takes."""
    rows = []
    for case, number in dict.fromkeys((run.case, run.connections) for run in runs):
        for stand, run in middle_of(runs, case, number).items():
            row: dict[str, Any] = {"case": case, "connections": number, "program": stand}
            row["upload p50 / p99 ms"] = f"{run.upload_p50_ms:.1f} / {run.upload_p99_ms:.1f}"
            row["CPU ms"] = round(sum(run.cpu_ms.values()), 2)
            row["of which"] = {part: round(ms, 2) for part, ms in run.cpu_ms.items() if ms >= 0.005}
            row["bytes stored"] = round(run.stored_bytes)
            if run.logged_bytes:
                row["bytes of PostgreSQL's log"] = round(run.logged_bytes)
            rows.append(row)
    return rows


def middle_of(runs: Sequence[singles.Run], case: str, number: int) -> dict[str, singles.Run]:
    """The run in the middle of each program that was measured with that."""
    alike = [run for run in runs if (run.case, run.connections) == (case, number)]
    return {
        stand: singles.median_of([run for run in alike if run.stand == stand])
        for stand in dict.fromkeys(run.stand for run in alike)
    }
