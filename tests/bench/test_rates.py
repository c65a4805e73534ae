"""What the tables of rates set beside what."""

from __future__ import annotations

from bench.rates import costs, table
from bench.singles import Run

TIMES = "\N{MULTIPLICATION SIGN}"


def run(stand: str, case: str, connections: int, a_second: float, cpu_ms: float = 1.0) -> Run:
    """One load on one program."""
    return Run(stand, case, connections, 100, a_second, 1.0, 2.0, {"api": cpu_ms}, 10.0, 0.0)


def test_a_program_without_batches_is_beside_a_bulk_with_its_single_uploads() -> None:
    found = table(
        [
            run("isoline", "P12", 8, 100.0),
            run("memory", "P12", 8, 50.0),
            run("isoline", "P12 bulk", 1, 400.0),
        ]
    )
    assert found[1]["isoline ECG/s"] == 400.0
    assert found[1]["memory ECG/s"] == 50.0
    assert found[1][f"{TIMES} memory"] == 8.0


def test_both_databases_are_in_a_bulk_with_their_batches() -> None:
    other = "isoline, PostgreSQL"
    found = table(
        [
            run("isoline", "P12", 8, 100.0),
            run(other, "P12", 8, 80.0),
            run("isoline", "P12 bulk", 1, 400.0),
            run(other, "P12 bulk", 1, 200.0),
        ]
    )
    assert found[1][f"{TIMES} {other}"] == 2.0


def test_what_an_ecg_takes_is_that_of_the_round_in_the_middle() -> None:
    rounds = {1.0: 7.0, 3.0: 5.0, 2.0: 6.0}
    found = costs([run("isoline", "P12", 8, *of) for of in rounds.items()])
    assert [row["CPU ms"] for row in found] == [6.0]
