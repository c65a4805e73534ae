"""The audit trail: an entry for every administrative act."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from shared.database import now_s
from shared.models import AuditEntry


def write_down(connection: Connection, act: str, whom: str, request_id: str) -> None:
    """Leave an entry, committed or not together with the act itself.

    Parameters
    ----------
    whom : the username; of a recomputation the insight, or `*` for all of them.
    """
    entry = {"act": act, "username": whom, "request_id": request_id}
    connection.execute(insert(AuditEntry).values(**entry, at_s=now_s()))
