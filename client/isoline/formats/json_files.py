"""JSON and NDJSON in the form in which recordings are uploaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import msgspec
from msgspec import Struct

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile, UnreadableLine
from isoline.formats import Found, LeftOut
from isoline.formats.bounds import MOST_TEXT_BYTES, check_samples, check_text
from isoline.formats.rates import agreed

NUMBER = int | float


class _Lead(Struct):
    name: str
    signal: list[NUMBER]
    number_of_samples: int | None = None


class _Upload(Struct):
    leads: list[_Lead]
    custom_id: str | None = None
    date: datetime | None = None
    sampling_rate: float | None = None
    unit: str | None = None
    gain: float | None = None
    baseline: float | None = None


# What numbers depend on; and what others call it.
_DECISIVE = {
    known.replace("_", ""): known
    for known in (
        *("sampling_rate", "unit", "gain", "baseline"),
        *("leads", "signal", "number_of_samples"),
    )
}
_OTHER_WORDS = {
    **dict.fromkeys(("fs", "sfreq", "hz", "frequency", "samplingfrequency"), "sampling_rate"),
    **dict.fromkeys(("adcgain", "scale", "resolution", "lsb"), "gain"),
    **dict.fromkeys(("adczero", "zero", "offset"), "baseline"),
}
# How much alike, from 0 to 1, two names are of which one is taken for the other, mistyped.
_ALIKE = 0.8


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read one recording, or one from each line; a line that is none does not end the others."""
    if path.suffix.lower() == ".json":
        check_text(path)
        text = path.read_bytes()
        if not text.strip():
            raise UnreadableFile("It is empty.")
        yield from _parse(text, sampling_rate_hz, set())
        return
    told: set[str] = set()
    is_empty = True
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MOST_TEXT_BYTES):
            number += 1
            is_empty = is_empty and not line.strip()
            try:
                if len(line) == MOST_TEXT_BYTES:
                    # Read to its end, and the others go on.
                    while line and not line.endswith(b"\n"):
                        line = file.readline(2**20)
                    raise UnreadableFile("It is too large for an upload.")
                if line.strip():
                    yield from _parse(line, sampling_rate_hz, told)
            except UnreadableFile as error:
                yield None, UnreadableLine(f"Line {number}: {error}")
    if is_empty:
        raise UnreadableFile("It is empty.")


def _parse(text: bytes, sampling_rate_hz: float | None, told: set[str]) -> Iterator[Found]:
    """The recording, after the fields that are left out of it and were not told before."""
    # Between two samples there is a comma.
    check_samples(text.count(b","))
    try:
        text = text.removeprefix(b"\xef\xbb\xbf")
        if text.lstrip().startswith(b"["):
            raise UnreadableFile(
                "It is no ECG in JSON, but an array: several go into .ndjson, a line each."
            )
        upload = msgspec.json.decode(text, type=_Upload)
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableFile(f"It is no ECG in JSON: {error}.") from None
    for lead in upload.leads:
        if lead.number_of_samples not in {None, len(lead.signal)}:
            raise UnreadableFile(
                f"Lead {lead.name} is said to have {lead.number_of_samples} samples, and has "
                f"{len(lead.signal)}."
            )
    left_out = sorted(_left_out(fields) - told)
    if left_out:
        told.update(left_out)
        yield None, LeftOut(tuple(left_out))
    ecg = Ecg(
        [Lead(lead.name, lead.signal) for lead in upload.leads],
        date=upload.date,
        sampling_rate=agreed(upload.sampling_rate, sampling_rate_hz),
        unit=upload.unit,
        gain=upload.gain,
        baseline=upload.baseline,
    )
    yield upload.custom_id, ecg


def _left_out(fields: dict[str, msgspec.Raw]) -> set[str]:
    """The names that no upload has; raises `UnreadableFile` for what seems to mean one it has."""
    of_leads = msgspec.json.decode(fields["leads"], type=list[dict[str, msgspec.Raw]])
    unknown = fields.keys() - set(_Upload.__struct_fields__)
    unknown |= {name for lead in of_leads for name in lead} - set(_Lead.__struct_fields__)
    for name in sorted(unknown):
        if meant := _meant(name):
            raise UnreadableFile(
                f"No upload has the field {name!r} where it stands; {meant!r} seems to be meant, "
                "and what numbers depend on is not left out."
            )
    return unknown


def _meant(name: str) -> str | None:
    """The field with a say in numbers that a name is another word or another spelling of."""
    plain = re.sub(r"[\W_]", "", name).lower()
    near = get_close_matches(plain, _DECISIVE, n=1, cutoff=_ALIKE)
    return _DECISIVE[near[0]] if near else _OTHER_WORDS.get(plain)
