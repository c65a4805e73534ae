"""Keeps programs running: brings the dead back, and leaves none behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from types import FrameType, TracebackType

import structlog

from shared.errors import ServiceError
from standalone.processes import Program, how_it_ended, spawn
from standalone.warden import Warden, signal_group

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
# Who has lived this long died of something new: the next wait is short again.
LIVED_WELL_S = 10.0
# How long programs may take to end before they are killed: the API may drain for 25 s. Who has
# nothing left to do ends at once, and a second Ctrl-C waits for nobody.
GRACE_S = 30.0
# A second Ctrl-C that comes sooner is the first one, delivered twice.
DOUBLE_S = 0.2

log = structlog.get_logger(__name__)


class EndedEarly(ServiceError):
    """A program ended, or did not become ready, while the stack was starting."""


class StopRequested(Exception):
    """Somebody asked by Ctrl-C or a signal that everything be stopped."""


class Backoff:
    """How long to wait before the next start: twice as long each time, up to a bound."""

    def __init__(self) -> None:
        self._next_s = FIRST_WAIT_S

    def wait_s(self, lived_s: float) -> float:
        """Answer for a program that has just died after a life of `lived_s`."""
        if lived_s >= LIVED_WELL_S:
            self._next_s = FIRST_WAIT_S
        wait_s, self._next_s = self._next_s, min(LONGEST_WAIT_S, 2 * self._next_s)
        return wait_s


class Child:
    """A program and, from start to start, the process that runs it."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self._backoff = Backoff()
        self.start(process)

    def start(self, process: subprocess.Popen[bytes]) -> None:
        """Begin a life, the first or another one, in this process."""
        self.process = process
        self._started_s = time.monotonic()
        self.due_s: float | None = None

    def bury(self) -> None:
        """After the process died: say so, and when it is due again."""
        now_s = time.monotonic()
        wait_s = self._backoff.wait_s(now_s - self._started_s)
        self.due_s = now_s + wait_s
        log.warning(
            f"{self.program.name} died and will be started again",
            how=how_it_ended(self.process.returncode),
            wait_s=wait_s,
        )


class Supervisor:
    """Starts programs and watches over them; on leaving its `with` block all have ended.

    It owns the signals of the process, and belongs to the main thread.

    Parameters
    ----------
    kept_open : file descriptors that every program inherits.
    grace_s : how long programs may take to end before they are killed.
    """

    def __init__(self, kept_open: Collection[int] = (), *, grace_s: float = GRACE_S) -> None:
        self._kept_open = kept_open
        self._grace_s = grace_s
        self._children: list[Child] = []
        self._stop_asked_s: float | None = None
        # Whether a second Ctrl-C has everything killed at once.
        self.is_impatient = False
        self._woken, self._wake = os.pipe()

    def __enter__(self) -> Supervisor:
        # Every signal leaves a byte in the pipe, so that no wait oversleeps it.
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        self._warden = Warden()
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup is the wish to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        for is_leaned_on in (False, True):
            self._end([c for c in self._children if c.program.is_leaned_on is is_leaned_on])
        self._warden.dismiss()
        return isinstance(error, StopRequested)

    def start(self, program: Program) -> None:
        """Start a program that is to run for as long as the supervisor does."""
        self._children.append(Child(program, self._spawn(program)))

    def run(self, program: Program) -> None:
        """Run a program to its end; raises `EndedEarly` when it fails."""
        process = self._spawn(program)
        try:
            while process.poll() is None:
                self._pause(None)
        finally:
            self._clear(process)
            process.wait()
        if process.returncode != 0:
            raise EndedEarly(_last_words(program, process.returncode))

    def wait_until(self, is_ready: Callable[[], bool], name: str, deadline_s: float) -> None:
        """Ask until the answer is yes; raises `EndedEarly` when that cannot be any more."""
        end_s = time.monotonic() + deadline_s
        while not is_ready():
            for child in self._children:
                if child.process.poll() is not None:
                    raise EndedEarly(_last_words(child.program, child.process.returncode))
            if time.monotonic() > end_s:
                raise EndedEarly(f"{name} was not ready after {deadline_s:g} s.")
            self._pause(0.05)

    def watch(self) -> None:
        """Bring the dead back, until `StopRequested`."""
        while True:
            for child in self._children:
                if child.due_s is None and child.process.poll() is not None:
                    self._clear(child.process)
                    child.bury()
                elif child.due_s is not None and child.due_s <= time.monotonic():
                    child.start(self._spawn(child.program))
                    log.info(f"{child.program.name} started again", process=child.process.pid)
            self._warden.revive()
            due_s = [child.due_s for child in self._children if child.due_s is not None]
            self._pause(max(0.0, min(due_s) - time.monotonic()) if due_s else None)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        process = spawn(program, self._kept_open)
        self._warden.note(process.pid)
        return process

    def _clear(self, process: subprocess.Popen[bytes]) -> None:
        """Kill whoever is left of a process's group."""
        signal_group(process.pid, signal.SIGKILL)
        self._warden.forget(process.pid)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._stop_asked_s is None:
            self._stop_asked_s = now_s
        # SIGTERM often comes twice: to the group, and passed on by the one who started us.
        elif number == signal.SIGINT and now_s - self._stop_asked_s > DOUBLE_S:
            self.is_impatient = True

    def _pause(self, seconds: float | None) -> None:
        """Sleep until the time is over or a signal comes; raises `StopRequested` for some."""
        self._sleep(0 if self._stop_asked_s is not None else seconds)
        if self._stop_asked_s is not None:
            raise StopRequested

    def _sleep(self, seconds: float | None) -> None:
        select.select([self._woken], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _end(self, children: list[Child]) -> None:
        # Who is buried has left nothing, and its number may be somebody else's by now.
        children = [child for child in children if child.due_s is None]
        for child in children:
            # To the head alone: it knows how to end its own.
            child.process.terminate()
        end_s = time.monotonic() + self._grace_s
        alive = children
        while alive and not self.is_impatient and time.monotonic() < end_s:
            self._sleep(0.2)
            alive = [child for child in alive if child.process.poll() is None]
        for child in alive:
            if not self.is_impatient:
                log.warning(f"{child.program.name} did not end in time and is killed")
        for child in children:
            self._clear(child.process)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(self._grace_s)


def _last_words(program: Program, returncode: int) -> str:
    where = f"are in {program.output}" if program.output else "stand above"
    return (
        f"Isoline cannot start: {program.name} ended with {how_it_ended(returncode)}; "
        f"its last words {where}."
    )
