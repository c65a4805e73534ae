"""The tables. Times are seconds since 1970-01-01 UTC, always by the database's own clock."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PENDING = "pending"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"


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
        # What the relay looks through: only rows that still wait for something. A statement
        # that wants one of these indexes must name the status literally, as `IS_PENDING` does.
        Index(
            "ix_ecgs_pending_rung_at_s",
            "rung_at_s",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        # How many are ahead, and since when the first of them could have been begun.
        Index(
            "ix_ecgs_pending_due_at_s",
            "due_at_s",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_ecgs_running_lease_until_s",
            "lease_until_s",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at_s: Mapped[float] = mapped_column(Double)
    recorded_at_s: Mapped[float] = mapped_column(Double)
    sampling_rate_hz: Mapped[float | None] = mapped_column(Double)
    unit: Mapped[str | None] = mapped_column(String(32))
    gain: Mapped[float | None] = mapped_column(Double)
    baseline: Mapped[float] = mapped_column(Double)
    # JSON: [{"name": …, "number_of_samples": …}, …] in the order of the upload.
    leads: Mapped[str] = mapped_column(Text)
    number_of_leads: Mapped[int] = mapped_column(Integer)
    request_id: Mapped[str] = mapped_column(String(128))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    body_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))

    status: Mapped[str] = mapped_column(String(8))
    # How often a worker has begun; also the fence: only the latest attempt may store a result.
    attempts: Mapped[int] = mapped_column(Integer)
    # From then on a worker may begin: from the upload on, or after a failed attempt a while later.
    due_at_s: Mapped[float] = mapped_column(Double, server_default="0")
    # The bell was last rung then; the relay rings again for rows that wait too long.
    rung_at_s: Mapped[float] = mapped_column(Double)
    # The worker at it may keep it until then; afterwards the relay takes it back.
    lease_until_s: Mapped[float | None] = mapped_column(Double)
    # The message through which that worker came by it; when it is known to be lost, so is the row.
    held_by: Mapped[str | None] = mapped_column(String(64))
    finished_at_s: Mapped[float | None] = mapped_column(Double)
    # Why it failed, in words a user understands.
    failure: Mapped[str | None] = mapped_column(Text)


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
    definition: Mapped[str] = mapped_column(Text)


class AuditEntry(Base):
    """One administrative act: what, when, to whom, and the id of the request; never a token."""

    __tablename__ = "audit_trail"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at_s: Mapped[float] = mapped_column(Double)
    act: Mapped[str] = mapped_column(String(32))
    username: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))


IS_PENDING = Ecg.status == literal_column("'pending'")
IS_RUNNING = Ecg.status == literal_column("'running'")
