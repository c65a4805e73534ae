"""A signal is read exactly, or refused with exactly what a slow obvious twin objects to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api import samples
from api.samples import PIECE, read_samples
from api.uploads import parse
from shared.errors import Fault, InvalidRequest

NOT_FINITE = "must be a finite number"
TOO_LONG = "must fit into 32 bits"


class Integer(str):
    """An integer as it is written."""


class Decimal(str):
    """A decimal as it is written."""


class NotFinite(str):
    """NaN or an infinity."""


def objection(value: Any) -> str | None:
    """What is wrong with one element of a signal, by the book."""
    if isinstance(value, Integer):
        return None if -(2**31) <= int(value) <= 2**32 - 1 else TOO_LONG
    if isinstance(value, Decimal):
        return None if abs(float(value)) != float("inf") else NOT_FINITE
    if isinstance(value, NotFinite):
        return NOT_FINITE
    kinds = {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    return f"must be a number, not {kinds.get(type(value), 'null')}"


def read_by_the_book(signal: str) -> tuple[list[float], list[tuple[int, str]]]:
    """The twin: one Python object a sample, and one look at each."""
    values = json.loads(signal, parse_int=Integer, parse_float=Decimal, parse_constant=NotFinite)
    faults = [(n, why) for n, value in enumerate(values) if (why := objection(value))]
    return [] if faults else [float(value) for value in values], faults[:20]


def read(signal: str) -> tuple[list[float], list[tuple[int, str]]]:
    """What the API makes of it."""
    body = f'{{"leads": [{{"name": "I", "signal": {signal}}}]}}'.encode()
    try:
        (lead,) = parse(body).leads
    except InvalidRequest as error:
        return [], [located(fault) for fault in error.faults]
    return lead.tolist(), []


def located(fault: Fault) -> tuple[int, str]:
    where, _, index = fault.pointer.rpartition("/")
    assert where == "/leads/0/signal"
    return int(index), fault.detail


SPACES = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
INTEGERS = st.one_of(
    st.integers(-200, 200),
    st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 10**30, 10**4000]).flatmap(
        lambda edge: st.sampled_from([edge - 1, edge, edge + 1, 1 - edge, -edge, -1 - edge])
    ),
).map(lambda integer: f"{integer:d}" if abs(integer) < 10**100 else "9" * 4001)
DECIMALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["-0.0", "0e0", "1E+2", "1e400", "-1e400", "1e-400", "1.5e308", "9e9", "0.10"]),
    st.integers(1, 400).map(lambda digits: "1" * digits + ".5"),
)
STRINGS = st.builds(
    lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only),
    st.text(st.sampled_from('ab,[]{}":\\\n\u00e9\u5fc3\U0001d11e NaN'), max_size=8),
    st.booleans(),
)
OTHERS = st.sampled_from(["null", "true", "false", "NaN", "Infinity", "-Infinity", "-0"])
SCALARS = st.one_of(INTEGERS, DECIMALS, STRINGS, OTHERS)
ARRAYS_AND_OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)
# Mostly numbers, so that many a signal is without fault.
ELEMENTS = st.one_of(st.integers(-(10**6), 10**6).map(str), DECIMALS, ARRAYS_AND_OBJECTS)


@st.composite
def signals(draw: st.DrawFn, elements: st.SearchStrategy[str] = ELEMENTS) -> str:
    parts = draw(st.lists(elements, max_size=30))
    return f"[{draw(SPACES)}{(draw(SPACES) + ',' + draw(SPACES)).join(parts)}{draw(SPACES)}]"


@given(signals(), st.sampled_from([1, 5, 20, PIECE]))
@example('["a,]b", 1, "[", "\\"", 2]', 1)
@example('[{"a,": [1, 2]}, 3, [[], "]"], true]', 1)
@example("[1e300, 4294967295, 0.5, 4294967296]", 5)
@example("[0.5, 18446744073709551616]", 5)
@example(f"[{' ' * 9}]", 1)
def test_any_signal_is_read_or_refused_by_the_book(signal: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "PIECE", piece)
        assert read(signal) == read_by_the_book(signal)


@given(signals(st.one_of(st.integers(-(2**31), 2**32 - 1).map(str), DECIMALS)))
def test_what_is_read_is_stored_exactly_and_narrowly(signal: str) -> None:
    array = read_samples(signal.encode())
    values = json.loads(signal, parse_float=Decimal)
    if isinstance(array, list):
        assert any(objection(value) for value in values if isinstance(value, Decimal))
    elif any(isinstance(value, Decimal) for value in values):
        assert array.dtype == np.float64
        assert array.tobytes() == np.array(list(map(float, values)), np.float64).tobytes()
    else:
        assert array.tolist() == values
        widths = [8 * np.dtype(kind).itemsize for kind in (np.int8, np.int16, np.int32, np.int64)]
        narrowest = next(
            width
            for width in widths
            if all(-(2 ** (width - 1)) <= v < 2 ** (width - 1) for v in values)
        )
        assert array.dtype == np.dtype(f"i{narrowest // 8}")


@pytest.mark.parametrize("bad", ["null", '"a, [b"', "[1, 2]", '{"a": [1, 2]}', "1e999", "9" * 30])
@pytest.mark.parametrize("around", [0, 1, 7])
def test_faults_are_located_in_signals_of_many_pieces(bad: str, around: int) -> None:
    plain = ["-812"] * 50_000
    at = [0, 1, 13_106 + around, 13_107 + around, 13_108 + around, 40_000, 49_999]
    for index in at:
        plain[index] = bad
    signal = f"[{','.join(plain)}]"
    assert len(signal) > 3 * PIECE
    assert [index for index, _ in read(signal)[1]] == at


def test_integers_and_decimals_of_many_pieces_become_one_array() -> None:
    values = [*range(50_000), 0.5, *range(-50_000, 0), 4294967295, 1e300]
    lead = read_samples(json.dumps(values).encode())
    assert isinstance(lead, np.ndarray)
    assert lead.dtype == np.float64
    assert lead.tolist() == values
