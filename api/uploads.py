"""Bytes → one recording, typed and bounded; or everything that is wrong with it, at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import NDArray

from api.faults import MOST_FAULTS, examine, fault_of, invalid
from api.json_text import check_text, decode, elements, is_array, spell_out_not_finite
from api.moments import seconds_of
from api.samples import read_samples
from shared.errors import Fault, MalformedRequest

MOST_LEADS = 10_000

# `$` alone would let a newline at the end slip through.
NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f-\u009f]*$(?!\n)"

Text = Annotated[str, Meta(max_length=128, pattern=NO_CONTROL_CHARACTERS)]
Unit = Annotated[str, Meta(max_length=32, pattern=NO_CONTROL_CHARACTERS)]
CustomId = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_CONTROL_CHARACTERS)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
SignalText = Annotated[
    Raw,
    Meta(
        description=(
            "Integers that fit into 32 bits, or finite decimals. "
            "Integers are stored in the narrowest type that is exact, decimals as float64."
        ),
        extra_json_schema={"type": "array", "items": {"type": "number"}},
    ),
]


class Lead(Struct):
    """One lead as it is uploaded."""

    name: Text
    signal: SignalText
    number_of_samples: Annotated[int, Meta(ge=0, le=2**32)] | None = None


class Upload(Struct):
    """One recording as it is uploaded; unknown fields are ignored."""

    leads: Annotated[list[Lead], Meta(max_length=MOST_LEADS)]
    date: (
        Annotated[
            datetime, Meta(tz=True, description="When it was recorded, RFC 3339; default: now.")
        ]
        | None
    ) = None
    sampling_rate: Annotated[Positive, Meta(description="In Hz.")] | None = None
    unit: Annotated[Unit, Meta(description="Of the samples, as sent.")] | None = None
    gain: (
        Annotated[Positive, Meta(description="ADC counts per millivolt; goes before `unit`.")]
        | None
    ) = None
    baseline: Annotated[
        float,
        Meta(
            ge=-(2**32),
            le=2**32,
            description="The ADC value of zero; subtracted before any analysis.",
        ),
    ] = 0.0


class _Named(Struct):
    custom_id: CustomId | None = None


class BatchLine(Upload):
    """One recording as it is uploaded as a line of a batch."""

    custom_id: (
        Annotated[CustomId, Meta(description="What you call it; no two lines may bear one.")] | None
    ) = None


@dataclass(frozen=True)
class Recording:
    """A checked upload: what is stored."""

    recorded_at_s: float | None
    sampling_rate_hz: float | None
    unit: str | None
    gain: float | None
    baseline: float
    names: list[str]
    leads: list[NDArray[np.generic]]
    custom_id: str | None = None


def parse(body: bytes, kind: type[Upload] = Upload) -> Recording:
    """Read one upload.

    Parameters
    ----------
    kind : `BatchLine` for a line of a batch.

    Raises
    ------
    MalformedRequest : empty, not UTF-8, not JSON, or nested too deeply.
    InvalidRequest : well-formed, but wrong; carries the first twenty faults.
    """
    check_text(body)
    try:
        upload = decode(body, kind)
    except msgspec.ValidationError as error:
        raise invalid(_faults(body, kind) or [fault_of(error)]) from None
    except MalformedRequest:
        # NaN and Infinity are no JSON, but people send them, and want to know where.
        faults = _faults_not_finite(body, kind)
        if not faults:
            raise
        raise invalid(faults) from None
    leads = _read_leads(upload)
    if leads is None:
        raise invalid(_faults(body, kind))
    return Recording(
        recorded_at_s=None if upload.date is None else _read_date(upload.date),
        sampling_rate_hz=upload.sampling_rate,
        unit=upload.unit,
        gain=upload.gain,
        # No minus before a zero: SQLite would not keep it.
        baseline=upload.baseline + 0.0,
        names=[lead.name for lead in upload.leads],
        leads=leads,
        custom_id=upload.custom_id if isinstance(upload, BatchLine) else None,
    )


def custom_id_of(body: bytes) -> str | None:
    """What a line calls itself, whatever else is wrong with it; None when that cannot be said."""
    try:
        return msgspec.json.decode(body, type=_Named).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_leads(upload: Upload) -> list[NDArray[np.generic]] | None:
    """The samples of every lead; None as soon as one lead is at fault."""
    leads = []
    for lead in upload.leads:
        signal = memoryview(lead.signal)
        samples = read_samples(signal) if is_array(signal) else []
        if isinstance(samples, list) or lead.number_of_samples not in {None, len(samples)}:
            return None
        leads.append(samples)
    return leads


def _faults_not_finite(body: bytes, kind: type[Upload]) -> list[Fault]:
    """The faults of a text that would be JSON if it were not for NaN and Infinity, else none."""
    spelt = spell_out_not_finite(body)
    try:
        return [] if spelt is body else _faults(spelt, kind)
    except MalformedRequest:
        return []


def _faults(body: bytes, kind: type[Upload]) -> list[Fault]:
    """Everything wrong with an upload, in the order of the text's leads; at most twenty."""
    faults, texts = examine(body, kind, closed={"leads"})
    leads = texts.get("leads", memoryview(b"[]"))
    if not is_array(leads):
        return [*faults, Fault("/leads", "must be an array")]
    for number, (start, end) in enumerate(elements(leads)):
        if len(faults) >= MOST_FAULTS:
            break
        if number >= MOST_LEADS:
            faults.append(Fault("/leads", f"must not hold more than {MOST_LEADS} leads"))
            break
        faults.extend(_faults_of_lead(leads[start:end], f"/leads/{number}"))
    return faults


def _faults_of_lead(text: memoryview, pointer: str) -> list[Fault]:
    faults, texts = examine(text, Lead, pointer, closed={"signal"})
    signal = texts.get("signal")
    if signal is None:
        return faults
    if not is_array(signal):
        return [*faults, Fault(f"{pointer}/signal", "must be an array of numbers")]
    samples = read_samples(signal)
    if isinstance(samples, list):
        return [*faults, *(Fault(f"{pointer}/signal/{index}", why) for index, why in samples)]
    where = f"{pointer}/number_of_samples"
    if "number_of_samples" in texts and where not in {fault.pointer for fault in faults}:
        claimed = decode(texts["number_of_samples"], int | None)  # type: ignore[arg-type]
        if claimed not in {None, len(samples)}:
            why = f"is {claimed}, but the signal has {len(samples)} samples"
            faults.append(Fault(where, why))
    return faults


def _read_date(date: datetime) -> float:
    try:
        return seconds_of(date)
    except OverflowError:
        raise invalid([Fault("/date", "is outside the years 1 to 9999 in UTC")]) from None
