"""Whether the game of `test_life_of_a_row` can be lost: `python -m tests.worker.mutants`.

Breaks worker/claims.py or worker/endings.py in one place at a time, in a copy of the house, and
plays. A mutant that survives means that a rule is not played for; one that no longer fits the text
must be rewritten.
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

BROKEN = (Path("worker") / "claims.py", Path("worker") / "endings.py")
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
    Mutant("the fence does not ask whether it is held", "    IS_HELD,\n)", ")"),
    Mutant(
        "the fence does not ask which ecg",
        "    Ecg.id.in_(_ECG_IDS),\n"
        '    tuple_(Ecg.id, Ecg.attempts).in_(bindparam("held", expanding=True)),',
        "    Ecg.attempts > 0,",
    ),
    Mutant("an attempt is not counted", "attempts=Ecg.attempts + 1,", "attempts=Ecg.attempts,"),
    Mutant(
        "a claim does not ask for the status",
        ".where(Ecg.id.in_(_ECG_IDS), IS_WAITING, Ecg.due",
        ".where(Ecg.id.in_(_ECG_IDS), Ecg.due",
    ),
    Mutant(
        "a claim does not ask whether it is due",
        "IS_WAITING, Ecg.due_at_s <= now_s()",
        "IS_WAITING",
    ),
    Mutant(
        "what was begun before is claimed with others",
        "if len(ecg_ids) == 1 else 0",
        "",
    ),
    Mutant(
        "a claim does not ask whether the batch is cancelled",
        "Ecg.redo_after.is_not(None), ~_IS_CALLED_OFF)",
        "Ecg.redo_after.is_not(None), Ecg.batch_id.is_not(None))",
    ),
    Mutant(
        "what is done again is not begun when its batch was cancelled meanwhile",
        "Ecg.redo_after.is_not(None), ~_IS_CALLED_OFF",
        "~_IS_CALLED_OFF",
    ),
    Mutant(
        "what is done again looks as if it were running",
        "status=case((IS_PENDING, RUNNING), else_=Ecg.status),",
        "status=RUNNING,",
    ),
    Mutant(
        "what is done again may be begun as often as is left of the first time",
        '.where(bindparam("most_attempts") >= ATTEMPTS_MADE)',
        '.where(bindparam("most_attempts") >= Ecg.attempts)',
    ),
    Mutant(
        "what was done again in vain looks as if it had failed",
        "status=case((_IS_FIRST, FAILED), else_=FINISHED)",
        "status=FAILED",
    ),
    Mutant(
        "what is taken back of what is done again has failed",
        "case((~_IS_FIRST, FINISHED), (exhausted, FAILED)",
        "case((exhausted, FAILED)",
    ),
    Mutant(
        "what was done again in vain is done again for ever",
        "redo_after=case((exhausted, None), else_=Ecg.redo_after),",
        "",
    ),
    Mutant(
        "what was done again in vain stays out of date",
        "catalogue=case((exhausted, our_fingerprint()), else_=Ecg.catalogue),",
        "",
    ),
    Mutant("what is done again keeps its document", "connection.execute(_REPLACE, rows)", "None"),
    Mutant(
        "what is done again is counted again", "for ecg_id, _ in first])", "for ecg_id in stood])"
    ),
    Mutant("what is done again waits for ever", "redo_after=None, catalogue", "catalogue"),
    Mutant("what is done stays out of date", ', catalogue=bindparam("catalogue_then")', ""),
    Mutant(
        "a claim takes no lease", "lease_until_s=now_s() + LEASE_S,", "lease_until_s=now_s() - 1,"
    ),
    Mutant("a claim does not note its message", 'held_by=bindparam("holder"),', "held_by='',"),
    Mutant("a sweep does not ask for the lease", ", Ecg.lease_until_s < now_s()", ""),
    Mutant(
        "the holder's name stays",
        '{"lease_until_s": None, "held_by": None}',
        '{"lease_until_s": None}',
    ),
    Mutant("the lease stays", '{"lease_until_s": None, "held_by": None}', '{"held_by": None}'),
    Mutant("what is taken back has failed", "else_=PENDING", "else_=FAILED"),
    Mutant("what is taken back does not rest", "now_s() + pause_s * jitter", "now_s()"),
    Mutant("the rest does not double", "2.0 ** (n - 1)", "1.0"),
    Mutant("what is taken back counts as rung for", "rung_at_s=0.0", "rung_at_s=now_s()"),
    Mutant("one attempt too many", "ATTEMPTS_MADE >= MAX_ATTEMPTS", "ATTEMPTS_MADE > MAX_ATTEMPTS"),
    Mutant(
        "one attempt too few", "ATTEMPTS_MADE >= MAX_ATTEMPTS", "ATTEMPTS_MADE >= MAX_ATTEMPTS - 1"
    ),
    Mutant("attempts without end", "ATTEMPTS_MADE >= MAX_ATTEMPTS", "ATTEMPTS_MADE >= 1_000_000"),
    Mutant(
        "the last attempt fails without a reason",
        "failure=case((exhausted, reason), else_=None),",
        "",
    ),
    Mutant(
        "the last attempt is not counted in its batch",
        "taken_back = _end(connection, _saying(statement), asked)\n"
        "        _count_failed(connection, taken_back.values())",
        "taken_back = _end(connection, _saying(statement), asked)",
    ),
    Mutant(
        "what failed is not counted in its batch",
        "stood = _end(connection, _saying(failing), fence([claimed]))\n"
        "        _count_failed(connection, stood.values())",
        "stood = _end(connection, _saying(failing), fence([claimed]))",
    ),
    Mutant(
        "what is done again in vain is counted again",
        "for batch_id, status in ended if status == FAILED]",
        "for batch_id, status in ended]",
    ),
    Mutant("a loss does not ask for the message", ", is_theirs), reason)", "), reason)"),
    Mutant(
        "a loss is asked for by the whole name",
        "func.substr(Ecg.held_by, 1, len(name)) == name",
        "Ecg.held_by == name",
    ),
    Mutant("finishing leaves the status", "status=FINISHED, failure=None,", "failure=None,"),
    Mutant("finishing without the result", "connection.execute(_STORE, rows)", "(_STORE, rows)"),
    Mutant(
        "finishing behind the fence stores as well",
        "for claimed, document in documents if claimed.ecg_id in stood]",
        "for claimed, document in documents]",
    ),
    Mutant(
        "what is retired is not counted",
        "count_ended(connection, ended.values())",
        "",
    ),
    Mutant(
        "what is being worked on is retired",
        "select(Ecg.id).where(IS_PENDING, Ecg.batch_id == batch_id",
        "select(Ecg.id).where(IS_HELD, Ecg.batch_id == batch_id",
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
        for path in BROKEN:
            source = (HOUSE / path).read_text()
            (house / path).write_text(source.replace(mutant.text, mutant.instead))
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
    source = "".join((HOUSE / path).read_text() for path in BROKEN)
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
