"""Many jobs through one worker: does it grow, does it leak? `python -m bench.soak` (`make soak`).

Rows are written straight into SQLite and rung for one by one; the worker is that of production,
without the relay, which would ring as well. A child is replaced after 10,000 messages, so parent
and children are reported apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import uuid_utils
from sqlalchemy import Engine, func, insert, select

from shared import database, jobs
from shared.database import now_s, reading, transaction
from shared.models import FINISHED, PENDING, Ecg, Signal, User
from shared.signals import encode
from shared.states import IS_PENDING
from tests.chaos.house import House

ROWS_A_BATCH = 2_000
SAMPLES = 5_000
SAMPLE_EVERY_S = 5.0
# Less waits in the queue than the broker needs room for.
MOST_WAITING = 500
STUCK_AFTER_S = 120.0
# The beginning is warming up: imports, pools, the first of everything.
WARM_AFTER = 0.2
# What a process may hold in the last third of the jobs, of what it held in the first.
MOST_GROWTH = 1.10
FEWEST_SAMPLES = 3


@dataclass(frozen=True)
class Sample:
    """What the processes of the worker hold at one moment."""

    jobs: int
    parent_mb: float
    parent_descriptors: int
    children_mb: float
    children_descriptors: int
    children: tuple[int, ...]


# What is looked at, and how many times as much of it there may be at the end.
HELD: dict[str, tuple[tuple[str, Callable[[Sample], float], float], ...]] = {
    "parent": (
        ("megabytes", lambda sample: sample.parent_mb, MOST_GROWTH),
        ("descriptors", lambda sample: sample.parent_descriptors, 1.0),
    ),
    "largest child": (
        ("megabytes", lambda sample: sample.children_mb, MOST_GROWTH),
        ("descriptors", lambda sample: sample.children_descriptors, 1.0),
    ),
}


def seed(engine: Engine, number: int) -> None:
    """Write this many pending ecgs of one user, each of one lead."""
    random = np.random.default_rng(1)
    encoded = encode([random.integers(-400, 400, SAMPLES, dtype=np.int16)])
    with transaction(engine) as connection:
        connection.execute(
            insert(User).values(id=1, username="soak", token_sha256=b"soak", created_at_s=0)
        )
    for start in range(0, number, ROWS_A_BATCH):
        ids = [str(uuid_utils.uuid7()) for _ in range(min(ROWS_A_BATCH, number - start))]
        with transaction(engine) as connection:
            now = connection.scalar(select(now_s()))
            row = {
                "user_id": 1,
                "created_at_s": now,
                "recorded_at_s": now,
                "sampling_rate_hz": 500.0,
                "baseline": 0.0,
                "leads": f'[{{"name":"I","number_of_samples":{SAMPLES}}}]',
                "number_of_leads": 1,
                "request_id": "soak",
                "status": PENDING,
                "attempts": 0,
                "rung_at_s": now,
            }
            connection.execute(insert(Ecg), [{"id": ecg_id, **row} for ecg_id in ids])
            connection.execute(
                insert(Signal), [{"ecg_id": ecg_id, "encoded": encoded} for ecg_id in ids]
            )


def watch(house: House, engine: Engine, number: int) -> list[Sample]:
    """Ring for all of them, a queue's length at a time, and look at the worker meanwhile."""
    with reading(engine) as connection:
        ids = list(connection.scalars(select(Ecg.id).where(IS_PENDING).order_by(Ecg.id)))
    app = jobs.celery_app(house.redis_url)
    samples: list[Sample] = []
    rung, done, progress_s, looked_s = 0, 0, time.monotonic(), 0.0
    while done < number:
        while rung < min(number, done + MOST_WAITING):
            jobs.enqueue(app, [ids[rung]])
            rung += 1
        time.sleep(0.5)
        with reading(engine) as connection:
            finished = connection.scalar(select(func.count()).where(Ecg.status == FINISHED)) or 0
        if finished > done:
            done, progress_s = finished, time.monotonic()
        if time.monotonic() - progress_s > STUCK_AFTER_S:
            raise SystemExit(f"stuck after {done} jobs")
        if time.monotonic() - looked_s > SAMPLE_EVERY_S:
            looked_s = time.monotonic()
            # A child that is just being replaced is not looked at.
            with suppress(psutil.NoSuchProcess):
                samples.append(look(house.process("worker").pid, done))
    samples.append(look(house.process("worker").pid, done))
    if house.ended_by_themselves:
        raise SystemExit(f"ended by themselves: {dict(house.ended_by_themselves)}")
    return samples


