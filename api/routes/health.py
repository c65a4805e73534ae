"""Is it there, and is it fit for work?"""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, Response
from msgspec import Struct

from api.openapi import Answer, Operation, promises
from api.routes.desk import answer, desk
from shared.database import reading
from shared.errors import DatabaseUnavailable
from shared.migrations.schema import current_revision

health = Blueprint("health", __name__)


class SchemaState(Struct):
    """Which revision of the tables is there, and which one this code was written for."""

    revision: str | None
    expected: str


class Readiness(Struct):
    """Each thing that an upload or its insights lean on."""

    status: Literal["ok", "degraded", "unavailable"]
    database: Literal["ok", "unavailable"]
    schema: SchemaState
    broker: Literal["ok", "unavailable"]
    workers_online: int


@health.get("/health/ping")
@promises(Operation("The process answers", {200: Answer("It does.", str)}))
def ping() -> Response:
    return answer(b'"pong"')


@health.get("/health/ready")
@promises(
    Operation(
        "Fit for work",
        {
            200: Answer("Uploads are safe; *degraded* when insights will be late.", Readiness),
            503: Answer("Uploads cannot be stored.", Readiness),
        },
    )
)
def ready() -> Response:
    at_desk = desk()
    revision, database = None, "ok"
    try:
        with reading(at_desk.engine) as connection:
            revision = current_revision(connection)
    except DatabaseUnavailable:
        database = "unavailable"
    roll = at_desk.broker.roll()
    workers = roll.online("worker") if roll else None
    fit = database == "ok" and revision == at_desk.newest_revision
    readiness = Readiness(
        status="unavailable" if not fit else "ok" if workers else "degraded",
        database="ok" if database == "ok" else "unavailable",
        schema=SchemaState(revision, at_desk.newest_revision),
        broker="unavailable" if workers is None else "ok",
        workers_online=workers or 0,
    )
    return answer(readiness, 200 if fit else 503)
