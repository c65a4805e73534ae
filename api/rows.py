"""What a recording becomes in the table, be it an upload or a line of a batch."""

from __future__ import annotations

from typing import Any

import msgspec
import uuid_utils

from api.uploads import Recording
from api.users import Caller
from shared.models import PENDING, LeadSummary


def row_of(recording: Recording, caller: Caller, request_id: str) -> dict[str, Any]:
    """A new pending row, without its times."""
    leads = [
        LeadSummary(name, len(samples))
        for name, samples in zip(recording.names, recording.leads, strict=True)
    ]
    return {
        "id": str(uuid_utils.uuid7()),
        "user_id": caller.user_id,
        "recorded_at_s": recording.recorded_at_s,
        "sampling_rate_hz": recording.sampling_rate_hz,
        "unit": recording.unit,
        "gain": recording.gain,
        "baseline": recording.baseline,
        "leads": msgspec.json.encode(leads).decode(),
        "number_of_leads": len(leads),
        "number_of_samples": sum(lead.number_of_samples for lead in leads),
        "request_id": request_id,
        "status": PENDING,
        "attempts": 0,
    }


def due_now(row: dict[str, Any], now: float | None, *, rung_at_s: float | None) -> dict[str, Any]:
    """Give a new row its times: it is due now, and recorded now unless its sender said when.

    Parameters
    ----------
    now : the clock of the database, within the transaction that writes it.
    rung_at_s : when the bell rings for it; 0.0 when that is another matter.
    """
    times = {"created_at_s": now, "due_at_s": now, "rung_at_s": rung_at_s}
    if row["recorded_at_s"] is None:
        times["recorded_at_s"] = now
    return {**row, **times}
