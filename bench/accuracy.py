"""How often beats are missed or invented: `python -m bench.accuracy` (`make accuracy`).

Isoline's detector on the first lead and on all leads fused, and the peers that are installed on
the first lead, on the reference recordings beside the checkout. They are the ones that Isoline was
developed on; what can be expected elsewhere is nearer to the cross-validated rows.
"""

from __future__ import annotations

import argparse
import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import records, trust, variability
from bench.peers import beats as peers
from bench.records import Record
from bench.scores import Score, gross, score
from bench.tables import print_table
from worker.detection.beats import find_beats
from worker.detection.decisions import RULE, Rule
from worker.detection.fusion import fuse
from worker.detection.readings import look_at, readers_of
from worker.detection.traces import condition

FOLDS = 5
STRIPS_S = (10, 30)
# Around what was chosen, each of the constants that were tuned.
GRID = [
    Rule(lowest, slope, resemblance, t_wave)
    for lowest, slope, resemblance, t_wave in itertools.product(
        (0.14, 0.18, 0.22), (0.75, 0.9, 1.05), (1.0, 2.0, 3.0), (2.5, 3.5, 5.0)
    )
]


@dataclass(frozen=True)
class Found:
    """The beats of the first lead and of all leads, and the seconds each took."""

    first: NDArray[np.int64]
    fused: NDArray[np.int64]
    first_s: float
    fused_s: float


def detect(record: Record) -> Found:
    """The whole way, from the samples on."""
    began_s = time.perf_counter()
    first = beats_of(record.leads[0], record.sampling_rate_hz)
    middle_s = time.perf_counter()
    fused = fuse([one() for one in readers_of(record.leads, record.sampling_rate_hz)]).samples
    return Found(first, fused, middle_s - began_s, time.perf_counter() - middle_s)


def beats_of(samples: NDArray[Any], sampling_rate_hz: float) -> NDArray[np.int64]:
    """The beats of one lead, by itself."""
    (beats,) = find_beats(condition([samples], sampling_rate_hz))
    return beats.samples if beats else np.zeros(0, np.int64)


@cache
def _reference() -> list[Record]:
    return list(records.read_all("mitdb"))


def _scores_of_rules(number: int) -> list[Score]:
    """One record under every rule of the grid."""
    record = _reference()[number]
    trace = condition(record.leads, record.sampling_rate_hz)
    return [score(record, fuse(look_at(trace, rule), rule).samples) for rule in GRID]


def cross_validate() -> None:
    """For each fifth of the records the rule that is best on the others, scored on that fifth."""
    with ProcessPoolExecutor() as pool:
        numbers = range(len(_reference()))
        scores = list(pool.map(_scores_of_rules, numbers))
    held_out: list[Score] = []
    rows = []
    for fold in range(FOLDS):
        outside = [n for n in numbers if n % FOLDS == fold]
        inside = [n for n in numbers if n % FOLDS != fold]
        errors = [sum(scores[n][rule].errors for n in inside) for rule in range(len(GRID))]
        best = int(np.argmin(errors))
        fold_scores = [scores[n][best] for n in outside]
        held_out += fold_scores
        names = " ".join(_reference()[n].name for n in outside)
        rows.append({"held out": names, **asdict(GRID[best]), **gross(fold_scores).row()})
    chosen = gross(row[GRID.index(RULE)] for row in scores)
    rows.append({"held out": "gross of the five", **gross(held_out).row()})
    rows.append({"held out": "as shipped (tuned on all)", **asdict(RULE), **chosen.row()})
    of_all = [gross(row[rule] for row in scores).errors for rule in range(len(GRID))]
    print_table(f"Cross-validation, fused: {FOLDS} folds by record, {len(GRID)} rules", rows)
    print(f"\nErrors under the rules: best {min(of_all)}, worst {max(of_all)}.")


def score_all() -> None:
    """Per record and gross."""
    for database in ("mitdb", "nstdb"):
        rows, firsts, fuseds = [], [], []
        for record in records.read_all(database):
            found = detect(record)
            firsts.append(score(record, found.first))
            row = {"record": record.name, "beats of": "first lead", **firsts[-1].row()}
            rows.append({**row, "ms": f"{1e3 * found.first_s:.0f}"})
            if len(record.leads) > 1:
                fuseds.append(score(record, found.fused))
                row = {"record": record.name, "beats of": "all leads", **fuseds[-1].row()}
                rows.append({**row, "ms": f"{1e3 * found.fused_s:.0f}"})
        rows.append({"record": "gross", "beats of": "first lead", **gross(firsts).row()})
        if fuseds:
            rows.append({"record": "gross", "beats of": "all leads", **gross(fuseds).row()})
        print_table(f"{database}: development set, not an independent test", rows)


def score_strips() -> None:
    """The same recordings as if each were many short ones, of which the detector sees no more."""
    rows = []
    for seconds in STRIPS_S:
        found: dict[str, list[Score]] = {"first lead": [], "all leads": []}
        for record in records.read_all("mitdb"):
            for strip in records.strips(record, seconds):
                both = detect(strip)
                found["first lead"].append(score(strip, both.first))
                found["all leads"].append(score(strip, both.fused))
        for leads, scores in found.items():
            head = {"strips of s": seconds, "beats of": leads, "strips": len(scores)}
            rows.append({**head, **gross(scores).row()})
    print_table("mitdb, cut into strips: development set, not an independent test", rows)


def score_peers() -> None:
    """First leads alone, side by side: gross, with the time that a record takes."""
    detectors = {"isoline": beats_of, **peers.installed()}
    rows = []
    for name, run in detectors.items():
        for database in ("mitdb", "nstdb"):
            scores, took_s = {}, []
            for record in records.read_all(database):
                began_s = time.perf_counter()
                found = np.unique(run(record.leads[0], record.sampling_rate_hz))
                took_s.append(time.perf_counter() - began_s)
                scores[record.name] = score(record, found)
            for part, some in (
                {"mitdb": scores}.items()
                if database == "mitdb"
                else [(one, {one: scores[one]}) for one in scores]
            ):
                row = {"detector": name, "records": part, **gross(some.values()).row()}
                rows.append({**row, "ms a record": f"{1e3 * float(np.median(took_s)):.0f}"})
    print_table("First lead, side by side", rows)
    missing = {"sleepecg", "neurokit2", "wfdb"} - set(detectors)
    if missing:
        print(f"\nNot installed, and left out: {', '.join(sorted(missing))}.")


def main() -> None:
    """Print all tables, or say why there are none."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("--no-cross-validation", action="store_true", help="saves a minute or two")
    arguments = parser.parse_args()
    if not records.DATA.is_dir():
        print("Skipped: the reference recordings are not beside the checkout (../shared/data).")
        return
    print("Every figure comes from the recordings that the detector was developed on, except for")
    print(
        "the held-out rows of the cross-validation. Window 150 ms, whole records, flutter left out."
    )
    score_all()
    score_strips()
    score_peers()
    trust.print_tables()
    variability.print_tables()
    if not arguments.no_cross_validation:
        cross_validate()


if __name__ == "__main__":
    main()
