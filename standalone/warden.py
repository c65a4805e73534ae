"""Clears up after a supervisor that was killed and could not do so itself.

A small process of its own that knows the process groups of the stack. The pipe through which it
learns of them closes when the supervisor ends, however that happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

# How long programs may take to end before they are killed.
GRACE_S = 5.0


class Warden:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._heads: set[int] = set()
        self._start()

    def note(self, head: int) -> None:
        """Tell it of a process that heads a group."""
        self._heads.add(head)
        self._tell(head)

    def forget(self, head: int) -> None:
        """Tell it that this group has ended: its number may soon be somebody else's."""
        self._heads.discard(head)
        self._tell(-head)

    def revive(self) -> None:
        """Start it again if somebody killed it."""
        if self._process.poll() is not None:
            self.dismiss()
            self._start()

    def dismiss(self) -> None:
        """Let it see to what is left, and wait for its end."""
        assert self._process.stdin is not None  # noqa: S101 - it has a pipe
        self._process.stdin.close()
        self._process.wait()

    def _start(self) -> None:
        # A session of its own: what ends the terminal must not end the one who clears up.
        self._process = subprocess.Popen(
            # What its predecessor knew it is born with: there is no moment when it knows less.
            [sys.executable, "-I", "-S", __file__, *map(str, self._heads)],
            bufsize=0,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _tell(self, number: int) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it has a pipe
        # If it was killed, its successor will be told everything.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{number}\n".encode())


def keep_watch(heads: set[int]) -> None:
    """Follow what is told on standard input; when that ends, end every group that is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin:
        told = int(line)
        if told > 0:
            heads.add(told)
        else:
            heads.discard(-told)
    _end(heads)


def _end(heads: set[int]) -> None:
    # Linux has told them already that their parent ended; a second time does no harm.
    for head in heads:
        _signal(head, signal.SIGTERM)
    end_s = time.monotonic() + GRACE_S
    while heads and time.monotonic() < end_s:
        # A head sees to its own; where there is none any more, nobody does.
        for head in [head for head in heads if not _signal(head, 0)]:
            signal_group(head, signal.SIGKILL)
            heads.discard(head)
        time.sleep(0.05)
    for head in heads:
        signal_group(head, signal.SIGKILL)


def signal_group(head: int, number: int) -> None:
    """Send a signal to whoever is left in the group that this process heads, or headed."""
    # macOS answers EPERM for a group that has only zombies left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(head, number)


def _signal(process: int, number: int) -> bool:
    """Send a signal to a process; say whether there is one."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    keep_watch(set(map(int, sys.argv[1:])))
