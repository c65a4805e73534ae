"""Whether everything is there that an upload, and then its insights, lean on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.bodies import Budget
from api.ledger import Ledger
from shared.broker import Broker
from shared.database import reading
from shared.errors import DatabaseUnavailable
from shared.migrations.revisions import current_revision
from shared.waits import (
    FRESH_SINCE,
    LAPSED_SINCE,
    LONG_S,
    RETRIED_SINCE,
    STALLED_S,
    find_redo,
    longest_s,
)


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
    turned_away_s_ago: Annotated[
        float | None,
        Meta(
            description="How many seconds ago the process that answers turned an upload away for "
            "want of a place; null when that is longer ago than a minute."
        ),
    ]
    oldest_due_s: Annotated[
        float | None,
        Meta(
            description="For how many seconds the ECG that has waited longest could have been "
            "begun, lines of batches aside; what a lost worker had begun counts once its lease is "
            "over. Null when none waits, or the database is away."
        ),
    ]
    redo_idle_s: Annotated[
        float | None,
        Meta(
            description="For how many seconds nobody has come for finished ECGs that wait to be "
            "computed anew, 0 while a worker is at one; null when none waits, or the database is "
            "away."
        ),
    ]

    @property
    def is_fit(self) -> bool:
        """Whether an upload can be stored."""
        return self.status != "unavailable"


def find_readiness(
    ledger: Ledger, budget: Budget, broker: Broker, newest_revision: str
) -> Readiness:
    """Ask database and broker; raises nothing when they are away, since that is the answer."""
    revision: str | None = None
    oldest_due_s: float | None = None
    redo_idle_s: float | None = None
    database: Literal["ok", "unavailable"] = "ok"
    try:
        with reading(ledger.engine) as connection:
            revision = current_revision(connection)
            if revision == newest_revision:
                oldest_due_s = longest_s(connection, FRESH_SINCE, RETRIED_SINCE, LAPSED_SINCE)
                redo = find_redo(connection)
                redo_idle_s = redo.idle_s if redo else None
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
    is_late = (oldest_due_s or 0.0) > LONG_S or (redo_idle_s or 0.0) > STALLED_S
    status: Literal["ok", "degraded", "unavailable"] = "ok"
    if database != "ok" or revision != newest_revision:
        status = "unavailable"
    elif not (workers and bulk_workers) or relay != "ok" or is_late:
        status = "degraded"
    return Readiness(
        status=status,
        database=database,
        schema=SchemaState(revision, newest_revision),
        broker="unavailable" if roll is None else "ok",
        workers_online=workers,
        bulk_workers_online=bulk_workers,
        relay=relay,
        relay_heard_s_ago=_rounded(heard_s_ago),
        turned_away_s_ago=_rounded(budget.turned_away_s_ago),
        oldest_due_s=_rounded(oldest_due_s),
        redo_idle_s=_rounded(redo_idle_s),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
