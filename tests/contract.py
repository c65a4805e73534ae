"""/openapi.json, and clients that hold every answer to it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator


class Contract:
    """/openapi.json, and whether an answer keeps to it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._paths = {
            re.compile(re.sub(r"\{[^{}]+\}", "[^/]+", path)): operations
            for path, operations in self._document["paths"].items()
        }

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Fail unless status, headers and body are promised for this request."""
        assert headers["X-Request-ID"]
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if body and media_type in {"application/json", "application/problem+json"}:
            # A line of its own: in a terminal the prompt stands below it.
            assert body.endswith(b"\n")
            assert body.count(b"\n") == 1
        operation = self._find(method, path.partition("?")[0])
        if operation is None:
            # What no operation answers is a page for people, or a problem.
            if media_type == "application/problem+json":
                self._check_body({"$ref": "#/components/schemas/Problem"}, body)
            else:
                assert status in {200, 302}
            return
        assert str(status) in operation["responses"], (method, path, status)
        promised = operation["responses"][str(status)]
        for name, header in promised.get("headers", {}).items():
            if header["required"]:
                assert name in headers, name
        if "content" in promised:
            assert media_type in promised["content"]
            content = promised["content"][media_type]
            if media_type.startswith("text/"):
                body.decode()
            elif "x-itemSchema" in content:
                for line in body.splitlines():
                    self._check_body(content["x-itemSchema"], line)
            else:
                self._check_body(content["schema"], body)
        else:
            assert body == b""

    def _find(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, operations in self._paths.items():
            if pattern.fullmatch(path):
                found: dict[str, Any] | None = operations.get(method.lower())
                return found
        return None

    def _check_body(self, schema: dict[str, Any], body: bytes) -> None:
        whole = {**schema, "components": self._document["components"]}
        Draft202012Validator(whole).validate(json.loads(body))


def checked_client(url: str) -> httpx.Client:
    """A client of a server at this URL that holds every answer to the server's contract."""

    @functools.cache
    def contract() -> Contract:
        return Contract(httpx.get(f"{url}/openapi.json").json())

    def check(response: httpx.Response) -> None:
        request, body = response.request, response.read()
        path = request.url.path
        contract().check(request.method, path, response.status_code, response.headers, body)

    return httpx.Client(base_url=url, event_hooks={"response": [check]}, timeout=30)
