"""The tables. Their partial indexes, unique ones too, are in `shared.states`.

Times are seconds since 1970-01-01 UTC, by the database's own clock; only when a recording was made
(`recorded_at_s`) is what its sender says.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PENDING = "pending"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"


class LeadSummary(msgspec.Struct):
    """A lead without its samples."""

    name: str
    number_of_samples: int


class Base(DeclarativeBase):
    """What Alembic compares the migrations with."""


class User(Base):
    """Somebody who may upload; known by a name, recognised by the hash of a token."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("username", name="uq_users_username"),
        UniqueConstraint("token_sha256", name="uq_users_token_sha256"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    username: Mapped[str] = mapped_column(String(64))
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at_s: Mapped[float] = mapped_column(Double)


class Batch(Base):
    """Many ecgs that were submitted as the lines of one body, and how far they are.

    Every line is counted in `total`, and ends up in exactly one of `rejected`, `finished` and
    `failed`; what is in none of them is pending. Only `shared.tally` changes the counts.
    """

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key", name="uq_batches_user_id_idempotency_key"),
        Index("ix_batches_user_id_id", "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    # Which of the requests with that key feeds it: the latest. The others find themselves fenced.
    reception: Mapped[int] = mapped_column(Integer)
    # The highest number that a line that is counted had in the body that brought it.
    last_number: Mapped[int] = mapped_column(Integer)
    # The highest that one was ever stored under, and how many came without a name: also of what
    # has been erased, whose number is no other one's, and which is still known when it comes again.
    last_line: Mapped[int] = mapped_column(Integer, server_default="0")
    unnamed: Mapped[int] = mapped_column(Integer, server_default="0")
    total: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    finished: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    created_at_s: Mapped[float] = mapped_column(Double)
    # The last line has come.
    received_at_s: Mapped[float | None] = mapped_column(Double)
    cancelled_at_s: Mapped[float | None] = mapped_column(Double)
    # A line last ended or, when none waited any more, one came: since then the next end is awaited.
    progressed_at_s: Mapped[float | None] = mapped_column(Double)
    # How long that has been so, up to then: the time in which there was something to work on.
    worked_s: Mapped[float] = mapped_column(Double, server_default="0")
    # The share that had ended when more lines came, of a batch that had not: no less is said again.
    progress_kept: Mapped[float] = mapped_column(Double, server_default="0")
    # The last one did: nothing will change any more.
    finished_at_s: Mapped[float | None] = mapped_column(Double)


class RejectedLine(Base):
    """A line of a batch that is no ecg, and why."""

    __tablename__ = "rejected_lines"
    __table_args__ = (Index("ix_rejected_lines_batch_id_custom_id", "batch_id", "custom_id"),)

    batch_id: Mapped[str] = mapped_column(
        ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True
    )
    line: Mapped[int] = mapped_column(Integer, primary_key=True)
    custom_id: Mapped[str | None] = mapped_column(String(255))
    # JSON: the problem that the line alone would have been answered with.
    problem: Mapped[str] = mapped_column(Text)


class Ecg(Base):
    """One uploaded recording without its samples, and the state of the one job it is."""

    __tablename__ = "ecgs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'failed')", name="ck_ecgs_status"
        ),
        # Decides which of two identical requests at the same instant made the row.
        UniqueConstraint("user_id", "idempotency_key", name="uq_ecgs_user_id_idempotency_key"),
        # The list, newest first, plain and filtered by status.
        Index("ix_ecgs_user_id_id", "user_id", "id"),
        Index("ix_ecgs_user_id_status_id", "user_id", "status", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at_s: Mapped[float] = mapped_column(Double)
    recorded_at_s: Mapped[float] = mapped_column(Double)
    sampling_rate_hz: Mapped[float | None] = mapped_column(Double)
    unit: Mapped[str | None] = mapped_column(String(32))
    gain: Mapped[float | None] = mapped_column(Double)
    baseline: Mapped[float] = mapped_column(Double)
    # JSON: a list of `LeadSummary`, in the order of the upload.
    leads: Mapped[str] = mapped_column(Text)
    number_of_leads: Mapped[int] = mapped_column(Integer)
    # Of all leads together: how much work it is.
    number_of_samples: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # The batch it came with, its line there, and what its owner calls it. No foreign key: SQLite
    # gets one only into a copy of the table, and making that takes the signals along.
    batch_id: Mapped[str | None] = mapped_column(String(36))
    line: Mapped[int | None] = mapped_column(Integer)
    custom_id: Mapped[str | None] = mapped_column(String(255))
    request_id: Mapped[str] = mapped_column(String(128))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    body_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))

    status: Mapped[str] = mapped_column(String(8))
    # How often a worker has begun; also the fence: only the latest attempt may store a result.
    attempts: Mapped[int] = mapped_column(Integer)
    # From then on a worker may begin: from the upload on, or after a failed attempt a while later.
    due_at_s: Mapped[float] = mapped_column(Double, server_default="0")
    # When a message was last to name it; 0: since it has begun to wait, none was.
    rung_at_s: Mapped[float] = mapped_column(Double)
    # The worker at it may keep it until then; afterwards the relay takes it back.
    lease_until_s: Mapped[float | None] = mapped_column(Double)
    # Which delivery of a message that worker got it by, beginning with the id of the message; when
    # that is known to be lost, so is the row.
    held_by: Mapped[str | None] = mapped_column(String(64))
    finished_at_s: Mapped[float | None] = mapped_column(Double)
    # Why it failed, in words a user understands. Of a finished ecg: why it could not be analysed
    # again; its document is the one it had.
    failure: Mapped[str | None] = mapped_column(Text)
    # The fingerprint of the insights that were last tried on it.
    catalogue: Mapped[str] = mapped_column(String(16), server_default="")
    # Set while a finished ecg waits to be analysed again, or is: how many attempts there had been.
    # Whoever asks for its insights meanwhile gets those it has.
    redo_after: Mapped[int | None] = mapped_column(Integer)


