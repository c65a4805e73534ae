"""JSON and NDJSON in the form in which recordings are uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.bounds import MOST_TEXT_BYTES, check_samples, check_text

NUMBER = int | float


class _Lead(Struct, forbid_unknown_fields=True):
    name: str
    signal: list[NUMBER]
    number_of_samples: int | None = None


# A field that nobody knows is one that would be lost: `baselin`.
class _Upload(Struct, forbid_unknown_fields=True):
    leads: list[_Lead]
    custom_id: str | None = None
    date: datetime | None = None
    sampling_rate: float | None = None
    unit: str | None = None
    gain: float | None = None
    baseline: float | None = None


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read one recording, or one from each line; a line that is none does not end the others."""
    if path.suffix.lower() == ".json":
        check_text(path)
        yield _parse(path.read_bytes(), sampling_rate_hz)
        return
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MOST_TEXT_BYTES):
            number += 1
            try:
                if len(line) == MOST_TEXT_BYTES:
                    # Read to its end, and the others go on.
                    while line and not line.endswith(b"\n"):
                        line = file.readline(2**20)
                    raise UnreadableFile("It is too large for an upload.")
                if line.strip():
                    yield _parse(line, sampling_rate_hz)
            except UnreadableFile as error:
                yield None, UnreadableFile(f"Line {number}: {error}")


def _parse(text: bytes, sampling_rate_hz: float | None) -> tuple[str | None, Ecg]:
    # Between two samples there is a comma.
    check_samples(text.count(b","))
    try:
        upload = msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf"), type=_Upload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableFile(f"It is no ECG in JSON: {error}.") from None
    for lead in upload.leads:
        if lead.number_of_samples not in {None, len(lead.signal)}:
            raise UnreadableFile(
                f"Lead {lead.name} is said to have {lead.number_of_samples} samples, and has "
                f"{len(lead.signal)}."
            )
    ecg = Ecg(
        [Lead(lead.name, lead.signal) for lead in upload.leads],
        date=upload.date,
        sampling_rate=sampling_rate_hz or upload.sampling_rate,
        unit=upload.unit,
        gain=upload.gain,
        baseline=upload.baseline,
    )
    return upload.custom_id, ecg
