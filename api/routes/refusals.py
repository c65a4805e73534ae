"""How every error leaves: as application/problem+json, with what `api.problems` says of it."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from api.problems import (
    INTERNAL,
    MEDIA_TYPE,
    Kind,
    Problem,
    kind_of,
    kind_of_status,
    make_problem,
    problem_of,
)
from api.routes.desk import answer
from shared import errors

log = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    """Let every error leave by this door."""
    app.register_error_handler(errors.ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected)


def _service_error(error: errors.ServiceError) -> Response:
    kind = kind_of(type(error))
    if kind is INTERNAL:
        return _unexpected(error)
    if isinstance(error, errors.DependencyError):
        log.warning("request refused", reason=type(error).__name__)
    response = _answer(problem_of(error, g.get("request_id", "")))
    if kind.retry_after_s is not None:
        response.headers["Retry-After"] = str(kind.retry_after_s)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="isoline"'
    return response


def _http_exception(error: HTTPException) -> Response:
    """Werkzeug's own refusals keep their status and headers, and get our body."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status, error.get_headers())
    kind = kind_of_status(status)
    # Werkzeug's descriptions are written for pages in a browser.
    response = _answer_kind(kind, f"{kind.title}.")
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    # Only the type and the place: messages of libraries like to quote what they choked on.
    log.error("unexpected error", exc_info=error)
    return _answer_kind(INTERNAL, "The request could not be carried out.")


def _answer_kind(kind: Kind, detail: str) -> Response:
    return _answer(make_problem(kind, detail, g.get("request_id", "")))


def _answer(problem: Problem) -> Response:
    return answer(problem, problem.status, media_type=MEDIA_TYPE)
