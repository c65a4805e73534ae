"""Calls what the stack serves, without a proxy and without a library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from shared.errors import DependencyError
from standalone.ports import reachable

# Whoever is frozen is still connected to, and says nothing.
PATIENCE_S = 1.0


class NotAnswering(DependencyError):
    """Nobody answers at the address, or not in HTTP."""


def url_of(host: str, port: int) -> str:
    """Give the URL at which this machine reaches a server that listens there."""
    address = reachable(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def call(
    address: tuple[str, int],
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    document: object = None,
    patience_s: float = 30.0,
) -> tuple[int, Any]:
    """Send a request with an optional JSON body; return status and the JSON of the answer.

    Raises
    ------
    NotAnswering : no answer came, or none that is JSON.
    """
    body = None if document is None else json.dumps(document, separators=(",", ":"))
    named = {"content-type": "application/json", **(headers or {})}
    status, answer = _exchange(address, method, path, body, named, patience_s)
    try:
        return status, json.loads(answer) if answer else None
    except ValueError as error:
        raise NotAnswering(f"{url_of(*address)} does not answer.") from error


def _exchange(
    address: tuple[str, int],
    method: str,
    path: str,
    body: str | None,
    headers: Mapping[str, str],
    patience_s: float,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(reachable(address[0]), address[1], timeout=patience_s)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotAnswering(f"{url_of(*address)} does not answer.") from error
    finally:
        connection.close()


def is_up(address: tuple[str, int]) -> bool:
    """Say whether an Isoline answers there."""
    try:
        return call(address, "GET", "/health/ping", patience_s=PATIENCE_S) == (200, "pong")
    except NotAnswering:
        return False


def readiness_of(address: tuple[str, int]) -> dict[str, Any]:
    """What the Isoline there says of its readiness; nothing when it does not answer."""
    try:
        _, readiness = call(address, "GET", "/health/ready", patience_s=PATIENCE_S)
    except NotAnswering:
        return {}
    return readiness if isinstance(readiness, dict) else {}


def is_flower_up(address: tuple[str, int]) -> bool:
    """Say whether a Flower answers there; its page of health asks for no password."""
    try:
        return _exchange(address, "GET", "/healthcheck", None, {}, PATIENCE_S) == (200, b"OK")
    except NotAnswering:
        return False
