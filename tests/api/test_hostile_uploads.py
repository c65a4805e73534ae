"""Whoever sends much to be refused costs little: memory near the size of the body, and one pass."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from api.uploads import parse
from shared.errors import InvalidRequest, MalformedRequest

SIZE = 2**19


def signal(first: str, again: str, last: str) -> str:
    middle = again * (SIZE // len(again))
    return f'{{"leads": [{{"name": "I", "signal": [{first}{middle}{last}]}}]}}'


def name(first: str, again: str, last: str = "") -> str:
    middle = again * (SIZE // len(again))
    return f'{{"leads": [{{"name": "{first}{middle}{last}", "signal": [null]}}]}}'


def leads(again: str, last: str) -> str:
    return f'{{"leads": [{again * (SIZE // len(again))}{last}]}}'


# With patterns that can give back what they took, some of these cost a hundred times their size,
# and some would take hours.
REFUSED = {
    "one long string": signal('"', "a", '"'),
    "one long string of escapes": signal('"', r"\n", '"'),
    "many strings": signal("", '"",', '""'),
    "many arrays": signal("", "[],", "[]"),
    "many objects": signal("", "{},", "{}"),
    "one array with many": signal("[", "[],", "[]]"),
    "an array with many arrays with one": signal("[", "[[1]],", "1]"),
    "many NaN": signal("", "NaN,", "NaN"),
    "many nulls": signal("", "null,", "null"),
    "one null at the end": signal("", "1,", "null"),
    "one null at the beginning": signal("null,", "1,", "1"),
    "one NaN at the end": signal("", "1,", "NaN"),
    "one integer too long among large decimals": signal("", "1e99,2147483649,", "9999999999"),
    "much space": signal("", " ", "null"),
    "one long integer": signal("", "1", ""),
    "one long decimal": signal("1e", "1", ""),
    "a long name": name("", "a"),
    "a long name in which one character is wide": name("", "a", "\U0001d11e"),
    "a long name of escapes": name("", r"\u0041"),
    "many leads": leads('{"name":"","signal":[]},', "1"),
    "many more leads than allowed": leads('{"name":"","signal":[]},', '{"name":"","signal":[]}'),
    "many leads that are none": leads("[],", "[]"),
    "much where nobody looks": f'{{"leads": 1, "extra": [{"[]," * (SIZE // 3)}[]]}}',
    "an open string of quotes": '{"leads": [NaN], "' + r"\"" * (SIZE // 2),
    "an open string of backslashes": '{"leads": [NaN], "' + "\\" * SIZE,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_a_hostile_upload_is_refused_within_a_few_times_its_size(text: str) -> None:
    body = text.encode()

    def refuse() -> None:
        with pytest.raises((InvalidRequest, MalformedRequest)):
            parse(body)

    # All threads are counted: what another one did is not in each of three.
    assert any(peak_of(refuse) < 8 * SIZE for _ in range(3))


def peak_of(act: Callable[[], object]) -> int:
    """The most bytes that were allocated at once meanwhile."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "sample", ["1,", "-812,", "1e99,", "0.5,1,1,1,1,1,1,1,", "1e99,4294967295,"]
)
def test_what_is_accepted_costs_sixteen_bytes_a_sample_at_most(sample: str) -> None:
    body = signal("", sample, "1").encode()
    tracemalloc.start()
    try:
        (lead,) = parse(body).leads
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The pieces and the whole, which is filled only while the pieces go.
    assert peak < 16 * len(lead) + 2 * SIZE
