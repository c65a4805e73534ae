"""/insights: the catalogue of what can be measured, as the workers last declared it."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import Struct
from sqlalchemy import select

from api.openapi import Answer, Operation, promises
from api.routes.desk import answer, desk
from shared.database import reading
from shared.errors import DependencyError
from shared.models import InsightDefinition

insights = Blueprint("insights", __name__)


class Definition(Struct):
    """An insight: its public name, its version, its unit, and what exactly it measures."""

    name: str
    version: int
    unit: str
    definition: str


class Catalogue(Struct):
    """Every insight there is."""

    data: list[Definition]


@insights.get("/insights")
@promises(
    Operation(
        "List what is measured",
        {200: Answer("Every insight with its definition.", Catalogue)},
        problems=[DependencyError],
    )
)
def find_all() -> Response:
    row = InsightDefinition
    with reading(desk().engine) as connection:
        rows = connection.execute(
            select(row.name, row.version, row.unit, row.definition).order_by(row.name)
        )
        return answer(Catalogue([Definition(*row) for row in rows]))
