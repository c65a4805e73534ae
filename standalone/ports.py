"""Ports of this machine: which are free, and which the stack would need."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.errors import SettingsError


@dataclass(frozen=True)
class Door:
    """A port to be opened: by whom, where, and which variable chooses another."""

    name: str
    host: str
    port: int
    variable: str


def free_port(
    host: str = "127.0.0.1", *, first: int = 0, taken: Collection[int] = frozenset()
) -> int:
    """Find a port that nobody listens on: any at all, or the next one from `first` on.

    Parameters
    ----------
    taken : those that somebody is about to use.
    """
    for port in range(first, 65536):
        if port not in taken and _why_not(host, port) is None:
            with _bound(host, port) as probe:
                return int(probe.getsockname()[1])
    raise SettingsError(f"No port from {first} on is free at {host}.")


def check(doors: Iterable[Door]) -> None:
    """See that every door can be opened.

    Raises
    ------
    SettingsError : it names all that cannot, and one choice of others for all that are taken.
    """
    doors = list(doors)
    problems = []
    others: dict[str, int] = {}
    for door in doors:
        number = _why_not(door.host, door.port)
        if number is None:
            continue
        first = door.port + 1
        if number == errno.EADDRINUSE:
            reason = "is taken"
        elif number == errno.EACCES:
            reason, first = "is for the administrator", 8000
        else:
            reason = f"cannot be opened: {door.host} is no address of this machine (ISOLINE_HOST)"
        problems.append(f"Port {door.port}, for {door.name}, {reason}.")
        if number in (errno.EADDRINUSE, errno.EACCES):
            taken = {*others.values(), *(door.port for door in doors)}
            others[door.variable] = free_port(door.host, first=first, taken=taken)
    if others:
        choice = " ".join(f"{variable}={port}" for variable, port in others.items())
        problems[-1] += f" Choose {'others' if len(others) > 1 else 'another'}: {choice} make run"
    if problems:
        raise SettingsError("\n".join(problems))


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
