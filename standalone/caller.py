"""Calls the API of the stack, without a proxy and without a library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from shared.errors import DependencyError
from standalone.ports import reachable


class NotAnswering(DependencyError):
    """Nobody answers at the address of the API, or not in HTTP."""


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
    connection = http.client.HTTPConnection(reachable(address[0]), address[1], timeout=patience_s)
    try:
        connection.request(
            method, path, body, {"content-type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        answer = response.read()
        return response.status, json.loads(answer) if answer else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotAnswering(f"{url_of(*address)} does not answer.") from error
    finally:
        connection.close()


def is_up(address: tuple[str, int]) -> bool:
    """Say whether an Isoline answers there."""
    try:
        return call(address, "GET", "/health/ping", patience_s=1.0) == (200, "pong")
    except NotAnswering:
        return False
