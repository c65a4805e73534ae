"""The desk behind the door: what every view works with, and how it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import msgspec
from flask import Flask, Response, current_app, g, request
from sqlalchemy import Engine

from api.bodies import Budget, read_body
from api.users import Caller, authenticate, check_admin
from api.waiting import WaitingRoom
from shared.broker import Broker
from shared.errors import UnsupportedMedia
from shared.settings import Settings


@dataclass(frozen=True)
class Desk:
    """What `create_app` has put together."""

    settings: Settings
    engine: Engine
    enqueue: Callable[[Sequence[str], str], None]
    broker: Broker
    budget: Budget
    waiting_room: WaitingRoom
    newest_revision: str


def desk_of(app: Flask) -> Desk:
    """The desk of this app."""
    return cast(Desk, app.extensions["isoline"])


def desk() -> Desk:
    """The desk of the app that answers this request."""
    return desk_of(current_app)


def caller() -> Caller:
    """Whoever holds this request's user token; raises `Unauthenticated`."""
    token = request.headers.get("x-user-token")
    if not token:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = credentials.strip() if scheme.lower() == "bearer" else None
    return authenticate(desk().engine, token)


def require_admin() -> None:
    """Go on only for the administrator; raises `Unauthenticated`."""
    admin_token = desk().settings.admin_token
    assert admin_token is not None  # noqa: S101 - the app does not start without one
    check_admin(request.headers.get("x-admin-token"), admin_token)


@contextmanager
def received_body() -> Iterator[bytes]:
    """This request's JSON body, expanded; its memory is accounted for until the block ends.

    Raises
    ------
    UnsupportedMedia, and what `read_body` raises.
    """
    # Absent, it can only be JSON; anything else announced is a mistake worth naming.
    if request.content_type and not request.is_json:
        raise UnsupportedMedia("Content-Type must be application/json.")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMedia("JSON is sent as UTF-8.")
    with desk().budget.reader() as share:
        yield read_body(
            request.environ["wsgi.input"],
            share,
            most_bytes=desk().settings.max_upload_bytes,
            length=request.content_length,
            encoding=request.headers.get("Content-Encoding", "identity").strip().lower(),
        )


def answer(content: Any, status: int = 200) -> Response:
    """Write a struct, or JSON that is ready-made."""
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(data, status, mimetype="application/json")


def nothing() -> Response:
    """Say that it is done; of what is not there, not even the type is named."""
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    return response


def revalidated(content: Any) -> Response:
    """Write what its owner may keep, and need not be sent again as long as it has not changed."""
    response = answer(content)
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    tag, _ = response.get_etag()
    if tag is not None and request.if_none_match.contains_weak(tag):
        response.status_code = HTTPStatus.NOT_MODIFIED
        response.set_data(b"")
    return response


def request_id() -> str:
    """What this request is called in every log line, here and in the worker."""
    return str(g.request_id)
