"""Run the stack until Ctrl-C: `python -m standalone`."""

from __future__ import annotations

import argparse
import signal
import sys

if __name__ == "__main__":
    # Until the supervisor listens, Ctrl-C just ends this process: nothing has been started yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog="python -m standalone", description=__doc__)
    parser.add_argument(
        "--leashed", action="store_true", help="stop also when whatever started this process ends"
    )
    arguments = parser.parse_args()

    from standalone.stack import run

    sys.exit(run(leashed=arguments.leashed))
