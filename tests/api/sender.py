"""Somebody who sends bytes, and how to read the answer."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from tests.door import Door

# ISOLINE_MAX_UPLOAD_BYTES at the sender's door.
BOUND = 4 * 2**20


class Sender:
    """A user who does not care what JSON looks like."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.token = door.user("sender")

    def send(
        self, body: bytes, content_type: str = "application/json", **headers: str
    ) -> TestResponse:
        """Upload these bytes; an underscore in the name of a header stands for a dash."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.door.post(
            "/ecgs", data=body, headers={**self.token, "Content-Type": content_type, **more}
        )


def slug(response: TestResponse) -> str:
    """The kind of problem."""
    assert response.mimetype == "application/problem+json"
    return str(response.json["type"]).removeprefix("/problems/")


def pointers(response: TestResponse) -> list[str]:
    """The fields at fault."""
    assert response.status_code == 422, response.text
    assert slug(response) == "invalid-request"
    return [fault["pointer"] for fault in response.json["errors"]]


def with_signal(signal: str) -> bytes:
    """An upload of one lead whose signal is this text."""
    return f'{{"leads": [{{"name": "I", "signal": {signal}}}]}}'.encode()


def detail(response: TestResponse) -> Any:
    """What is said of the first field at fault."""
    return response.json["errors"][0]["detail"]
