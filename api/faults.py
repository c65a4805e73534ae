"""JSON → typed objects, and when that fails, every reason why, with a pointer to each.

msgspec stops at the first fault. `examine` then goes over the same text once more, field by field.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from shared.errors import Fault, InvalidRequest, MalformedRequest

MOST_FAULTS = 20

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

_STRING = rb'"(?:[^"\\]|\\.)*"'
_NOT_FINITE = re.compile(_STRING + rb"|-?\b(?:NaN|Infinity)\b", re.DOTALL)
_BRACKETS = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_BRACKETS_AND_COMMAS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
# msgspec speaks of Python's types, the sender thinks in JSON's.
_JSON_WORDS = {"`str": "`string", "`int": "`integer", "`float": "`number", "`bool": "`boolean"}


def check_utf8(body: bytes) -> None:
    """Refuse what is not UTF-8 anywhere, also where nobody will look; raises MalformedRequest."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), 2**20):
            decoder.decode(body[start : start + 2**20])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not valid UTF-8.") from None


def decode(body: bytes, kind: type[T]) -> T:
    """Read JSON into a type.

    Raises
    ------
    MalformedRequest : it is not JSON, or nested too deeply.
    msgspec.ValidationError : it is JSON of another shape.
    """
    if not body.strip():
        raise MalformedRequest("The body is empty; JSON was expected.")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except RecursionError:
        raise MalformedRequest("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from None


def parse_as(body: bytes, kind: type[S]) -> S:
    """Read a small request; raises MalformedRequest or InvalidRequest with all its faults."""
    check_utf8(body)
    try:
        return decode(body, kind)
    except msgspec.ValidationError:
        raise invalid(explain(body, kind)) from None


def invalid(faults: list[Fault]) -> InvalidRequest:
    """Wrap faults into the error that carries them."""
    faults = faults[:MOST_FAULTS]
    if len(faults) == 1:
        return InvalidRequest("One thing is wrong with this request.", faults)
    many = "or more " if len(faults) == MOST_FAULTS else ""
    return InvalidRequest(f"{len(faults)} {many}things are wrong with this request.", faults)


def quote_not_finite(body: bytes) -> bytes:
    """Put NaN and Infinity between quotes, so that the rest can be read as JSON."""
    return _NOT_FINITE.sub(
        lambda match: match[0] if match[0].startswith(b'"') else b'"' + match[0] + b'"', body
    )


def explain(body: bytes, kind: type[Struct]) -> list[Fault]:
    """Find what keeps this text from being of this flat kind of struct."""
    return examine(body, kind)[0]


def examine(
    text: bytes, kind: type[Struct], pointer: str = "", *, closed: Collection[str] = ()
) -> tuple[list[Fault], dict[str, bytes]]:
    """Check each field of a JSON object by itself.

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
    fields = msgspec.structs.fields(kind)
    # The same names, with every value left a text.
    loose = msgspec.defstruct(
        "Loose", [(field.encode_name, Raw | msgspec.UnsetType, UNSET) for field in fields]
    )
    try:
        opened = msgspec.structs.asdict(decode(text, loose))
    except msgspec.ValidationError as error:
        return [Fault(pointer, _sentence(error))], {}
    texts = {name: bytes(value) for name, value in opened.items() if value is not UNSET}
    faults = []
    for field in fields:
        name = field.encode_name
        here = f"{pointer}/{name}"
        if name not in texts:
            if field.required:
                faults.append(Fault(here, "is required"))
        elif name not in closed:
            try:
                decode(texts[name], field.type)
            except msgspec.ValidationError as error:
                faults.append(Fault(here, _sentence(error)))
    return faults, texts


def elements(text: bytes) -> Iterator[bytes]:
    """Cut a well-formed JSON array into the texts of its elements, one at a time."""
    depth, start, position = 0, 1, 1
    if not text[1:-1].strip():
        return
    while True:
        # Inside an element only brackets matter: a million numbers are one leap.
        pattern = _BRACKETS if depth else _BRACKETS_AND_COMMAS
        match = pattern.search(text, position)
        assert match is not None  # noqa: S101 - the array is well formed and ends with ]
        position = match.end()
        token = match[0]
        if token in b"[{":
            depth += 1
        elif depth and token in b"]}":
            depth -= 1
        elif token in b",]":
            yield text[start : match.start()]
            start = position
            if token == b"]":
                return


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error)
    if "matching regex" in text:
        return "must not contain control characters or other invisible ones"
    for python, json in _JSON_WORDS.items():
        text = text.replace(python, json)
    return text[:1].lower() + text[1:]
