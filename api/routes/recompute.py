"""/recompute: for the administrator, who counts and asks, and can never read an ECG."""

from __future__ import annotations

from flask import Blueprint, Response, request

import api.recompute as acts
from api.openapi import Answer, Operation, promises
from api.routes.desk import answer, desk, request_id, require_admin
from shared.errors import DependencyError, InvalidRequest

recompute = Blueprint("recompute", __name__)


@recompute.get("/recompute")
@promises(
    Operation(
        "Count what is out of date",
        {200: Answer("How many ECGs, and what becomes of them.", acts.Recomputation)},
        who="admin",
        parameters=["insight"],
        problems=[InvalidRequest, DependencyError],
    )
)
def count() -> Response:
    require_admin()
    return answer(acts.count(desk().engine, request.args.get("insight")))


@recompute.post("/recompute")
@promises(
    Operation(
        "Have insights computed again that are out of date",
        {
            202: Answer(
                "Some of them, or all, wait for it; while `stale` is not 0, ask again.",
                acts.Queued,
            )
        },
        who="admin",
        parameters=["insight"],
        problems=[InvalidRequest, DependencyError],
    )
)
def queue() -> Response:
    require_admin()
    insight = request.args.get("insight")
    return answer(acts.queue(desk().engine, insight, request_id=request_id()), 202)
