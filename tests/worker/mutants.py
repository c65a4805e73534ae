"""Whether the game of `test_life_of_a_row` can be lost: `python -m tests.worker.mutants`.

Breaks worker/claims.py in one place at a time, in a copy of the house, and plays. A mutant that
survives means that a rule is not played for; one that no longer fits the text must be rewritten.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.parts import HOUSE

BROKEN = Path("worker") / "claims.py"
GAME = "tests/worker/test_life_of_a_row.py"
ROOMS = ("api", "shared", "worker", "tests")
AT_ONCE = 2
# That the game is lost is enough: nobody wants to know the shortest way to lose it.
IN_HASTE = """
from hypothesis import Phase
TestLifeOfARow.settings = settings(TestLifeOfARow.settings, phases=[Phase.generate])
"""
LONGEST_S = 300.0


@dataclass(frozen=True)
class Mutant:
    """What is broken, and how: a text that occurs exactly once, and what stands there instead."""

    what: str
    text: str
    instead: str


MUTANTS = (
    Mutant(
        "the fence does not ask which attempt",
        '    tuple_(Ecg.id, Ecg.attempts).in_(bindparam("held", expanding=True)),\n',
        "",
    ),
    Mutant("the fence does not ask for the status", "    Ecg.status == RUNNING,\n", ""),
    Mutant(
        "the fence does not ask which ecg",
        "    Ecg.id.in_(_ECG_IDS),\n"
        '    tuple_(Ecg.id, Ecg.attempts).in_(bindparam("held", expanding=True)),',
        "    Ecg.attempts > 0,",
    ),
    Mutant("an attempt is not counted", "attempts=Ecg.attempts + 1,", "attempts=Ecg.attempts,"),
    Mutant(
        "a claim does not ask for the status",
        ".where(Ecg.id.in_(_ECG_IDS), IS_PENDING, Ecg.due",
        ".where(Ecg.id.in_(_ECG_IDS), Ecg.due",
    ),
    Mutant(
        "a claim does not ask whether it is due",
        "IS_PENDING, Ecg.due_at_s <= now_s()",
        "IS_PENDING",
    ),
    Mutant(
        "what was begun before is claimed with others",
        "if len(ecg_ids) == 1 else 0",
        "",
    ),
    Mutant(
        "a claim does not ask whether the batch is cancelled",
        "or_(Ecg.batch_id.is_(None), ~_IS_CALLED_OFF)",
        "or_(Ecg.batch_id.is_(None), Ecg.batch_id.is_not(None))",
    ),
    Mutant(
        "a claim takes no lease", "lease_until_s=now_s() + LEASE_S,", "lease_until_s=now_s() - 1,"
    ),
    Mutant("a claim does not note its message", 'held_by=bindparam("message"),', "held_by='',"),
    Mutant("a sweep does not ask for the lease", ", Ecg.lease_until_s < now_s()", ""),
    Mutant(
        "the holder's name stays",
        '{"lease_until_s": None, "held_by": None}',
        '{"lease_until_s": None}',
    ),
    Mutant("the lease stays", '{"lease_until_s": None, "held_by": None}', '{"held_by": None}'),
    Mutant("what is taken back has failed", "else_=PENDING", "else_=FAILED"),
    Mutant("what is taken back does not rest", "now_s() + pause_s * jitter", "now_s()"),
    Mutant("what is taken back counts as rung for", "rung_at_s=0.0", "rung_at_s=now_s()"),
    Mutant("one attempt too many", "Ecg.attempts >= MAX_ATTEMPTS", "Ecg.attempts > MAX_ATTEMPTS"),
    Mutant(
        "one attempt too few", "Ecg.attempts >= MAX_ATTEMPTS", "Ecg.attempts >= MAX_ATTEMPTS - 1"
    ),
    Mutant("attempts without end", "Ecg.attempts >= MAX_ATTEMPTS", "Ecg.attempts >= 1_000_000"),
    Mutant(
        "the last attempt fails without a reason",
        "failure=case((exhausted, reason), else_=None),",
        "",
    ),
    Mutant(
        "the last attempt is not counted in its batch",
        "count_ended(connection, [(row.batch_id, row.status) for row in rows])",
        "",
    ),
    Mutant("a loss does not ask for the message", ", Ecg.held_by == message[:64])", ")"),
    Mutant("finishing leaves the status", ".values(status=FINISHED)", ".values(failure=None)"),
    Mutant("finishing without the result", "connection.execute(_STORE, rows)", "(_STORE, rows)"),
    Mutant(
        "finishing behind the fence stores as well", "if claimed.ecg_id in stood\n", "if True\n"
    ),
    Mutant(
        "what is retired is not counted",
        "count_ended(connection, ended.values())",
        "",
    ),
    Mutant(
        "what is being worked on is retired",
        "select(Ecg.id).where(IS_PENDING, Ecg.batch_id == batch_id",
        "select(Ecg.id).where(IS_RUNNING, Ecg.batch_id == batch_id",
    ),
)

# Who loses without any of this would lose with it as well.
UNBROKEN = Mutant("nothing", "", "")


def survives(mutant: Mutant, seed: int) -> tuple[bool, float]:
    """Play with a broken house; say whether the game was won, and how long that took."""
    with tempfile.TemporaryDirectory(prefix="isoline-mutant-") as folder:
        house = Path(folder)
        for room in ROOMS:
            shutil.copytree(
                HOUSE / room, house / room, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(HOUSE / "pyproject.toml", house)
        source = (HOUSE / BROKEN).read_text()
        (house / BROKEN).write_text(source.replace(mutant.text, mutant.instead))
        with (house / GAME).open("a") as game:
            game.write(IN_HASTE)
        began_s = time.monotonic()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "--timeout=0",
                f"--hypothesis-seed={seed}",
                GAME,
            ],
            cwd=house,
            capture_output=True,
            timeout=LONGEST_S,
        )
        # Anything but won and lost is a broken game, not a caught mutant.
        assert done.returncode in {0, 1}, done.stdout.decode() + done.stderr.decode()
        return done.returncode == 0, time.monotonic() - began_s


def unfit() -> list[str]:
    """The mutants whose text is not there any more, or not just once."""
    source = (HOUSE / BROKEN).read_text()
    return [mutant.what for mutant in MUTANTS if source.count(mutant.text) != 1]


def main(seed: int = 1) -> int:
    """Print a table; exit code 1 when a mutant survived, or does not fit the text any more."""
    if strangers := unfit():
        print(f"{BROKEN} reads differently now: {'; '.join(strangers)}")
        return 1
    print("| what is broken | the game | seconds |\n|---|---|---|")
    is_won, took_s = survives(UNBROKEN, seed)
    print(f"| {UNBROKEN.what} | {'won' if is_won else '**LOST**'} | {took_s:.0f} |", flush=True)
    if not is_won:
        return 1
    survivors = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant, (survived, took_s) in zip(
            MUTANTS, pool.map(partial(survives, seed=seed), MUTANTS), strict=True
        ):
            survivors += survived
            end = "**SURVIVED**" if survived else "caught"
            print(f"| {mutant.what} | {end} | {took_s:.0f} |", flush=True)
    print(f"\n{len(MUTANTS) - survivors} of {len(MUTANTS)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    # A seed is the same games every time: what survives can be looked into.
    sys.exit(main(*map(int, sys.argv[1:])))
