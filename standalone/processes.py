"""Processes in a group of their own that do not outlive whoever started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """What to start: a name for people, a command, and what it is given on its way."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    # Where it runs; here, when None.
    folder: Path | None = None
    # What it reads from its standard input; never secrets in a command, which anyone may list.
    standard_input: bytes = b""
    # A file for what it says; the terminal, when None.
    output: Path | None = None
    # Whether it ends only after those that are not: they need it until their own end.
    is_leaned_on: bool = False


def spawn(program: Program, kept_open: Collection[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program at the head of a new process group, on a leash where the system has one.

    To be called from the main thread: Linux takes the end of the calling thread for the end of the
    parent.

    Parameters
    ----------
    kept_open : file descriptors that the process and its own children inherit.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(program.output.open("ab")) if program.output else None
        process = subprocess.Popen(
            program.command,
            env=program.environ,
            cwd=program.folder,
            stdin=subprocess.PIPE if program.standard_input else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            # Ctrl-C reaches the terminal's foreground group: the supervisor alone.
            process_group=0,
            pass_fds=kept_open,
            preexec_fn=follow_parent(os.getpid()),
        )
    if process.stdin:
        # A program that ended already says so by its exit code.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(program.standard_input)
            process.stdin.close()
    return process


def follow_parent(parent: int) -> Callable[[], None]:
    """Make a function that has the kernel send SIGTERM to its caller when `parent` ends.

    Only Linux can; elsewhere the function does nothing.
    """
    # Looked up before the fork: between fork and exec, the less the better.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def follow() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            # It may have ended before it could be followed.
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)

    return follow


def how_it_ended(returncode: int) -> str:
    """Say in words what `Popen.returncode` means."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
