"""The desk behind the door: what every view works with, and how it reads and writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import msgspec
from flask import Flask, Response, current_app, g, request
from sqlalchemy import Connection, Engine

from api.bodies import Budget, Share, read_body, stream_body
from api.clerks import Clerks
from api.ecgs import KEY_PATTERN, LONGEST_KEY
from api.lane import Lane
from api.ledger import Ledger
from api.lines import Line, split
from api.places import Places
from api.users import Caller, authenticate, check_admin
from api.waiting import N, WaitingRoom, parse_wait
from shared.broker import Broker
from shared.database import reading
from shared.errors import MalformedRequest, Overloaded, UnsupportedMedia
from shared.settings import Settings

# What goes with an answer that is not the last one: come back in so many seconds.
COME_BACK = {"Retry-After": "1"}
LINES_OF_JSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


@dataclass(frozen=True)
class Desk:
    """What `create_app` has put together."""

    settings: Settings
    engine: Engine
    ledger: Ledger
    ring: Callable[[Sequence[str], str], None]
    broker: Broker
    budget: Budget
    waiting_room: WaitingRoom
    clerks: Clerks
    lane: Lane
    exports: Places
    newest_revision: str


def desk_of(app: Flask) -> Desk:
    """The desk of this app."""
    return cast(Desk, app.extensions["isoline"])


def desk() -> Desk:
    """The desk of the app that answers this request."""
    return desk_of(current_app)


def caller() -> Caller:
    """Whoever holds this request's user token; raises `Unauthenticated`."""
    with reading_as_caller() as (_, who):
        return who


@contextmanager
def place() -> Iterator[Share]:
    """A place for a body on its way in; its memory is accounted for until the block ends.

    Raises
    ------
    Overloaded : there is none. That is asked before whose token it is: the more come at once, the
        less it may take to say so.
    """
    budget = desk().budget
    try:
        with budget.reader() as share:
            yield share
    except Overloaded:
        budget.turn_away(request.environ["wsgi.input"], request.content_length)
        raise


@contextmanager
def reading_as_caller() -> Iterator[tuple[Connection, Caller]]:
    """A connection for SELECTs, and who may ask; raises `Unauthenticated`, and what `reading` does.

    To begin a reading takes longer than a question in it: a poll asks both of its questions in one.
    """
    token = request.headers.get("x-user-token")
    if not token:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = credentials.strip() if scheme.lower() == "bearer" else None
    with reading(desk().engine) as connection:
        yield connection, authenticate(connection, token)


def require_admin() -> None:
    """Go on only for the administrator; raises `Unauthenticated`."""
    admin_token = desk().settings.admin_token
    assert admin_token is not None  # noqa: S101 - the app does not start without one
    check_admin(request.headers.get("x-admin-token"), admin_token)


def received_body(share: Share) -> bytes:
    """This request's JSON body, expanded.

    Raises
    ------
    UnsupportedMedia, and what `read_body` raises.
    """
    # Absent, it can only be JSON; anything else announced is a mistake worth naming.
    if request.content_type and not request.is_json:
        raise UnsupportedMedia("Content-Type must be application/json.")
    _check_charset()
    return read_body(
        request.environ["wsgi.input"],
        share,
        most_bytes=desk().settings.max_upload_bytes,
        length=request.content_length,
        encoding=_encoding(),
    )


def received_lines(share: Share) -> Iterator[Line]:
    """This request's JSON lines as they come; raises what `stream_body` raises."""
    if request.content_type and request.mimetype not in LINES_OF_JSON:
        raise UnsupportedMedia(f"Content-Type must be {LINES_OF_JSON[0]}: one ECG a line.")
    _check_charset()
    parts = stream_body(
        request.environ["wsgi.input"], length=request.content_length, encoding=_encoding()
    )
    return split(parts, share, most_bytes=desk().settings.max_upload_bytes)


def _encoding() -> str:
    return request.headers.get("Content-Encoding", "identity").strip().lower()


def _check_charset() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMedia("JSON is sent as UTF-8.")


def idempotency_key() -> str | None:
    """How the caller marks a request that must not be carried out twice, if they do."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(KEY_PATTERN, key):
        raise MalformedRequest(
            f"Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters."
        )
    return key


def wait_for(of: str, look: Callable[[], N], seen: N | None) -> tuple[N | None, dict[str, str]]:
    """Wait for news of it as the caller prefers; what came of it, and the header that says so.

    What was seen of it before, and no header, when the caller does not prefer to wait or every
    chair is taken. Nobody sits down for what has ended.
    """
    seconds = parse_wait(request.headers.get("Prefer"))
    if seconds is None:
        return seen, {}
    applied = {"Preference-Applied": f"wait={seconds}"}
    if seen is not None and seen.has_ended:
        return seen, applied
    news = desk().waiting_room.wait(of, look, seconds)
    return (news, applied) if news else (seen, {})


def answer(content: Any, status: int = 200, *, media_type: str = "application/json") -> Response:
    """Write a struct, or JSON that is ready-made, as a line: a prompt stands below it."""
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(data + b"\n", status, mimetype=media_type)


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
