"""The API in this process, and what a worker does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Flask
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from api.app import create_app
from shared.jobs import LINES_PER_MESSAGE
from shared.settings import Settings
from tests.contract import Contract
from tests.parts import ADMIN
from worker import tasks

MESSAGE = "the id of a message"


def bring_to_their_end(engine: Engine, ecg_ids: Sequence[Any], rung: list[str]) -> None:
    """Do what a worker does with a message of these; what it rings for is added to the list."""
    tasks.analyse(
        engine,
        ecg_ids,
        rung.extend,
        message=MESSAGE,
        ring_next=rung.extend,
        announce=lambda ecg_ids: None,
    )


class Door:
    """The API in this process, without a server: each answer is checked against /openapi.json."""

    # It is made of the views alone, so it is the same behind every door; and it takes long to make.
    _promised: ClassVar[Contract | None] = None

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.engine = engine
        self.rung: list[str] = []
        self.app: Flask = create_app(
            settings, engine=engine, ring=lambda ecg_ids, queue: self.rung.extend(ecg_ids)
        )
        self._client = self.app.test_client()
        if Door._promised is None:
            Door._promised = Contract(json.loads(self._client.get("/openapi.json").data))
        self._contract = Door._promised

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """Send a request, and hold the answer to the contract."""
        response = self._client.open(path, method=method, **options)
        body = response.get_data()
        response.close()
        self._contract.check(method, path, response.status_code, dict(response.headers), body)
        return response

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        """POST."""
        return self.ask("POST", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        """DELETE."""
        return self.ask("DELETE", path, **options)

    def user(self, username: str = "ada") -> dict[str, str]:
        """Register somebody; return the header that lets them in."""
        response = self.post("/users", json={"username": username}, headers=ADMIN)
        assert response.status_code == 201, response.text
        return {"x-user-token": response.json["token"]}

    def upload(self, user: dict[str, str], *signals: list[float], **fields: Any) -> str:
        """Upload leads; return the id."""
        leads = [{"name": f"lead {n}", "signal": signal} for n, signal in enumerate(signals)]
        response = self.post("/ecgs", json={"leads": leads, **fields}, headers=user)
        assert response.status_code == 201, response.text
        return str(response.json["id"])

    def submit(self, user: dict[str, str], *lines: bytes | str, **headers: str) -> TestResponse:
        """Submit a batch of these lines."""
        body = b"".join(
            (line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines
        )
        return self.post(
            "/batches",
            data=body,
            headers={**user, "Content-Type": "application/x-ndjson", **headers},
        )

    def work(self) -> None:
        """Do everything that was rung for, as a worker would, in this process."""
        rung, self.rung[:] = list(self.rung), []
        for start in range(0, len(rung), LINES_PER_MESSAGE):
            bring_to_their_end(self.engine, rung[start : start + LINES_PER_MESSAGE], self.rung)
