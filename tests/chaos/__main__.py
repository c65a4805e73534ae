"""Kill everything while uploads go on, and reckon: `python -m tests.chaos`, or `make chaos`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.run import run
from tests.databases import open_postgresql_server


def main() -> int:
    """Run on each database; the exit code says whether anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--poison-every", type=int, default=500, help="one upload in so many")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fault happens")
    parser.add_argument("--scale", type=float, default=1.0, help="how long faults take")
    parser.add_argument("--hasty", action="store_true", help="short leases, and short pauses")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    asked = parser.parse_args()
    databases = ["sqlite", "postgresql"] if asked.database == "both" else [asked.database]
    print(
        f"seed {asked.seed}, {asked.uploads} uploads and half as many lines of batches, "
        f"each fault {asked.rounds} times",
        flush=True,
    )
    is_good = True
    for database in databases:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-chaos-")))
            url, server = f"sqlite:///{folder / 'isoline.db'}", None
            if database == "postgresql":
                server = stack.enter_context(open_postgresql_server())
                url = server.url
            outcome = run(
                folder,
                url,
                uploads=asked.uploads,
                lines=asked.uploads // 2,
                rounds=asked.rounds,
                scale=asked.scale,
                seed=asked.seed,
                hasty=asked.hasty,
                poison_every=asked.poison_every,
                postgresql=server,
            )
            print(outcome.table(database), flush=True)
            is_good = is_good and outcome.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    os.umask(0o077)
    # Told to end, it ends its processes first, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
