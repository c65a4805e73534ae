"""A JSON array of numbers → a numpy array, or every reason why it is none.

The fast path never makes a Python object per sample: simdjson reads the array piece by piece, and
each piece is narrowed at once, so that memory stays near the size of the text. Only a piece that
simdjson refuses is read sample by sample, to say which of them are at fault.
"""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from api.faults import MOST_FAULTS
from api.json_text import elements
from shared.signals import narrowest

# Small enough that reading one sample by sample takes some milliseconds.
PIECE = 2**16
# What 32 bits can hold, signed or unsigned.
LEAST = -(2**31)
MOST = 2**32 - 1

_COMMA = re.compile(rb",")
_INTEGER = re.compile(rb"-?[0-9]+")
_LONG_INTEGER = re.compile(rb"(?:^|,)\s*(-?[0-9]{10,}+)\s*(?=,|$)")
_WORDS = {
    b"[": "must be a number, not an array",
    b"{": "must be a number, not an object",
    b'"': "must be a number, not a string",
    b"t": "must be a number, not a boolean",
    b"f": "must be a number, not a boolean",
    b"n": "must be a number, not null",
}


def read_samples(text: bytes | memoryview) -> NDArray[np.generic] | list[tuple[int, str]]:
    """Read one signal.

    Parameters
    ----------
    text : a JSON array, already known to be well formed.

    Returns
    -------
    A 1-D array, int8, int16, int32 or int64 (whichever is the narrowest that is exact) when all
    samples are written as integers, float64 when any is written as a decimal; or, when some are not
    samples, a list of (index, what is wrong), at most twenty.
    """
    arrays: list[NDArray[np.generic]] = []
    faults: list[tuple[int, str]] = []
    position, index, end = 1, 0, len(text) - 1
    while position < end and len(faults) < MOST_FAULTS:
        comma = _COMMA.search(text, position + PIECE)
        stop = comma.start() if comma else end
        array = _read_piece(bytes(text[position:stop]))
        if array is None:
            found, stop = _read_one_by_one(text, position, stop)
            faults += [(index + n, why) for n, why in enumerate(found) if isinstance(why, str)]
            array = np.array([0.0 if isinstance(one, str) else one for one in found])
        arrays.append(array)
        index += len(array)
        position = stop + 1
    return faults[:MOST_FAULTS] or _join(arrays)


def _read_piece(piece: bytes) -> NDArray[np.generic] | None:
    """The numbers of one piece, or None when something in it deserves a closer look."""
    # simdjson would flatten nested arrays without a word. And what is so long is no number.
    if b"[" in piece or len(piece) > 2 * PIECE:
        return None
    try:
        array = cast(simdjson.Array, simdjson.Parser().parse(b"[" + piece + b"]"))
        try:
            integers = np.frombuffer(array.as_buffer(of_type="i"), np.int64)
        except TypeError:
            decimals = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
            # Among decimals an integer that is too long looks like any large decimal.
            suspect = np.abs(decimals).max() > -LEAST
            if suspect and not all(_fits(match[1]) for match in _LONG_INTEGER.finditer(piece)):
                return None
            return decimals
    except (TypeError, ValueError, RuntimeError):
        return None
    narrow = narrowest(integers)
    # Only what needs 64 bits may be beyond what 32 hold: all others have been looked through once.
    if narrow.dtype == np.int64 and (narrow.min() < LEAST or narrow.max() > MOST):
        return None
    return narrow


def _read_one_by_one(
    text: bytes | memoryview, position: int, stop: int
) -> tuple[list[float | str], int]:
    """Read on to the first comma between samples at or after `stop`, and say where that was.

    Of each sample, its value or what is wrong with it.
    """
    found: list[float | str] = []
    end = stop
    for start, end in elements(text, position):
        found.append(_read_sample(bytes(text[start:end]).strip()))
        if end >= stop:
            break
    return found, end


def _read_sample(token: bytes) -> float | str:
    if word := _WORDS.get(token[:1]):
        return word
    if _INTEGER.fullmatch(token):
        return float(token) if _fits(token) else "must fit into 32 bits"
    value = float(token)
    return value if abs(value) < float("inf") else "must be a finite number"


def _fits(integer: bytes) -> bool:
    # Eleven characters hold every number of 32 bits; longer ones are not even converted.
    return len(integer) <= 11 and LEAST <= int(integer) <= MOST


def _join(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Put pieces together, letting go of each, so that there are never two of the whole."""
    if len(arrays) == 1:
        return arrays[0]
    dtype = np.result_type(np.int8, *{array.dtype for array in arrays})
    whole = np.empty(sum(map(len, arrays)), dtype)
    end = len(whole)
    while arrays:
        array = arrays.pop()
        whole[end - len(array) : end] = array
        end -= len(array)
    return whole
