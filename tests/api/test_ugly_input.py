"""Whatever is uploaded gets the documented answer, and each field at fault is pointed at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.sender import BOUND, Sender, detail, pointers, slug, with_signal
from tests.parts import ADMIN

DEEP = 100_000
GOOD = with_signal("[1, 0, -1]")


def with_lead(**fields: Any) -> bytes:
    return json.dumps({"leads": [{"name": "I", "signal": [1], **fields}]}).encode()


# What a signal may hold: what comes of it, or what is said of the sample with index 1.
SAMPLES = {
    "-0.0": None,
    "-0": None,
    "1e-400": None,
    "4294967295": None,
    "-2147483648": None,
    "1E+2": None,
    "4294967295.5": None,
    "1e300": None,
    "4294967296": "must fit into 32 bits",
    "-2147483649": "must fit into 32 bits",
    "9" * 30: "must fit into 32 bits",
    "9" * 5000: "must fit into 32 bits",
    "-" + "9" * 5000: "must fit into 32 bits",
    "NaN": "must be a finite number",
    "-NaN": "must be a finite number",
    "Infinity": "must be a finite number",
    "-Infinity": "must be a finite number",
    "1e400": "must be a finite number",
    "-1e400": "must be a finite number",
    "9" * 5000 + ".0": "must be a finite number",
    "true": "must be a number, not a boolean",
    "false": "must be a number, not a boolean",
    "null": "must be a number, not null",
    '"1"': "must be a number, not a string",
    '"NaN"': "must be a number, not a string",
    '"[1, 2], [3"': "must be a number, not a string",
    "[1]": "must be a number, not an array",
    "[]": "must be a number, not an array",
    "[" * 900 + "]" * 900: "must be a number, not an array",
    '{"a": 1}': "must be a number, not an object",
}


@pytest.mark.parametrize("decimals", [False, True], ids=["among integers", "among decimals"])
@pytest.mark.parametrize(("sample", "objection"), SAMPLES.items(), ids=lambda text: str(text)[:20])
def test_a_sample(sender: Sender, sample: str, objection: str | None, decimals: bool) -> None:
    first = "0.5" if decimals else "1"
    response = sender.send(with_signal(f"[{first}, {sample}, 2]"))
    if objection is None:
        assert response.status_code == 201
        assert response.json["leads"] == [{"name": "I", "number_of_samples": 3}]
    else:
        assert pointers(response) == ["/leads/0/signal/1"]
        assert detail(response) == objection


MALFORMED = {
    "nothing": b"",
    "space": b" \n",
    "half": GOOD[:-1],
    "two": GOOD + GOOD,
    "trailing bytes": GOOD + b"x",
    "trailing NUL": GOOD + b"\0",
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "single quotes": GOOD.replace(b'"', b"'"),
    "a comment": GOOD + b" // well",
    "a comma too many": with_signal("[1,]"),
    "a comma too few": with_signal("[1 2]"),
    "leading zero": with_signal("[01]"),
    "leading plus": with_signal("[+1]"),
    "no digit after the point": with_signal("[1.]"),
    "no digit before the point": with_signal("[.5]"),
    "another NaN": with_signal("[nan]"),
    "NaN where nobody looks": b'{"leads": [], "extra": NaN}',
    "NaN as a key": b'{NaN: 1, "leads": []}',
    "NaN and an open string": b'{"leads": [], "extra": [NaN, "' + b'\\"' * 100_000,
    "a word cut short": with_signal("[tru]"),
    "NUL between": with_signal("[1,\0 2]"),
    "a newline in a string": b'{"leads": [{"name": "I\n", "signal": []}]}',
    "no UTF-8 in a name": b'{"leads": [{"name": "\xff", "signal": []}]}',
    "no UTF-8 in a key": b'{"leads": [], "\xff": 1}',
    "no UTF-8 in a signal": b'{"leads": [{"name": "I", "signal": ["\xc0\x80"]}]}',
    "no UTF-8 at the very end": GOOD + b"\xe2\x82",
    "a surrogate as bytes": b'{"leads": [], "extra": "\xed\xa0\x80"}',
    "half a surrogate pair": rb'{"leads": [{"name": "\ud800", "signal": []}]}',
    "the other half": rb'{"leads": [{"name": "\udc00 and more", "signal": []}]}',
    "half a pair where nobody looks": rb'{"leads": [], "extra": "\ud800 and more"}',
    "deep arrays": with_signal("[" * DEEP),
    "deep arrays that end": with_signal("[" * DEEP + "]" * DEEP),
    "deep objects": b'{"a":' * DEEP,
    "deep objects that end": b'{"leads": [], "extra": '
    + b'{"a":' * DEEP
    + b"1"
    + b"}" * (DEEP + 1),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_json_is_400(sender: Sender, body: bytes) -> None:
    response = sender.send(body)
    assert (response.status_code, slug(response)) == (400, "malformed-request")
    users = sender.door.post("/users", data=body, headers=ADMIN)
    assert (users.status_code, slug(users)) in {
        (400, "malformed-request"),
        (422, "invalid-request"),
    }


FIELDS = {
    b"[]": [""],
    b"null": [""],
    b"NaN": [""],
    b'"text"': [""],
    b"{}": ["/leads"],
    b'{"leads": null}': ["/leads"],
    b'{"leads": {}}': ["/leads"],
    b'{"leads": [1, {"name": "I"}, []]}': ["/leads/0", "/leads/1/signal", "/leads/2"],
    with_lead(name=None): ["/leads/0/name"],
    with_lead(name="x" * 129): ["/leads/0/name"],
    with_lead(name="x" * 2**20): ["/leads/0/name"],
    with_lead(signal=None): ["/leads/0/signal"],
    with_lead(signal="1,2"): ["/leads/0/signal"],
    with_lead(number_of_samples=2): ["/leads/0/number_of_samples"],
    with_lead(number_of_samples=-1): ["/leads/0/number_of_samples"],
    with_lead(number_of_samples=1.0): ["/leads/0/number_of_samples"],
    with_lead(number_of_samples=10**30): ["/leads/0/number_of_samples"],
    with_lead(number_of_samples="1"): ["/leads/0/number_of_samples"],
    with_lead(number_of_samples=True): ["/leads/0/number_of_samples"],
    b'{"leads": [], "sampling_rate": NaN}': ["/sampling_rate"],
    b'{"leads": [], "sampling_rate": 1e400}': ["/sampling_rate"],
    b'{"leads": [], "sampling_rate": 0}': ["/sampling_rate"],
    b'{"leads": [], "sampling_rate": ' + b"9" * 5000 + b"}": ["/sampling_rate"],
    b'{"leads": [], "gain": -1}': ["/gain"],
    b'{"leads": [], "gain": false}': ["/gain"],
    b'{"leads": [], "baseline": -Infinity}': ["/baseline"],
    b'{"leads": [], "baseline": 1e300}': ["/baseline"],
    b'{"leads": [], "unit": 5}': ["/unit"],
    b'{"leads": [], "date": 0}': ["/date"],
    b'{"leads": [], "date": "yesterday"}': ["/date"],
    b'{"leads": [], "date": "2026-11-23T08:00:00"}': ["/date"],
    b'{"leads": [], "date": "2026-02-30T08:00:00Z"}': ["/date"],
    b'{"leads": [], "date": "0001-01-01T00:00:00+01:00"}': ["/date"],
    b'{"leads": [], "date": "9999-12-31T23:59:59-01:00"}': ["/date"],
    b'{"leads": [], "date": "9999-12-31T23:59:59.999999Z"}': ["/date"],
}


@pytest.mark.parametrize(("body", "faulty"), FIELDS.items(), ids=lambda case: str(case)[:60])
def test_a_field_at_fault_is_pointed_at(sender: Sender, body: bytes, faulty: list[str]) -> None:
    assert pointers(sender.send(body)) == faulty


def test_everything_wrong_is_found_in_one_pass(sender: Sender) -> None:
    lead = {"name": "II", "signal": [1, 2], "number_of_samples": 3}
    body = {
        "leads": [{"name": 1, "signal": [1, None, "a, [b", 2, True]}, lead, {"signal": 5}],
        "date": 5,
        "sampling_rate": -500,
        "unit": "\0",
    }
    assert sorted(pointers(sender.send(json.dumps(body).encode()))) == [
        "/date",
        "/leads/0/name",
        "/leads/0/signal/1",
        "/leads/0/signal/2",
        "/leads/0/signal/4",
        "/leads/1/number_of_samples",
        "/leads/2/name",
        "/leads/2/signal",
        "/sampling_rate",
        "/unit",
    ]


def test_a_name_and_the_number_of_samples_are_found_together(sender: Sender) -> None:
    found = pointers(sender.send(with_lead(name=None, number_of_samples=2)))
    assert found == ["/leads/0/name", "/leads/0/number_of_samples"]


def test_of_many_faults_exactly_twenty_are_named(sender: Sender) -> None:
    signal = json.dumps([None] * 15)
    body = f'{{"leads": [{{"name": 1, "signal": {signal}}}, {{"signal": {signal}}}]}}'
    found = pointers(sender.send(body.encode()))
    assert len(found) == 20
    assert found[:2] == ["/leads/0/name", "/leads/0/signal/0"]
    assert found[16:18] == ["/leads/1/name", "/leads/1/signal/0"]


def test_of_a_key_that_is_there_twice_the_last_one_counts(sender: Sender) -> None:
    twice = (
        b'{"leads": [], "leads": [{"name": "I", "name": "II", "signal": [1], "signal": [2, 3]}]}'
    )
    assert sender.send(twice).json["leads"] == [{"name": "II", "number_of_samples": 2}]
    assert pointers(sender.send(with_signal('[1], "signal": [null]'))) == ["/leads/0/signal/0"]


def test_a_first_key_of_the_wrong_type_is_refused_all_the_same(sender: Sender) -> None:
    twice = b'{"leads": [{"name": 1, "signal": []}], "leads": []}'
    assert pointers(sender.send(twice)) == [""]


def test_unknown_fields_are_ignored_whatever_they_hold(sender: Sender) -> None:
    extra = b'{"extra": [{"a": [[[null, "\\u0000", 1e400]]]}], ' + GOOD[1:]
    assert sender.send(extra).status_code == 201


def test_ten_thousand_leads_are_stored_and_one_more_is_not(sender: Sender) -> None:
    lead = {"name": "", "signal": []}
    assert sender.send(json.dumps({"leads": [lead] * 10_000}).encode()).status_code == 201
    assert pointers(sender.send(json.dumps({"leads": [lead] * 10_001}).encode())) == ["/leads"]


def test_a_signal_may_be_empty_or_fill_the_whole_upload(sender: Sender) -> None:
    assert sender.send(with_signal(" [ ] ")).status_code == 201
    samples = (BOUND - 100) // 2
    full = sender.send(with_signal("[" + "1," * samples + "-1]"))
    assert full.json["leads"][0]["number_of_samples"] == samples + 1
    assert sender.send(with_signal("[" + " " * BOUND + "]")).status_code == 413


ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["leads", "name", "signal", "number_of_samples", "date", "unit", "x"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)
LEADS = st.lists(st.fixed_dictionaries({"name": ANY_JSON, "signal": ANY_JSON}), max_size=3)


@given(st.one_of(ANY_JSON, st.fixed_dictionaries({"leads": LEADS}, optional={"date": ANY_JSON})))
def test_no_json_is_answered_with_anything_but_201_400_or_422(sender: Sender, body: Any) -> None:
    response = sender.send(json.dumps(body).encode())
    assert response.status_code in {201, 400, 422}
    if response.status_code == 400:
        assert "NaN" in json.dumps(body) or "Infinity" in json.dumps(body)
    if response.status_code == 422:
        assert 1 <= len(pointers(response)) <= 20


PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b'"leads"',
    b'"name"',
    b'"signal"',
    b"NaN",
]
PIECES += [
    b"1",
    b"-",
    b"e9",
    b".5",
    b"null",
    b" ",
    b"\0",
    b"\xff",
    b"\\u",
    b"d800",
    b"\xef\xbb\xbf",
]


@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES)).map(b"".join)))
def test_no_bytes_are_answered_with_a_500(sender: Sender, body: bytes) -> None:
    assert sender.send(body).status_code in {201, 400, 422}
    assert sender.door.post("/users", data=body, headers=ADMIN).status_code in {400, 422}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sampling_rate": 0}, "must be greater than 0"),
        ({"gain": 1e10}, "must be at most 1000000000"),
        ({"sampling_rate": "x"}, "must be a number or null, not a string"),
        ({"unit": "x" * 33}, "must have at most 32 characters"),
        ({"date": "yesterday"}, "must be a date and time such as 2026-11-23T08:00:00+01:00"),
        ({"date": "2026-11-23T08:00:00"}, "must have a time zone at its end, such as +01:00 or Z"),
        ({"unit": ["mV"]}, "must be a string or null, not an array"),
    ],
)
def test_a_fault_is_told_in_words(sender: Sender, fields: dict[str, Any], said: str) -> None:
    answer = sender.send(json.dumps({"leads": [], **fields}).encode())
    assert [fault["detail"] for fault in answer.json["errors"]] == [said]