def look(worker: int, done: int) -> Sample:
    """Look at a worker's parent and at its children."""
    parent = psutil.Process(worker)
    family = [parent, *parent.children()]
    megabytes = [process.memory_info().rss / 1e6 for process in family]
    descriptors = [process.num_fds() for process in family]
    return Sample(
        jobs=done,
        parent_mb=megabytes[0],
        parent_descriptors=descriptors[0],
        children_mb=max(megabytes[1:]),
        children_descriptors=max(descriptors[1:]),
        children=tuple(process.pid for process in family[1:]),
    )


def report(samples: Sequence[Sample], took_s: float) -> None:
    """Print a dozen of the samples, and how steep the line through all of them is."""
    print("| jobs done | parent, MB | descriptors | largest child, MB | descriptors |")
    print("|---|---|---|---|---|")
    step = max(1, len(samples) // 12)
    for sample in [*samples[:-1:step], samples[-1]]:
        print(
            f"| {sample.jobs:,} | {sample.parent_mb:.1f} | {sample.parent_descriptors} "
            f"| {sample.children_mb:.1f} | {sample.children_descriptors} |"
        )
    warm = [sample for sample in samples if sample.jobs > WARM_AFTER * samples[-1].jobs]
    done = [sample.jobs / 10_000 for sample in warm]
    slopes = {
        "parent, MB": [sample.parent_mb for sample in warm],
        "parent, descriptors": [float(sample.parent_descriptors) for sample in warm],
        "largest child, MB": [sample.children_mb for sample in warm],
        "largest child, descriptors": [float(sample.children_descriptors) for sample in warm],
    }
    print(f"\nSlope for each 10,000 jobs, after the first {WARM_AFTER:.0%}:", end=" ")
    print(", ".join(f"{name} {np.polyfit(done, of, 1)[0]:+.2f}" for name, of in slopes.items()))
    generations = len({child for sample in samples for child in sample.children})
    print(f"{samples[-1].jobs:,} jobs in {took_s:.0f} s, by {generations} children in turn")


def judge(samples: Sequence[Sample]) -> str:
    """Compare the last third of the jobs with the first; say in a sentence what grew, or nothing.

    Medians: a process that is just being forked, or replaced, is looked at as well. Children are
    compared from the first replacement on: who is forked later inherits what its parent has open
    by then, once.
    """
    forked_later = [one for one in samples if not set(one.children) & set(samples[0].children)]
    for whose, some in (("parent", samples), ("largest child", forked_later)):
        first, last = _thirds(some)
        if min(len(first), len(last)) < FEWEST_SAMPLES:
            return f"Too few samples to judge the {whose} by: let it do more jobs."
        for what, of, most_growth in HELD[whose]:
            before, after = (median(map(of, third)) for third in (first, last))
            if after > most_growth * before:
                return f"The {what} of the {whose} grew from {before:.4g} to {after:.4g}."
    return ""


def _thirds(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Those of the first third of the jobs, and those of the last."""
    begin, end = (samples[0].jobs, samples[-1].jobs) if samples else (0, 0)
    third = (end - begin) / 3
    return (
        [sample for sample in samples if sample.jobs <= begin + third],
        [sample for sample in samples if sample.jobs > end - third],
    )


def main() -> int:
    """Seed, watch, report and judge; the exit code says whether the worker grew or leaked."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isoline-soak-") as name:
        folder = Path(name)
        with House(folder, f"sqlite:///{folder / 'isoline.db'}") as house:
            # It would ring for what this script rings for.
            house.stop("relay")
            engine = database.connect(house.database_url, patience_s=30.0)
            seed(engine, asked.jobs)
            began_s = time.monotonic()
            samples = watch(house, engine, asked.jobs)
            engine.dispose()
            report(samples, time.monotonic() - began_s)
    if complaint := judge(samples):
        print(complaint, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
