"""/users: for the administrator, who can never read an ECG."""

from __future__ import annotations

from flask import Blueprint, Response, request

import api.users as acts
from api.faults import parse_as
from api.openapi import Answer, Operation, promises
from api.pages import Page, parse_paging
from api.routes.desk import answer, desk, nothing, place, received_body, request_id, require_admin
from shared.errors import InvalidRequest, NotFound, UsernameTaken

users = Blueprint("users", __name__)


@users.post("/users")
@promises(
    Operation(
        "Register a user",
        {201: Answer("Registered. The token is shown this once.", acts.Credentials)},
        who="admin",
        request=acts.Registration,
        example={"username": "ada"},
        problems=[UsernameTaken],
    )
)
def register() -> Response:
    require_admin()
    with place() as share:
        registration = parse_as(received_body(share), acts.Registration)
    return answer(acts.register(desk().engine, registration, request_id=request_id()), 201)


@users.get("/users")
@promises(
    Operation(
        "List the users",
        {200: Answer("One page, by name.", Page[acts.User])},
        who="admin",
        parameters=["limit", "cursor"],
        problems=[InvalidRequest],
    )
)
def find_all() -> Response:
    require_admin()
    return answer(acts.find_all(desk().engine, parse_paging(request.args)))


@users.post("/users/<username>/token")
@promises(
    Operation(
        "Rotate a token",
        {200: Answer("The new token, shown this once; the old one is dead.", acts.Credentials)},
        who="admin",
        problems=[NotFound],
    )
)
def rotate_token(username: str) -> Response:
    require_admin()
    return answer(acts.rotate_token(desk().engine, username, request_id=request_id()))


@users.delete("/users/<username>")
@promises(
    Operation(
        "Erase a user with all their ECGs",
        {204: Answer("Erased.")},
        who="admin",
        problems=[NotFound],
    )
)
def erase(username: str) -> Response:
    require_admin()
    acts.erase(desk().engine, username, request_id=request_id())
    return nothing()
