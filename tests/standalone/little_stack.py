"""A supervisor over shell scripts, to be run as a process of its own and treated badly.

python -m tests.standalone.little_stack FOLDER GRACE_S watch|start SCRIPT…
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from shared import logs
from shared.errors import ServiceError
from shared.settings import environ_with
from standalone.processes import Program
from standalone.supervisor import StopRequested, Supervisor


def is_alive(pid: int) -> bool:
    """Whether this process runs; one that only waits to be buried does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main(folder: Path, grace_s: float, mode: str, scripts: list[str]) -> int:
    """Supervise the scripts as `python -m standalone` does its programs."""
    logs.configure()
    environ = environ_with({})
    try:
        with Supervisor(grace_s=grace_s) as supervisor:
            try:
                for number, script in enumerate(scripts):
                    command = ["/bin/sh", "-c", script]
                    program = Program(
                        f"script {number}",
                        command,
                        environ,
                        folder=folder,
                        is_leaned_on=number == 0,
                    )
                    supervisor.start(program)
                (folder / "started").touch()
                if mode == "start":
                    supervisor.wait_until(lambda: False, "the impossible", 30.0)
                supervisor.watch()
            except StopRequested:
                print("stopped")
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 130 if supervisor.is_impatient else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
