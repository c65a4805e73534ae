"""One run: a schedule of faults drawn by a seed, uploads meanwhile, and the reckoning."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median, quantiles

import httpx

from tests.chaos.batches import spread
from tests.chaos.clients import Clients
from tests.chaos.faults import Chaos
from tests.chaos.house import House
from tests.chaos.reckoning import Reckoning, find_left
from tests.chaos.uploads import make
from tests.databases import PostgreSql
from tests.parts import wait_until

PAUSE_S = 1.0
SPARE = 2
# One with each fault, and some more.
BATCHES_A_ROUND = 24
LONGEST_UPLOAD_S = 30.0
# Poison that hangs is tried five times, with pauses that double, and is not alone in quarantine.
SETTLED_WITHIN_S = 600.0


class ApiGone(Exception):
    """The API does not come back: nothing is left to be counted."""


@dataclass(frozen=True)
class Outcome:
    """What became of all uploads, and of all lines of batches."""

    accepted: int
    accepted_lines: int
    lost: int
    duplicated: int
    wrong: int
    failed: int
    poison_failed: int
    took_s: list[float]
    took_unlocked_s: list[float]
    refused: dict[str, int]
    refused_batches: dict[str, int]
    settled_s: float
    # What ended although nobody killed it.
    ended_by_themselves: Counter[str]
    planned: Counter[str]
    done: Counter[str]

    @property
    def not_done(self) -> Counter[str]:
        """The faults of the plan that found nothing to do to: they prove nothing."""
        return self.planned - self.done

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled, wrong or failed without being poison.

        Nor may an upload have been kept waiting, a fault not have been done, or a process have
        ended that nobody killed, although it was started again, as a supervisor would.
        """
        is_whole = self.lost == self.duplicated == self.wrong == self.failed == 0
        is_proof = not self.not_done and not self.ended_by_themselves
        return is_whole and is_proof and max(self.took_s) <= LONGEST_UPLOAD_S

    def table(self, database: str) -> str:
        """The outcome for people."""
        unlocked_s = self.took_unlocked_s
        done = ", ".join(f"{name} {n}" for name, n in self.done.items())
        return (
            f"| {database} | |\n|---|---|\n"
            f"| accepted: uploads, lines of batches | {self.accepted}, {self.accepted_lines} |\n"
            f"| lost / duplicated / wrong / failed | "
            f"{self.lost} / {self.duplicated} / {self.wrong} / {self.failed} |\n"
            f"| poison, failed with its reason | {self.poison_failed} |\n"
            f"| answered 503 or cut off, and sent again | {_listed(self.refused)} |\n"
            f"| batches, likewise | {_listed(self.refused_batches)} |\n"
            f"| slowest upload | {max(self.took_s):.2f} s |\n"
            f"| database not locked: median, p99, slowest upload | {median(unlocked_s):.3f}, "
            f"{quantiles(unlocked_s, n=100)[98]:.3f}, {max(unlocked_s):.2f} s |\n"
            f"| settled after the last upload | {self.settled_s:.1f} s |\n"
            f"| processes that ended by themselves | {_listed(self.ended_by_themselves)} |\n"
            f"| faults | {done} |\n"
            f"| faults that found nothing to do to | {_listed(self.not_done)} |\n"
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {n}" for what, n in sorted(counts.items())) or "none"


def schedule(names: list[str], rounds: int, seed: int) -> list[str]:
    """Each fault once a round, in an order drawn by the seed."""
    chance = random.Random(seed)
    return [name for _ in range(rounds) for name in chance.sample(names, len(names))]


def run(
    folder: Path,
    database_url: str,
    *,
    uploads: int,
    lines: int,
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
    lines : how many come with batches besides, one of them with each fault.
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
        clients = stack.enter_context(Clients(house.url, token))
        submitters = stack.enter_context(Clients(house.url, token, threads=2))
        samples = [make(number, seed, poison_every) for number in range(uploads)]
        waiting = iter(samples)
        batches = spread(lines, rounds * BATCHES_A_ROUND, seed=seed, scale=scale)
        unsent = iter(batches)
        faults = Chaos(
            house,
            seed,
            scale,
            upload=lambda: clients.give(islice(waiting, 1)),
            submit=lambda: submitters.give(islice(unsent, 1)),
        ).faults()
        plan = schedule(list(faults), rounds, seed)
        done: Counter[str] = Counter()
        locked_s: list[tuple[float, float]] = []
        for name in plan:
            # Some are left for those faults that need an upload or a batch at their own time.
            submitters.give(islice(unsent, 1))
            clients.give(islice(waiting, (uploads - SPARE * len(plan)) // len(plan)))
            time.sleep(PAUSE_S * scale)
            begun_s = time.monotonic()
            done[name] += faults[name]()
            if name.startswith("database"):
                locked_s.append((begun_s, time.monotonic()))
        clients.give(waiting)
        submitters.give(unsent)
        for each in (clients, submitters):
            each.finish()
            if each.is_hopeless:
                raise ApiGone(f"After {len(each.accepted)} of them it took no more.")
        began_s = time.monotonic()
        try:
            wait_until(lambda: not find_left(database_url), SETTLED_WITHIN_S, "for all to end")
        except AssertionError as error:
            error.add_note(f"Left are, with status and attempts: {find_left(database_url)}")
            raise
        settled_s = time.monotonic() - began_s
        with httpx.Client(base_url=house.url, headers={"x-user-token": token}) as client:
            reckoning = Reckoning(client, database_url)
            tally = reckoning.of_uploads(samples, clients.accepted)
            tally += reckoning.of_batches(batches, submitters.accepted)
        return Outcome(
            accepted=len(clients.accepted),
            accepted_lines=sum(len(batches[number].lines) for number in submitters.accepted),
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
            refused_batches=submitters.refused,
            settled_s=settled_s,
            ended_by_themselves=house.ended_by_themselves,
            planned=Counter(plan),
            done=done,
        )