class Signal(Base):
    """The samples of all leads of one ecg, as `shared.signals` encodes them."""

    __tablename__ = "signals"

    ecg_id: Mapped[str] = mapped_column(ForeignKey("ecgs.id", ondelete="CASCADE"), primary_key=True)
    encoded: Mapped[bytes] = mapped_column(LargeBinary)


class Insights(Base):
    """The finished document of one ecg, byte for byte as the poll answers it."""

    __tablename__ = "insights"

    ecg_id: Mapped[str] = mapped_column(ForeignKey("ecgs.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)


class InsightDefinition(Base):
    """One line of the catalogue, written by the relay when it starts, read by the API."""

    __tablename__ = "insight_definitions"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    unit: Mapped[str] = mapped_column(String(64))
    # JSON, as are all that follow the definition: what it is said of, "lead" or "ecg" or both.
    scopes: Mapped[str] = mapped_column(Text, server_default='["lead"]')
    definition: Mapped[str] = mapped_column(Text)
    limits: Mapped[str] = mapped_column(Text, server_default="[]")
    sources: Mapped[str] = mapped_column(Text, server_default="[]")
    # The names of its figures, in the order of a table's columns.
    figures: Mapped[str] = mapped_column(Text, server_default="[]")


class Catalogue(Base):
    """Which insights there were at some time, by the fingerprint that ecgs bear."""

    __tablename__ = "catalogues"

    fingerprint: Mapped[str] = mapped_column(String(16), primary_key=True)
    # JSON: the version of each, by its name.
    versions: Mapped[str] = mapped_column(Text)


class AuditEntry(Base):
    """One administrative act: what, when, to whom, and the id of the request; never a token."""

    __tablename__ = "audit_trail"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at_s: Mapped[float] = mapped_column(Double)
    act: Mapped[str] = mapped_column(String(32))
    # Or the insight that was recomputed.
    username: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
