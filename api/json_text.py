"""JSON as text: read, refused where it is none, and cut into pieces without being taken apart.

Whoever sends 64 MB to be refused must not cost more than that: texts are looked at where they lie,
and every search goes over them once.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from shared.errors import MalformedRequest

T = TypeVar("T")

# Possessive (*+, ?+): a pattern that could give characters back would have to remember each of
# them, in a hundred times their space. And a string that never ends is one up to the end of the
# text: searching again from each quote in it would take hours. No alternatives in a possessive
# group: up to Python 3.11.4 what the first one has eaten is not given to the next.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_STRINGS = re.compile(_STRING, re.DOTALL)
_EMPTY = re.compile(rb"\s*\]")
# What lies between the commas and brackets of an array itself, and between the brackets of what
# it holds; an array or object in which there is nothing but scalars is one leap.
_OUTSIDE = re.compile(rb'[^][{}",]*+(?:' + _STRING + rb'[^][{}",]*+)*+', re.DOTALL)
_INSIDE = re.compile(rb'[^][{}"]*+(?:' + _STRING + rb'[^][{}"]*+)*+', re.DOTALL)
_REST_OF_SCALARS = re.compile(rb'[^][{}"]*+[]}]')


def check_text(body: bytes) -> None:
    """Refuse nothing at all, and what is not UTF-8 anywhere, also where nobody will look.

    Raises
    ------
    MalformedRequest : in both cases.
    """
    if not body or body.isspace():
        raise MalformedRequest("The body is empty; JSON was expected.")
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), 2**20):
            decoder.decode(body[start : start + 2**20])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not valid UTF-8.") from None


def decode(text: bytes | memoryview, kind: type[T]) -> T:
    """Read JSON into a type.

    Raises
    ------
    MalformedRequest : it is not JSON, or nested too deeply.
    msgspec.ValidationError : it is JSON of another shape.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except RecursionError:
        raise MalformedRequest("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from None


def spell_out_not_finite(body: bytes) -> bytes:
    """Write NaN and Infinity, outside of strings, as 9e999: that is JSON, and no less unfit."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    spelt, position = bytearray(), 0
    for string in _STRINGS.finditer(body):
        spelt += _spell_out(body[position : string.start()])
        spelt += string[0]
        position = string.end()
    spelt += _spell_out(body[position:])
    return bytes(spelt)


def _spell_out(numbers: bytes) -> bytes:
    return numbers.replace(b"NaN", b"9e999").replace(b"Infinity", b"9e999")


def is_array(text: memoryview) -> bool:
    """Whether this JSON is an array."""
    return text[0] in b"["


def elements(text: bytes | memoryview, position: int = 1) -> Iterator[tuple[int, int]]:
    """Cut a well-formed JSON array into its elements: where each begins, and where it ends.

    Parameters
    ----------
    text : the array.
    position : where to begin; after the opening bracket, or after a comma between two elements.
    """
    if _EMPTY.match(text, position):
        return
    start, depth = position, 0
    while True:
        match = (_INSIDE if depth else _OUTSIDE).match(text, position)
        assert match is not None  # noqa: S101 - both also match nothing
        position = match.end() + 1
        mark = text[position - 1]
        if mark in b"[{":
            if scalars := _REST_OF_SCALARS.match(text, position):
                position = scalars.end()
            else:
                depth += 1
        elif depth:
            depth -= 1
        else:
            yield start, position - 1
            start = position
            if mark in b"]":
                return
