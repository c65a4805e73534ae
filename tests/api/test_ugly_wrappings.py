"""How a body is wrapped: its encoding and its type."""

from __future__ import annotations

import gzip

import pytest

from tests.api.sender import BOUND, Sender, with_signal

GOOD = with_signal("[1, 0, -1]")
GZIPPED = gzip.compress(GOOD)
ENCODED = {
    "plain": (GZIPPED, "gzip", 201),
    "two members": (gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:]), "gzip", 201),
    "capitals": (GZIPPED, " GZIP ", 201),
    "not at all": (GOOD, "identity", 201),
    "cut short": (GZIPPED[:-1], "gzip", 400),
    "nothing": (b"", "gzip", 400),
    "no gzip": (GOOD, "gzip", 400),
    "trailing garbage": (GZIPPED + b"garbage", "gzip", 400),
    "no JSON inside": (gzip.compress(b"\0"), "gzip", 400),
    "a bomb": (gzip.compress(b" " * (BOUND + 1)), "gzip", 413),
    "a bomb of zeros": (gzip.compress(bytes(40 * BOUND)), "gzip", 413),
    "brotli": (GOOD, "br", 415),
    "twice": (gzip.compress(GZIPPED), "gzip, gzip", 415),
    "nonsense": (GOOD, "\u00ff", 415),
}


@pytest.mark.parametrize(("body", "encoding", "status"), ENCODED.values(), ids=ENCODED.keys())
def test_an_encoded_body(sender: Sender, body: bytes, encoding: str, status: int) -> None:
    response = sender.send(body, Content_Encoding=encoding)
    assert response.status_code == status


MEDIA = {
    "application/json": 201,
    "application/json; charset=utf-8": 201,
    "APPLICATION/JSON; charset=UTF-8": 201,
    "application/fhir+json": 201,
    "": 201,
    "text/plain": 415,
    "application/x-www-form-urlencoded": 415,
    "multipart/form-data; boundary=x": 415,
    "application/jsonp": 415,
    "application/json; charset=utf-16": 415,
    "nonsense": 415,
    ";": 415,
}


@pytest.mark.parametrize(("content_type", "status"), MEDIA.items())
def test_a_content_type(sender: Sender, content_type: str, status: int) -> None:
    assert sender.send(GOOD, content_type).status_code == status


def test_json_without_a_content_type_is_accepted(sender: Sender) -> None:
    assert sender.door.post("/ecgs", data=GOOD, headers=sender.token).status_code == 201
