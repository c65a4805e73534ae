"""The sampling rate that a file states, and the one that is given for those that state none."""

from __future__ import annotations

import math

from isoline.errors import UnreadableFile

# How exactly a rate must be known, as a part of it: what differs by less is the same.
EXACT = 0.001


class AnotherRate(UnreadableFile):
    """A file states a rate, and is read with another."""


def agreed(stated_hz: float | None, given_hz: float | None) -> float | None:
    """The rate that the file states, or the given one where it states none.

    Raises
    ------
    AnotherRate : the two are not the same.
    """
    if stated_hz is None or given_hz is None:
        return given_hz if stated_hz is None else stated_hz
    if not math.isclose(stated_hz, given_hz, rel_tol=EXACT):
        raise AnotherRate(
            f"It says {stated_hz:.6g} Hz, and --fs {given_hz:.6g}: that is for recordings that do "
            "not say theirs."
        )
    return stated_hz
