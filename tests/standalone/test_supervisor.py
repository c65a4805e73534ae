"""A supervisor over real processes, and every way in which it or they can end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from standalone.supervisor import DOUBLE_S, FIRST_WAIT_S, LIVED_WELL_S, LONGEST_WAIT_S, Backoff
from tests.parts import wait_until
from tests.standalone.little_stack import is_alive

# Each writes its number, and that of the process it leads, into a file. The first one ends its own
# before itself, as Celery and granian do; the second will not be told.
POLITE = "sleep 600 & trap 'kill $!; echo {0} >> ended; exit 0' TERM; echo $$ $! >> {0}; wait; wait"
STUBBORN = "trap '' TERM; sleep 600 & echo $$ $! >> {0}; wait"
MORTAL = "echo $$ $$ >> {0}; exit 3"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*scripts: str, grace_s: float = 30.0, mode: str = "watch") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.standalone.little_stack", str(tmp_path)]
        process = subprocess.Popen(
            [*command, str(grace_s), mode, *scripts],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        wait_until((tmp_path / "started").exists, what="for the supervisor")
        return process

    yield start
    for process in started:
        process.kill()
    # Before the pipe is read to its end: a script that was left behind would keep it open.
    for file in tmp_path.glob("script-*"):
        for pid in numbers(file):
            if is_alive(pid):
                psutil.Process(pid).kill()
    for process in started:
        process.communicate(timeout=20)


def numbers(file: Path, *, lines: int = 1) -> list[int]:
    """The numbers of the processes that wrote here, once so many lines are complete."""

    def read() -> list[int] | None:
        text = file.read_text() if file.exists() else ""
        return [int(word) for word in text.split()] if text.count("\n") >= lines else None

    found: list[int] = wait_until(read, what=f"for {file.name}")
    return found


def wait_until_gone(pids: list[int], deadline_s: float = 15.0) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), deadline_s, f"for the end of {pids}")


def test_who_dies_comes_back_and_what_it_left_behind_does_not(start: Start, tmp_path: Path) -> None:
    supervisor = start(POLITE.format("script-0"))
    head, child = numbers(tmp_path / "script-0")
    psutil.Process(head).kill()
    second_head, second_child = numbers(tmp_path / "script-0", lines=2)[2:]
    assert not is_alive(child)
    assert is_alive(second_head)
    assert is_alive(second_child)
    supervisor.send_signal(signal.SIGTERM)
    said, _ = supervisor.communicate(timeout=20)
    assert "script 0 died and will be started again" in said
    assert "SIGKILL" in said
    assert '"wait_s": 0.5' in said
    assert "script 0 started again" in said


def test_who_dies_at_once_is_started_ever_more_slowly(start: Start, tmp_path: Path) -> None:
    supervisor = start(MORTAL.format("script-0"))
    numbers(tmp_path / "script-0", lines=3)
    supervisor.send_signal(signal.SIGINT)
    said, _ = supervisor.communicate(timeout=20)
    assert [f'"wait_s": {wait_s}' in said for wait_s in (0.5, 1.0)] == [True, True]
    assert "exit code 3" in said


def test_the_wait_grows_to_a_bound_and_shrinks_after_a_good_life() -> None:
    backoff = Backoff()
    waits_s = [backoff.wait_s(0.0) for _ in range(9)]
    assert waits_s[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert waits_s[-1] == LONGEST_WAIT_S
    assert backoff.wait_s(LIVED_WELL_S) == FIRST_WAIT_S


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_everything_and_who_is_leaned_on_last(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    supervisor = start(*(POLITE.format(f"script-{n}") for n in range(3)))
    pids = [pid for n in range(3) for pid in numbers(tmp_path / f"script-{n}")]
    supervisor.send_signal(number)
    said, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0
    assert said == "stopped\n"
    assert not any(map(is_alive, pids))
    assert (tmp_path / "ended").read_text().splitlines()[-1] == "script-0"


def test_who_does_not_end_in_time_is_killed_with_its_own(start: Start, tmp_path: Path) -> None:
    supervisor = start(STUBBORN.format("script-0"), grace_s=0.3)
    pids = numbers(tmp_path / "script-0")
    supervisor.send_signal(signal.SIGINT)
    said, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0
    assert "script 0 did not end in time and is killed" in said
    assert not any(map(is_alive, pids))


def test_a_second_ctrl_c_kills_everything_at_once(start: Start, tmp_path: Path) -> None:
    supervisor = start(POLITE.format("script-0"), STUBBORN.format("script-1"), grace_s=600.0)
    pids = numbers(tmp_path / "script-0") + numbers(tmp_path / "script-1")
    supervisor.send_signal(signal.SIGINT)
    # Soon, but not so soon as to be taken for the first one, delivered twice.
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.wait(1.5 * DOUBLE_S)
    supervisor.send_signal(signal.SIGINT)
    supervisor.communicate(timeout=10)
    assert supervisor.returncode == 130
    assert not any(map(is_alive, pids))


def test_one_ctrl_c_delivered_twice_is_still_one(start: Start, tmp_path: Path) -> None:
    supervisor = start(POLITE.format("script-0"))
    numbers(tmp_path / "script-0")
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        supervisor.send_signal(number)
    supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0
    assert (tmp_path / "ended").exists()


def test_a_killed_supervisor_leaves_nobody_behind(start: Start, tmp_path: Path) -> None:
    supervisor = start(POLITE.format("script-0"), STUBBORN.format("script-1"))
    pids = numbers(tmp_path / "script-0") + numbers(tmp_path / "script-1")
    warden = [child.pid for child in psutil.Process(supervisor.pid).children()]
    supervisor.kill()
    supervisor.wait()
    wait_until_gone(pids + warden)


def test_a_killed_supervisor_leaves_no_orphan_of_a_killed_program(
    start: Start, tmp_path: Path
) -> None:
    supervisor = start(STUBBORN.format("script-0"))
    head, child = numbers(tmp_path / "script-0")
    # Stopped, so that it cannot see to the orphan itself.
    supervisor.send_signal(signal.SIGSTOP)
    psutil.Process(head).kill()
    supervisor.kill()
    supervisor.wait()
    wait_until_gone([child])


def test_a_killed_warden_is_replaced_by_one_that_knows_as_much(
    start: Start, tmp_path: Path
) -> None:
    supervisor = start(STUBBORN.format("script-0"))
    pids = numbers(tmp_path / "script-0")

    def wardens() -> list[psutil.Process]:
        children = psutil.Process(supervisor.pid).children()
        return [child for child in children if child.pid not in pids and is_alive(child.pid)]

    [first] = wardens()
    first.kill()
    wait_until(lambda: [warden for warden in wardens() if warden != first], what="for another")
    supervisor.kill()
    supervisor.wait()
    wait_until_gone(pids)


def test_a_program_that_ends_while_starting_stops_the_start(start: Start, tmp_path: Path) -> None:
    # Not before the other one has said who it is.
    mortal = "until test -s script-0; do sleep 0.01; done; " + MORTAL.format("script-1")
    supervisor = start(POLITE.format("script-0"), mortal, mode="start")
    said, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 1
    assert "script 1 ended with exit code 3; its last words stand above" in said
    assert "Traceback" not in said
    assert not any(map(is_alive, numbers(tmp_path / "script-0")))


def test_ctrl_c_while_starting_is_an_ordinary_stop(start: Start, tmp_path: Path) -> None:
    supervisor = start(POLITE.format("script-0"), mode="start")
    pids = numbers(tmp_path / "script-0")
    supervisor.send_signal(signal.SIGINT)
    said, _ = supervisor.communicate(timeout=20)
    assert (supervisor.returncode, said) == (0, "stopped\n")
    assert not any(map(is_alive, pids))
