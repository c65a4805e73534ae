"""What the stack consists of, and how it comes up and goes down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from shared import logs
from shared.errors import ServiceError
from shared.settings import Settings, environ_with
from standalone import caller, keys, ports, valkey
from standalone.banner import FLOWER_USER, banner
from standalone.data_folder import API_URL, BROKER_URL, FLOWER_URL, occupy
from standalone.processes import Program, follow_parent
from standalone.supervisor import StopRequested, Supervisor

# Flower leaves its metrics open in spite of its password: it is never for other machines.
FLOWER_HOST = "127.0.0.1"
# Imports from a cold disk are slow; who is not up after this long never will be.
READY_WITHIN_S = 60.0


def run(*, leashed: bool) -> int:
    """Run everything until told to stop; return the exit code.

    Parameters
    ----------
    leashed : stop also when the process that started this one ends (on Linux).
    """
    if leashed:
        follow_parent(os.getppid())()
    # Whatever is written from here on, by whichever program, is for its owner alone.
    os.umask(0o077)
    logs.configure()
    try:
        settings = Settings.from_environ()
        with occupy(settings.data_dir) as lock:
            ports.check(_doors(settings))
            with Supervisor(kept_open=[lock]) as supervisor:
                try:
                    _tell("Starting Isoline: this takes a few seconds.")
                    print(_bring_up(settings, supervisor), flush=True)
                    supervisor.watch()
                except StopRequested:
                    _tell("Stopping. Ctrl-C again kills everything at once.")
            _tell("Stopped.")
    except ServiceError as error:
        _tell(str(error))
        return 1
    return 130 if supervisor.is_impatient else 0


def _tell(words: str) -> None:
    """Say something to whoever sits in front of it, also when errors are kept in a file."""
    print(words, file=sys.stderr)
    if sys.stdout.isatty() and not sys.stderr.isatty():
        print(words, flush=True)


def _doors(settings: Settings) -> Iterator[ports.Door]:
    yield ports.Door("the API", settings.host, settings.port, "ISOLINE_PORT")
    if settings.flower_port:
        yield ports.Door("Flower", FLOWER_HOST, settings.flower_port, "ISOLINE_FLOWER_PORT")


def _bring_up(settings: Settings, supervisor: Supervisor) -> str:
    """Start everything in its order, and return the banner once it is up."""
    folder = settings.data_dir
    admin_token_file = None if settings.admin_token else folder / "admin_token"
    admin_token = settings.admin_token or keys.keep(folder / "admin_token")
    flower_password_file = folder / "flower_password"
    flower_password = keys.keep(flower_password_file)

    redis_url = settings.redis_url or _start_valkey(folder, supervisor)
    if settings.redis_url and not valkey.answers(redis_url):
        print(
            f"The broker at {valkey.place_of(redis_url)} does not answer yet (ISOLINE_REDIS_URL); "
            "uploads are safe meanwhile.",
            file=sys.stderr,
        )
    environ = environ_with({"ISOLINE_DATA_DIR": str(folder), "ISOLINE_REDIS_URL": redis_url})
    supervisor.run(_module("migrations", ["shared.migrations"], environ))
    if settings.redis_url is None:
        supervisor.wait_until(lambda: valkey.answers(redis_url), "valkey", READY_WITHIN_S)

    supervisor.start(_module("worker", ["worker"], environ))
    supervisor.start(_module("bulk", ["worker", "--bulk"], environ))
    supervisor.start(_module("quarantine", ["worker", "--quarantine"], environ))
    supervisor.start(_module("relay", ["worker.relay"], environ))
    supervisor.start(_module("api", ["api"], {**environ, "ISOLINE_ADMIN_TOKEN": admin_token}))
    if settings.flower_port:
        login = {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{flower_password}"}
        supervisor.start(_flower(settings, {**environ, **login}))

    address = (settings.host, settings.port)
    keys.write_private(folder / API_URL, caller.url_of(*address) + "\n")
    supervisor.wait_until(lambda: caller.is_up(address), "the API", READY_WITHIN_S)
    flower_url = None
    (folder / FLOWER_URL).unlink(missing_ok=True)
    if settings.flower_port:
        flower_url = caller.url_of(FLOWER_HOST, settings.flower_port)
        keys.write_private(folder / FLOWER_URL, flower_url + "\n")
        supervisor.wait_until(
            lambda: caller.is_flower_up((FLOWER_HOST, settings.flower_port)),
            "Flower",
            READY_WITHIN_S,
        )
    url = caller.url_of(*address)
    return banner(settings, url, admin_token_file, flower_url, flower_password_file)


def _start_valkey(folder: Path, supervisor: Supervisor) -> str:
    password = keys.keep(folder / "redis_password")
    port = ports.free_port()
    supervisor.start(valkey.program(folder / "valkey", port, password))
    url = valkey.url(port, password)
    keys.write_private(folder / BROKER_URL, url + "\n")
    return url


def _module(name: str, arguments: list[str], environ: dict[str, str]) -> Program:
    return Program(name, [sys.executable, "-m", *arguments], environ)


def _flower(settings: Settings, environ: dict[str, str]) -> Program:
    arguments = [
        *("celery", "--quiet", "-A", "worker.app", "flower", "--logging=error"),
        *(f"--address={FLOWER_HOST}", f"--port={settings.flower_port}"),
        *("--persistent=True", f"--db={settings.data_dir / 'flower'}"),
    ]
    return _module("flower", arguments, environ)
