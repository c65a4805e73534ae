"""A JSON array of numbers → a numpy array, or every reason why it is none.

The fast path never makes a Python object per sample: simdjson reads the array in pieces of a
megabyte, each of which is narrowed at once, so that memory stays near the size of the text.
Only when a piece is refused is it read token by token, to say which samples are at fault.
"""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from shared.signals import narrowest

PIECE = 2**20
# What 32 bits can hold, signed or unsigned.
LEAST = -(2**31)
MOST = 2**32 - 1

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]|[^\s\[\]{},"]+', re.DOTALL)
_INTEGER = re.compile(rb"-?[0-9]+")
_WORDS = {
    b"[": "must be a number, not an array",
    b"{": "must be a number, not an object",
    b'"': "must be a number, not a string",
    b"t": "must be a number, not a boolean",
    b"f": "must be a number, not a boolean",
    b"n": "must be a number, not null",
}
NOT_FINITE = (b'"NaN"', b'"Infinity"', b'"-Infinity"')


def read_samples(text: bytes) -> NDArray[np.generic] | list[tuple[int, str]]:
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
    while position < end:
        comma = text.find(b",", position + PIECE)
        stop = comma if comma > 0 else end
        array = _read_piece(text[position:stop])
        if array is None:
            faults = faults_among(text, position, index)
            if faults:
                return faults
            # Nothing to object to after all: a decimal beyond the range of integers.
            array = np.fromiter(map(float, text[position:stop].split(b",")), np.float64)
        arrays.append(array)
        index += len(array)
        position = stop + 1
    if not arrays:
        return np.empty(0, np.int8)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _read_piece(piece: bytes) -> NDArray[np.generic] | None:
    """The numbers of one piece, or None when something in it deserves a closer look."""
    if b"[" in piece:
        # simdjson would flatten nested arrays without a word.
        return None
    try:
        array = cast(simdjson.Array, simdjson.Parser().parse(b"[" + piece + b"]"))
        try:
            integers = np.frombuffer(array.as_buffer(of_type="i"), np.int64)
        except TypeError:
            decimals = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
            # Among decimals an integer that is too long looks like any large decimal.
            if decimals.size and np.abs(decimals).max() > -LEAST:
                return None
            return decimals
    except (TypeError, ValueError, RuntimeError):
        return None
    if integers.size and (integers.min() < LEAST or integers.max() > MOST):
        return None
    return narrowest(integers)


def faults_among(text: bytes, position: int, index: int, most: int = 20) -> list[tuple[int, str]]:
    """Name what is no sample, from `position` on, where sample number `index` begins."""
    faults: list[tuple[int, str]] = []
    depth = 0
    for match in _TOKEN.finditer(text, position, len(text) - 1):
        token = match.group()
        if depth == 0:
            if token == b",":
                index += 1
            elif why := _objection(token):
                faults.append((index, why))
                if len(faults) == most:
                    break
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
    return faults


def _objection(token: bytes) -> str | None:
    if token in NOT_FINITE:
        return "must be a finite number"
    if word := _WORDS.get(token[:1]):
        return word
    if _INTEGER.fullmatch(token):
        # Eleven characters hold every number of 32 bits; longer ones are not even converted.
        fits = len(token) <= 11 and LEAST <= int(token) <= MOST
        return None if fits else "must fit into 32 bits"
    return None if abs(float(token)) < float("inf") else "must be a finite number"
