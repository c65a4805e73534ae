"""What Alembic runs for every step: one transaction on the engine it was handed."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine

from shared.models import Base
from shared.sqlite import WRITING


def let_take_long(connection: Connection) -> None:
    """Have PostgreSQL take as long as it needs for what is asked on this connection, and no other.

    To wait for a lock stays bounded: whoever comes later would wait behind it.
    """
    driver: Any = connection.connection.driver_connection
    connection.detach()
    driver.longest_s = None
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()


engine: Engine = context.config.attributes["engine"]

with engine.connect() as plain:
    # An index over all rows there are may take minutes.
    if engine.dialect.name == "postgresql":
        let_take_long(plain)
    connection = plain.execution_options(**{WRITING: True})
    # SQLite cannot alter most things in place: batch mode copies the table instead.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
