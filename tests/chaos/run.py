"""One run: a schedule of faults drawn by a seed, uploads meanwhile, and the reckoning."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median, quantiles

import httpx
from sqlalchemy import create_engine, select

from shared.models import Ecg, Insights
from tests.chaos.house import Chaos, House
from tests.chaos.uploads import Clients, Sample, make
from tests.parts import PostgreSql, wait_until

PAUSE_S = 1.0
SPARE = 2
LONGEST_UPLOAD_S = 30.0
# Poison that hangs is tried five times, with pauses that double, and is not alone in quarantine.
SETTLED_WITHIN_S = 600.0


class ApiGone(Exception):
    """The API does not come back: nothing is left to be counted."""


@dataclass(frozen=True)
class Outcome:
    """What became of all uploads."""

    accepted: int
    lost: int
    duplicated: int
    wrong: int
    failed: int
    poison_failed: int
    took_s: list[float]
    took_unlocked_s: list[float]
    refused: dict[str, int]
    settled_s: float
    planned: Counter[str]
    done: Counter[str]

    @property
    def not_done(self) -> Counter[str]:
        """The faults of the plan that found nothing to do to: they prove nothing."""
        return self.planned - self.done

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled, wrong or failed without being poison.

        Nor may an upload have been kept waiting, or a fault not have been done.
        """
        is_whole = self.lost == self.duplicated == self.wrong == self.failed == 0
        return is_whole and not self.not_done and max(self.took_s) <= LONGEST_UPLOAD_S

    def table(self, database: str) -> str:
        """The outcome for people."""
        unlocked_s = self.took_unlocked_s
        refused = ", ".join(f"{why} {n}" for why, n in sorted(self.refused.items())) or "none"
        done = ", ".join(f"{name} {n}" for name, n in self.done.items())
        not_done = ", ".join(f"{name} {n}" for name, n in self.not_done.items()) or "none"
        return (
            f"| {database} | |\n|---|---|\n"
            f"| accepted | {self.accepted} |\n"
            f"| lost / duplicated / wrong / failed | "
            f"{self.lost} / {self.duplicated} / {self.wrong} / {self.failed} |\n"
            f"| poison, failed with its reason | {self.poison_failed} |\n"
            f"| answered 503 or cut off, and sent again | {refused} |\n"
            f"| slowest upload | {max(self.took_s):.2f} s |\n"
            f"| database not locked: median, p99, slowest upload | {median(unlocked_s):.3f}, "
            f"{quantiles(unlocked_s, n=100)[98]:.3f}, {max(unlocked_s):.2f} s |\n"
            f"| settled after the last upload | {self.settled_s:.1f} s |\n"
            f"| faults | {done} |\n"
            f"| faults that found nothing to do to | {not_done} |\n"
        )


def schedule(names: list[str], rounds: int, seed: int) -> list[str]:
    """Each fault once a round, in an order drawn by the seed."""
    chance = random.Random(seed)
    return [name for _ in range(rounds) for name in chance.sample(names, len(names))]


def run(
    folder: Path,
    database_url: str,
    *,
    uploads: int,
    rounds: int,
    scale: float,
    seed: int,
    hasty: bool,
    poison_every: int,
    postgresql: PostgreSql | None = None,
) -> Outcome:
    """Upload while everything dies, wait until all has settled, and count.

    Parameters
    ----------
    rounds : how often each fault happens.
    scale : how long the faults take, of what their names say.
    hasty : with short leases and pauses, instead of those of production.
    poison_every : one upload in so many is poison.
    postgresql : the server behind the URL, which then dies as well.
    """
    house = House(folder, database_url, poisoned=True, postgresql=postgresql)
    if not hasty:
        house.environ["POISON_PATIENTLY"] = "yes"
    with house, ExitStack() as stack:
        with house.client() as client:
            token = house.register(client, "chaos")
        clients = stack.enter_context(Clients(house.url, token, seed, poison_every))
        numbers = iter(range(uploads))
        faults = Chaos(house, seed, scale, lambda: clients.give(islice(numbers, 1))).faults()
        plan = schedule(list(faults), rounds, seed)
        done: Counter[str] = Counter()
        locked_s: list[tuple[float, float]] = []
        for name in plan:
            # Some are left for those faults that need an upload at their own time.
            clients.give(islice(numbers, (uploads - SPARE * len(plan)) // len(plan)))
            time.sleep(PAUSE_S * scale)
            begun_s = time.monotonic()
            done[name] += faults[name]()
            if name.startswith("database"):
                locked_s.append((begun_s, time.monotonic()))
        clients.give(numbers)
        clients.finish()
        if clients.is_hopeless:
            raise ApiGone(f"After {len(clients.accepted)} uploads it took no more.")
        began_s = time.monotonic()
        try:
            wait_until(lambda: not _left(database_url), SETTLED_WITHIN_S, "for all to end")
        except AssertionError as error:
            error.add_note(f"Left are, with status and attempts: {_left(database_url)}")
            raise
        settled_s = time.monotonic() - began_s
        with httpx.Client(base_url=house.url, headers={"x-user-token": token}) as client:
            tally = _reckon(client, database_url, clients, uploads)
        return Outcome(
            accepted=len(clients.accepted),
            lost=tally["lost"],
            duplicated=tally["duplicated"],
            wrong=tally["wrong"],
            failed=tally["failed"],
            poison_failed=tally["poison failed"],
            took_s=[took_s for _, took_s in clients.answered],
            took_unlocked_s=[
                took_s
                for began_s, took_s in clients.answered
                if not any(a < began_s + took_s and began_s < b for a, b in locked_s)
            ],
            refused=clients.refused,
            settled_s=settled_s,
            planned=Counter(plan),
            done=done,
        )


def _left(database_url: str) -> list[tuple[str, str, int]]:
    engine = create_engine(database_url)
    columns = Ecg.id, Ecg.status, Ecg.attempts
    with engine.connect() as connection:
        found = connection.execute(select(*columns).where(Ecg.status.in_(["pending", "running"])))
        left = [(row.id, row.status, row.attempts) for row in found]
    engine.dispose()
    return left


def _reckon(
    client: httpx.Client, database_url: str, clients: Clients, uploads: int
) -> Counter[str]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(select(Ecg.id, Ecg.idempotency_key)).all()
        documents = Counter(connection.scalars(select(Insights.ecg_id)))
    engine.dispose()
    keys = Counter(row.idempotency_key for row in rows)
    known = {row.id for row in rows}
    tally: Counter[str] = Counter()
    for number in range(uploads):
        sample = make(number, clients.seed, clients.poison_every)
        ecg_id = clients.accepted.get(number)
        if ecg_id is None or ecg_id not in known:
            tally["lost"] += 1
            continue
        tally[_judge(sample, client.get(f"/ecgs/{ecg_id}/insights"))] += 1
        tally["duplicated"] += keys[sample.key] != 1 or documents[ecg_id] > 1
    tally["duplicated"] += len(rows) - len(keys)
    return tally


def _judge(sample: Sample, answer: httpx.Response) -> str:
    if answer.status_code != 200:
        return "lost"
    found = json.loads(answer.content)
    if found["status"] == "failed":
        return "poison failed" if sample.is_deadly and found["detail"] else "failed"
    [lead] = found["leads"]
    is_right = lead["number_of_zero_crossings"] == sample.crossings and not sample.is_deadly
    return "right" if is_right else "wrong"
