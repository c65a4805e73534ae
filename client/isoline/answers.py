"""What the server answers, as types. Fields that a newer server adds are left aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from isoline.errors import Fault

T = TypeVar("T")


class Page(Struct, Generic[T]):
    """Some of a list, and where the rest begins."""

    data: list[T]
    next_cursor: str | None = None


class LeadSummary(Struct):
    """A lead without its samples."""

    name: str
    number_of_samples: int


class EcgSummary(Struct, kw_only=True):
    """One uploaded recording without its samples."""

    id: str
    status: Literal["pending", "finished", "failed"]
    created_at: datetime
    finished_at: datetime | None = None
    date: datetime
    sampling_rate: float | None = None
    unit: str | None = None
    gain: float | None = None
    baseline: float = 0.0
    number_of_leads: int
    leads: list[LeadSummary] = []


class LeadInsights(Struct):
    """The insights of one lead, by their public names."""

    name: str
    number_of_zero_crossings: int | None = None
    insights: dict[str, dict[str, Any]] = {}


class Insights(Struct, kw_only=True):
    """How far an ECG is; its insights, once `status` is "finished": of leads, and of the whole."""

    ecg_id: str
    status: Literal["pending", "finished", "failed"]
    leads: list[LeadInsights] = []
    insights: dict[str, dict[str, Any]] = {}
    # Why it waits, or why it failed.
    detail: str | None = None
    waiting_for: Literal["queue", "worker"] | None = None
    ahead: int | None = None
    # Of a line of a batch.
    line: int | None = None
    custom_id: str | None = None


class Accepted(EcgSummary, kw_only=True):
    """The answer to an upload; with `wait_s` also the insights, when they came in time."""

    insights: Insights | None = None


class Counts(Struct):
    """Of the lines of a batch: `total` is always the sum of the others."""

    total: int
    pending: int
    finished: int
    failed: int
    rejected: int


class Batch(Struct, kw_only=True):
    """Many ECGs submitted together, and how far they are."""

    id: str
    status: Literal["receiving", "running", "finished", "cancelled"]
    counts: Counts
    progress: float
    rate_per_s: float | None = None
    eta_s: float | None = None
    created_at: datetime
    finished_at: datetime | None = None
    detail: str | None = None
    # After a submission: how many of its lines had come with an earlier one already.
    known: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.finished_at is not None


class Problem(Struct, kw_only=True):
    """What the server says is wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int | None = None
    detail: str = ""
    request_id: str = ""
    errors: list[Fault] = []


class ErrorLine(Struct, kw_only=True):
    """Why a line of a batch has no insights: it is no ECG, or its analysis failed."""

    line: int
    custom_id: str | None = None
    ecg_id: str | None = None
    verdict: Literal["rejected", "failed"]
    problem: Problem


class Definition(Struct, kw_only=True):
    """An insight: its public name, its version, its unit, and what exactly it measures."""

    name: str
    version: int
    unit: str
    scopes: list[str] = []
    definition: str
    limits: list[str] = []
    sources: list[str] = []
    figures: list[str] = []


class Catalogue(Struct, kw_only=True):
    """All insights that there are."""

    data: list[Definition]


class Recomputation(Struct, kw_only=True):
    """How many finished ECGs have insights that are out of date, and what becomes of those."""

    # Not asked for yet; asked for and not computed yet; and could not be computed again.
    stale: int
    waiting: int
    failed: int
    # After asking: how many were asked for.
    queued: int = 0


class User(Struct):
    """Somebody who may upload."""

    username: str
    created_at: datetime


class Credentials(Struct):
    """A user's name and token; the token is shown this once."""

    username: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Credentials(username={self.username!r})"


class Readiness(Struct, kw_only=True):
    """Whether everything is there that an upload and its insights lean on."""

    status: Literal["ok", "degraded", "unavailable"]
    database: str
    broker: str
    workers_online: int
    bulk_workers_online: int = 0
    relay: str
    oldest_due_s: float | None = None
    redo_idle_s: float | None = None
