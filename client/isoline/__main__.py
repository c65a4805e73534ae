"""`isoline` and `python -m isoline`: where the command begins."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, and end with its exit code."""
    try:
        # It takes a moment, in which somebody may have thought better of it.
        from isoline.command import main as command
    except KeyboardInterrupt:
        print("Interrupted. Type the same command again.", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
