"""What Alembic runs for every step: one transaction on the engine it was handed."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine

from shared.database import writing
from shared.models import Base
from shared.postgresql import let_take_long

engine: Engine = context.config.attributes["engine"]

with writing(engine) as connection:
    # An index over all rows there are may take minutes.
    if engine.dialect.name == "postgresql":
        let_take_long(connection)
    # SQLite cannot alter most things in place: batch mode copies the table instead.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
