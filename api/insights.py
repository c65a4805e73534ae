"""What can be asked about insights: how far those of an ecg are, and which there are at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Engine, select

from api.ecgs import one_of
from api.users import Caller
from shared.database import reading
from shared.models import FAILED, FINISHED, InsightDefinition, Insights
from shared.models import Ecg as EcgRow

WAITING_DETAIL = "Insights are still being processed"

WaitingFor = Literal["queue", "worker"] | None


class LeadInsights(Struct):
    """The insights of one lead, by their public names."""

    name: str
    number_of_zero_crossings: int | None
    insights: dict[str, dict[str, Any]]


class Finished(Struct, tag_field="status", tag="finished"):
    """The insights of one ECG."""

    ecg_id: str
    leads: list[LeadInsights]


class Failed(Struct, tag_field="status", tag="failed"):
    """Why an ECG has no insights and never will."""

    ecg_id: str
    detail: str
    leads: list[LeadInsights]


class Pending(Struct, tag_field="status", tag="pending"):
    """Insights that are still to come."""

    ecg_id: str
    detail: str
    waiting_for: WaitingFor


class Definition(Struct):
    """An insight: its public name, its version, its unit, and what exactly it measures."""

    name: str
    version: int
    unit: str
    definition: str


class Catalogue(Struct):
    """Every insight there is."""

    data: list[Definition]


@dataclass(frozen=True)
class Progress:
    """How far one ecg is: its raw status, and the document or the reason once it has ended."""

    ecg_id: str
    status: str
    failure: str | None
    document: bytes | None

    @property
    def has_ended(self) -> bool:
        """Whether there will be no further news."""
        return self.status in (FINISHED, FAILED)

    def ended_document(self) -> bytes:
        """The poll's answer for an ecg that has ended."""
        if self.document is not None:
            return self.document
        reason = self.failure or "The analysis failed."
        return msgspec.json.encode(Failed(self.ecg_id, reason, []))


def find_progress(engine: Engine, caller: Caller, ecg_id: str) -> Progress:
    """How far the job of this ecg is; raises `NotFound`."""
    statement = select(EcgRow.id, EcgRow.status, EcgRow.failure, Insights.document).outerjoin(
        Insights, Insights.ecg_id == EcgRow.id
    )
    with reading(engine) as connection:
        row = one_of(connection, statement, caller, ecg_id)
    return Progress(row.id, row.status, row.failure, row.document)


def find_catalogue(engine: Engine) -> Catalogue:
    """The insights as the workers last declared them."""
    table = InsightDefinition
    statement = select(table.name, table.version, table.unit, table.definition)
    with reading(engine) as connection:
        rows = connection.execute(statement.order_by(table.name)).all()
    return Catalogue([Definition(*row) for row in rows])
