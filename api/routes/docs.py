"""Pages for people: the contract with a form to try each request, and one page a problem.

Everything comes from this server, and nothing runs that does not: no inline script, no internet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, current_app, redirect, render_template, send_from_directory
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from api.openapi import Answer, Operation, Route, build, promises
from api.problems import ALL_KINDS
from api.routes.desk import answer
from shared.errors import NotFound

docs = Blueprint("docs", __name__)

_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_SWAGGER_FILES = {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}
# A part of a path as Werkzeug writes it: <name> or <converter:name>.
_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_KINDS = {kind.slug: kind for kind in ALL_KINDS}
_POLICY = (
    # Swagger UI styles itself inline; scripts come from files only.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class AnyObject(Struct):
    """An OpenAPI document."""

    openapi: str


@docs.get("/openapi.json")
@promises(Operation("The contract", {200: Answer("OpenAPI 3.1.", AnyObject)}))
def openapi() -> Response:
    return answer(build(_promised_routes()))


def _promised_routes() -> Iterator[Route]:
    """Every view that has promised something, for each method it answers."""
    for rule in current_app.url_map.iter_rules():
        operation = getattr(current_app.view_functions[rule.endpoint], "operation", None)
        if operation is None:
            continue
        path = _VARIABLE.sub(r"{\1}", rule.rule)
        resource, _, act = rule.endpoint.partition(".")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(path, method.lower(), resource, act, sorted(rule.arguments), operation)


@docs.get("/")
def front() -> BaseResponse:
    return redirect("/docs", 302)


@docs.get("/docs")
def page() -> Response:
    return _page(render_template("docs.html"))


@docs.get("/docs/<name>")
def part(name: str) -> Response:
    if name not in _SWAGGER_FILES:
        raise NotFound("There is no such page.")
    return send_from_directory(_SWAGGER_UI, name, max_age=86400)


@docs.get("/favicon.ico")
def favicon() -> Response:
    return part("favicon-32x32.png")


@docs.get("/problems")
def problems() -> Response:
    return _page(render_template("problems.html", kinds=ALL_KINDS))


@docs.get("/problems/<slug>")
def problem(slug: str) -> Response:
    if slug not in _KINDS:
        raise NotFound("There is no such page.")
    return _page(render_template("problem.html", kind=_KINDS[slug]))


def _page(html: str) -> Response:
    return Response(html, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})
