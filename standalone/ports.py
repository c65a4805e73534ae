"""Ports of this machine: which are free, and which the stack would need."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import SettingsError


@dataclass(frozen=True)
class Door:
    """A port to be opened: by whom, where, and which variable chooses another."""

    name: str
    host: str
    port: int
    variable: str


def free_port(host: str = "127.0.0.1", *, first: int = 0) -> int:
    """Find a port that nobody listens on: any at all, or the next one from `first` on."""
    for port in range(first, 65536):
        if _why_not(host, port) is None:
            with _bound(host, port) as probe:
                return int(probe.getsockname()[1])
    raise SettingsError(f"No port from {first} on is free at {host}.")


def check(doors: Iterable[Door]) -> None:
    """See that every door can be opened; raises `SettingsError` that names all which cannot."""
    problems = []
    for door in doors:
        number = _why_not(door.host, door.port)
        if number is None:
            continue
        if number == errno.EADDRINUSE:
            other = free_port(door.host, first=door.port + 1)
            reason = f"is taken. Choose another: {door.variable}={other} make run"
        elif number == errno.EACCES:
            reason = f"is for the administrator. Choose another: {door.variable}=8000 make run"
        else:
            reason = f"cannot be opened: {door.host} is no address of this machine (ISOLINE_HOST)"
        problems.append(f"Port {door.port}, for {door.name}, {reason}")
    if problems:
        raise SettingsError("\n".join(problems))


def is_open(host: str, port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def reachable(host: str) -> str:
    """Give the address at which this machine itself reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound


def _why_not(host: str, port: int) -> int | None:
    try:
        with _bound(host, port):
            return None
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    probe = socket.socket(family, kind, protocol)
    try:
        # What just ended leaves its port in TIME_WAIT, which is no obstacle to a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    except BaseException:
        probe.close()
        raise
    return probe
