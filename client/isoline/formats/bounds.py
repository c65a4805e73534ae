"""How large a recording may be, asked before any memory is taken for it."""

from __future__ import annotations

from pathlib import Path

from isoline.errors import UnreadableFile

# A sample takes two letters of JSON, and a server takes 64 MiB of it unless it is told otherwise.
MOST_SAMPLES = 2**25
# Decimals are written with more letters than are sent, times and quotes not sent at all.
MOST_TEXT_BYTES = 2**28


def check_samples(number: int) -> None:
    """Refuse what no upload could carry."""
    if number > MOST_SAMPLES:
        raise UnreadableFile(
            f"It is too large for an upload: {number:,} samples, and {MOST_SAMPLES:,} are the most."
        )


def check_text(path: Path) -> None:
    """Refuse a file of text that is larger than any upload."""
    size = path.stat().st_size
    if size > MOST_TEXT_BYTES:
        raise UnreadableFile(
            f"It is too large for an upload: {size:,} bytes, and {MOST_TEXT_BYTES:,} are the most."
        )
