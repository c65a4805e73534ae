"""What Alembic runs for every step: one transaction on the engine it was handed."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine

from shared.database import WRITING
from shared.models import Base

engine: Engine = context.config.attributes["engine"]

with engine.connect() as plain:
    connection = plain.execution_options(**{WRITING: True})
    # SQLite cannot alter most things in place: batch mode copies the table instead.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
