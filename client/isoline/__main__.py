"""`isoline` and `python -m isoline`: where the command begins."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command, and end with its exit code."""
    # What is closed is not there at all to Python.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 - to the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - to the end
    if sys.stdout is None:
        print("Standard output is closed: there is nowhere to write to.", file=sys.stderr)
        sys.exit(1)
    try:
        # It takes a moment, in which somebody may have thought better of it.
        from isoline.command import main as command
    except KeyboardInterrupt:
        print("Interrupted. Type the same command again.", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
