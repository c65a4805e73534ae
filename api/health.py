"""Whether everything is there that an upload, and then its insights, lean on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from sqlalchemy import CompoundSelect, Connection, func, select, union_all

from api.ledger import Ledger
from shared.broker import Broker
from shared.database import now_s, reading
from shared.errors import DatabaseUnavailable
from shared.migrations.schema import current_revision
from shared.models import Ecg
from shared.states import IS_FRESH, IS_HELD, IS_RETRIED

# Who could have been begun for so long, and is not, waits for workers that do not get on.
LATE_S = 60.0


class SchemaState(Struct):
    """Which revision of the tables is there, and which one this code was written for."""

    revision: str | None
    expected: str


class Readiness(Struct):
    """Each thing that an upload or its insights lean on."""

    status: Annotated[
        Literal["ok", "degraded", "unavailable"],
        Meta(description="`degraded`: uploads are safe, but their insights are not coming."),
    ]
    database: Literal["ok", "unavailable"]
    schema: SchemaState
    broker: Literal["ok", "unavailable"]
    workers_online: int
    bulk_workers_online: Annotated[int, Meta(description="Those for the lines of batches.")]
    relay: Annotated[
        Literal["ok", "silent", "unknown"],
        Meta(description="`unknown` while the broker, through which it is heard, is away."),
    ]
    relay_heard_s_ago: float | None
    oldest_due_s: Annotated[
        float | None,
        Meta(
            description="For how many seconds the ECG that has waited longest could have been "
            "begun, lines of batches aside; null when none waits, or the database is away."
        ),
    ]

    @property
    def is_fit(self) -> bool:
        """Whether an upload can be stored."""
        return self.status != "unavailable"


def find_readiness(ledger: Ledger, broker: Broker, newest_revision: str) -> Readiness:
    """Ask database and broker; raises nothing when they are away, since that is the answer."""
    revision: str | None = None
    oldest_due_s: float | None = None
    database: Literal["ok", "unavailable"] = "ok"
    try:
        with reading(ledger.engine) as connection:
            revision = current_revision(connection)
            if revision == newest_revision:
                oldest_due_s = _oldest_due_s(connection)
    except DatabaseUnavailable:
        database = "unavailable"
    if ledger.is_refused:
        # It can be read, but is locked, full or read-only.
        database = "unavailable"
    roll = broker.roll()
    workers = roll.online("worker") if roll else 0
    bulk_workers = roll.online("bulk") if roll else 0
    heard_s_ago = roll.last_heard_s_ago("relay") if roll else None
    relay: Literal["ok", "silent", "unknown"] = "unknown"
    if roll is not None:
        relay = "ok" if roll.online("relay") else "silent"
    status: Literal["ok", "degraded", "unavailable"] = "ok"
    if database != "ok" or revision != newest_revision:
        status = "unavailable"
    elif not (workers and bulk_workers) or relay != "ok" or (oldest_due_s or 0.0) > LATE_S:
        status = "degraded"
    return Readiness(
        status=status,
        database=database,
        schema=SchemaState(revision, newest_revision),
        broker="unavailable" if roll is None else "ok",
        workers_online=workers,
        bulk_workers_online=bulk_workers,
        relay=relay,
        relay_heard_s_ago=None if heard_s_ago is None else round(heard_s_ago, 1),
        oldest_due_s=None if oldest_due_s is None else round(oldest_due_s, 1),
    )


def _oldest_due_s(connection: Connection) -> float | None:
    """For how long the first of those that could be worked on has waited; None when none does.

    Uploaded by itself, or begun before, or held by a worker that will not come back.
    """
    since: CompoundSelect[float | None] = union_all(
        select(func.min(Ecg.due_at_s)).where(IS_FRESH),
        select(func.min(Ecg.due_at_s)).where(IS_RETRIED),
        select(func.min(Ecg.lease_until_s)).where(IS_HELD),
    )
    now = connection.scalar(select(now_s())) or 0.0
    # What failed lately is due in a while, what is worked on is leased: these do not wait yet.
    waited_s = [now - since_s for since_s in connection.scalars(since) if since_s is not None]
    return max((age_s for age_s in waited_s if age_s > 0), default=None)
