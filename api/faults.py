"""JSON → typed objects, and when that fails, every reason why, with a pointer to each.

msgspec stops at the first fault. `examine` then goes over the same text once more, field by field.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import FieldInfo

from api.json_text import check_text, decode
from shared.errors import Fault, InvalidRequest

MOST_FAULTS = 20

S = TypeVar("S", bound=Struct)

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
    for field in _fields(kind):
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
def _fields(kind: type[Struct]) -> tuple[FieldInfo, ...]:
    """Once: msgspec compiles every annotation anew, and there may be thousands of leads."""
    return msgspec.structs.fields(kind)


@cache
def _loosened(kind: type[Struct]) -> type[Struct]:
    """The same fields, none of them required, with every value left a text."""
    names = [field.encode_name for field in _fields(kind)]
    return msgspec.defstruct("Loose", [(name, Raw | msgspec.UnsetType, UNSET) for name in names])
