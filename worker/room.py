"""Whether the database has room for a document, which is larger than a claim."""

from __future__ import annotations

import math
import os
import time

from sqlalchemy import Connection, delete, insert

from shared.models import Insights

# What a document takes in the database, or less: so much of its own, and so much a lead.
DOCUMENT_BYTES = 2**20
DOCUMENT_BYTES_A_LEAD = 2**10
# For how long it is believed that there is room: trying takes some itself, in PostgreSQL's table
# until that is vacuumed, and in its log.
REMEMBERED_S = 10.0


class Room:
    """Room for documents, as far as this process has found lately."""

    def __init__(self) -> None:
        self._found_at_s = -math.inf

    @property
    def is_known(self) -> bool:
        """Whether it has been found a moment ago."""
        return time.monotonic() - self._found_at_s < REMEMBERED_S

    def remember(self) -> None:
        """Know of it for a while: what was tried for is committed."""
        self._found_at_s = time.monotonic()

    def try_for(self, connection: Connection, ecg_id: str, number_of_leads: int) -> None:
        """Write as much as the document of this ecg may be, and take it away again.

        SQLite overwrites what it frees (`secure_delete`), so that it has to find a place for it in
        its log; PostgreSQL has found one in the table. Chance is what neither can make smaller.

        Raises
        ------
        sqlalchemy.exc.DBAPIError : there is none; to who began the transaction, an outage.
        """
        document = os.urandom(DOCUMENT_BYTES + DOCUMENT_BYTES_A_LEAD * number_of_leads)
        connection.execute(insert(Insights).values(ecg_id=ecg_id, document=document))
        connection.execute(delete(Insights).where(Insights.ecg_id == ecg_id))


room = Room()
