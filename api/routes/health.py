"""Is it there, and is it fit for work?"""

from __future__ import annotations

from flask import Blueprint, Response

from api.health import Readiness, find_readiness
from api.openapi import Answer, Operation, promises
from api.routes.desk import answer, desk

health = Blueprint("health", __name__)


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
    readiness = find_readiness(
        at_desk.ledger, at_desk.budget, at_desk.broker, at_desk.newest_revision
    )
    return answer(readiness, 200 if readiness.is_fit else 503)
