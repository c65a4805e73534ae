"""A peer: Flask, Celery, Redis and SQLAlchemy as tutorials put them together.

Their settings are untouched, but gunicorn has two workers.

One row a lead, the samples as JSON, results in Redis and in SQL, gunicorn in front. With
`worker_main` instead of gunicorn it is its own worker.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

from celery import Celery
from flask import Flask, request
from sqlalchemy import JSON, ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.peers.crossings import count_crossings

app = Flask(__name__)
celery = Celery("tutorial", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
# More patient than the default, so that it loses nothing here.
engine = create_engine(os.environ["PEER_DATABASE"], connect_args={"timeout": 60})


class Base(DeclarativeBase):
    """The tables."""


class Ecg(Base):
    """One recording."""

    __tablename__ = "ecgs"
    id: Mapped[str] = mapped_column(primary_key=True)
    is_finished: Mapped[bool]


class Lead(Base):
    """One lead of it."""

    __tablename__ = "leads"
    id: Mapped[int] = mapped_column(primary_key=True)
    ecg_id: Mapped[str] = mapped_column(ForeignKey("ecgs.id"), index=True)
    name: Mapped[str]
    signal: Mapped[list[float]] = mapped_column(JSON)
    crossings: Mapped[int | None]


Base.metadata.create_all(engine)


@celery.task(name="analyse")  # type: ignore[untyped-decorator, unused-ignore]
def analyse(ecg_id: str) -> dict[str, int]:
    """Compute, store, and return it as well."""
    with Session(engine) as session:
        leads = session.scalars(select(Lead).where(Lead.ecg_id == ecg_id)).all()
        for lead in leads:
            lead.crossings = count_crossings(lead.signal)
        ecg = session.get_one(Ecg, ecg_id)
        ecg.is_finished = True
        found = {lead.name: lead.crossings or 0 for lead in leads}
        session.commit()
    return found


@app.post("/ecgs")
def submit() -> tuple[dict[str, str], int]:
    """Store it, and send for the worker."""
    upload = request.get_json()
    ecg_id = str(uuid.uuid4())
    with Session(engine) as session:
        session.add(Ecg(id=ecg_id, is_finished=False))
        session.flush()
        for lead in upload["leads"]:
            session.add(Lead(ecg_id=ecg_id, name=lead["name"], signal=lead["signal"]))
        session.commit()
    analyse.delay(ecg_id)
    return {"id": ecg_id}, 201


@app.get("/ecgs/<ecg_id>/insights")
def find_insights(ecg_id: str) -> tuple[dict[str, Any], int]:
    """Look whether it is there."""
    with Session(engine) as session:
        ecg = session.get(Ecg, ecg_id)
        if ecg is None:
            return {}, 404
        if not ecg.is_finished:
            return {"status": "pending"}, 202
        leads = session.execute(select(Lead.name, Lead.crossings).where(Lead.ecg_id == ecg_id))
        named = [{"name": name, "number_of_zero_crossings": count} for name, count in leads]
    return {"ecg_id": ecg_id, "status": "finished", "leads": named}, 200


if __name__ == "__main__":
    celery.worker_main(["--quiet", "worker", "--loglevel=WARNING"])
