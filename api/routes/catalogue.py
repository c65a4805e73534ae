"""/insights: the catalogue of what can be measured."""

from __future__ import annotations

from flask import Blueprint, Response

import api.catalogue as acts
from api.openapi import Answer, Operation, promises
from api.routes.desk import answer, desk
from shared.errors import DependencyError

insights = Blueprint("insights", __name__)


@insights.get("/insights")
@promises(
    Operation(
        "List what is measured",
        {200: Answer("Every insight with its definition.", acts.Catalogue)},
        problems=[DependencyError],
    )
)
def find_all() -> Response:
    return answer(acts.find_catalogue(desk().engine))
