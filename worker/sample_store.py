"""The stored samples of what a message names, loaded by the handful."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlalchemy import Engine, bindparam, select

from shared.database import reading
from shared.errors import SignalError
from shared.jobs import WEIGHT_PER_MESSAGE
from shared.models import Signal
from worker.claims import Claim

_SAMPLES = select(Signal.ecg_id, Signal.encoded).where(
    Signal.ecg_id.in_(bindparam("ecg_ids", expanding=True))
)


class SampleStore:
    """The stored samples of claims: loaded by the handful, and kept until they are taken."""

    def __init__(self, engine: Engine, claims: Sequence[Claim]) -> None:
        self._engine = engine
        self._claims = claims
        self._asked_for: set[str] = set()
        self._here: dict[str, bytes] = {}

    def take(self, claimed: Claim) -> bytes:
        """The samples of one of the claims, each once and in their order.

        Raises
        ------
        SignalError : they are gone.
        DatabaseUnavailable : that one is at fault alone; the next one is loaded anew.
        """
        if claimed.ecg_id not in self._asked_for:
            ecg_ids = self._handful(claimed)
            with reading(self._engine) as connection:
                rows = connection.execute(_SAMPLES, {"ecg_ids": ecg_ids}).all()
            self._here = {row.ecg_id: row.encoded for row in rows}
            self._asked_for = set(ecg_ids)
        encoded = self._here.pop(claimed.ecg_id, None)
        if encoded is None:
            raise SignalError("The samples of this ECG are gone.")
        return encoded

    def _handful(self, first: Claim) -> list[str]:
        """This one and as many of the next as may be in memory with it."""
        start = self._claims.index(first)
        weights = itertools.accumulate(one.weight for one in self._claims[start:])
        fitting = sum(1 for so_far in weights if so_far <= WEIGHT_PER_MESSAGE)
        return [one.ecg_id for one in self._claims[start : start + max(1, fitting)]]
