"""Which insights there are, as the relay last published them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Engine, select

from shared.database import reading
from shared.errors import DependencyError
from shared.models import InsightDefinition

NOT_PUBLISHED = "The relay has not published yet what is measured."


class Definition(Struct):
    """An insight: its public name, its version, its unit, and what exactly it measures."""

    name: str
    version: int
    unit: str
    scopes: Annotated[
        list[Literal["lead", "ecg"]],
        Meta(
            description="What it is said of: each lead, in `leads[].insights`, or the whole ECG, "
            "in `insights`."
        ),
    ]
    definition: str
    limits: list[str]
    sources: list[str]
    figures: Annotated[
        list[str],
        Meta(description="The names of its single values, in the order of a table's columns."),
    ]


class Catalogue(Struct):
    """Every insight there is."""

    data: list[Definition]


def find_catalogue(engine: Engine) -> Catalogue:
    """The insights as the relay last published them; raises `DependencyError` before it did."""
    with reading(engine) as connection:
        rows = connection.execute(_DEFINITIONS).all()
    if not rows:
        raise DependencyError(NOT_PUBLISHED)
    return Catalogue([_define(row) for row in rows])


_DEFINITIONS = select(InsightDefinition.__table__).order_by(InsightDefinition.name)


def _define(row: Any) -> Definition:
    return Definition(
        name=row.name,
        version=row.version,
        unit=row.unit,
        scopes=msgspec.json.decode(row.scopes),
        definition=row.definition,
        limits=msgspec.json.decode(row.limits),
        sources=msgspec.json.decode(row.sources),
        figures=msgspec.json.decode(row.figures),
    )
