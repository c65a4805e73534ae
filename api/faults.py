"""JSON → typed objects, and when that fails, every reason why, with a pointer to each.

msgspec stops at the first fault. `examine` then goes over the same text once more, field by field.
Whoever sends 64 MB to be refused must not cost more than that: texts are looked at where they lie,
and every search goes over them once.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from shared.errors import Fault, InvalidRequest, MalformedRequest

MOST_FAULTS = 20

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

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
# msgspec speaks of Python's types and in signs, the sender thinks in JSON's and in words.
_WORDS = {
    "str": "a string",
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "datetime": "a date and time",
}
_SIGNS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "greater than"}
_WRONG_TYPE = re.compile(r"^Expected `([^`]+)`, got `([^`]+)`")
_WRONG_LENGTH = re.compile(r"^Expected `(\w+)` of length (<=|>=) (\d+)")
_OUT_OF_BOUNDS = re.compile(r"^Expected `\w+` (<=|>=|<|>) ([-+.e\d]+)")
_DATES = {
    "Invalid RFC3339 encoded datetime": "must be a date and time such as 2026-11-23T08:00:00+01:00",
    "Expected `datetime` with a timezone component": "must have a time zone at its end, such as "
    "+01:00 or Z",
}


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


def parse_as(body: bytes, kind: type[S]) -> S:
    """Read a small request; raises MalformedRequest or InvalidRequest with all its faults."""
    check_text(body)
    try:
        return decode(body, kind)
    except msgspec.ValidationError as error:
        raise invalid(examine(body, kind)[0] or [fault_of(error)]) from None


def invalid(faults: list[Fault]) -> InvalidRequest:
    """Wrap faults into the error that carries them."""
    faults = faults[:MOST_FAULTS]
    if len(faults) == 1:
        return InvalidRequest("One thing is wrong with this request.", faults)
    many = "or more " if len(faults) == MOST_FAULTS else ""
    return InvalidRequest(f"{len(faults)} {many}things are wrong with this request.", faults)


def fault_of(error: msgspec.ValidationError, pointer: str = "") -> Fault:
    """What msgspec objects to, in the words of JSON."""
    text = str(error)
    if "matching regex" in text:
        return Fault(pointer, "must not contain control characters or other invisible ones")
    for theirs, ours in _DATES.items():
        text = text.replace(theirs, ours)
    text = _WRONG_TYPE.sub(lambda m: f"must be {_in_words(m[1])}, not {_in_words(m[2])}", text)
    text = _WRONG_LENGTH.sub(
        lambda m: (
            f"must have {_SIGNS[m[2]]} {m[3]} {'elements' if m[1] == 'array' else 'characters'}"
        ),
        text,
    )
    text = _OUT_OF_BOUNDS.sub(lambda m: f"must be {_SIGNS[m[1]]} {float(m[2]):.12g}", text)
    return Fault(pointer, text[:1].lower() + text[1:])


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | "))


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


def examine(
    text: bytes | memoryview, kind: type[Struct], pointer: str = "", *, closed: Collection[str] = ()
) -> tuple[list[Fault], dict[str, memoryview]]:
    """Check each field of a JSON object by itself; of a key that is there twice, the last.

    Parameters
    ----------
    text : the object.
    kind : the struct whose fields it should have.
    pointer : where the object stands in the whole.
    closed : fields that are not looked into here.

    Returns
    -------
    The faults, and the text of each field that is there.

    Raises
    ------
    MalformedRequest : it is not even JSON.
    """
    try:
        opened = msgspec.structs.asdict(decode(text, _loosened(kind)))
    except msgspec.ValidationError as error:
        # It stopped at the first bracket; the rest may not even be JSON.
        decode(text, Raw)
        return [fault_of(error, pointer)], {}
    texts = {name: memoryview(value) for name, value in opened.items() if value is not UNSET}
    faults = []
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        here = f"{pointer}/{name}"
        if name not in texts:
            if field.required:
                faults.append(Fault(here, "is required"))
        elif name not in closed:
            try:
                decode(texts[name], field.type)
            except msgspec.ValidationError as error:
                faults.append(fault_of(error, here))
    return faults, texts


@cache
def _loosened(kind: type[Struct]) -> type[Struct]:
    """The same fields, none of them required, with every value left a text."""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    return msgspec.defstruct("Loose", [(name, Raw | msgspec.UnsetType, UNSET) for name in names])


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
