"""The contract as OpenAPI 3.1, generated from the types and errors that the views really use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from api.bodies import ENCODINGS
from api.ecgs import KEY_PATTERN, STATUSES
from api.examples import give_examples
from api.pages import DEFAULT_LIMIT, LONGEST_CURSOR, MOST
from api.problems import INTERNAL, MEDIA_TYPE, Problem, kind_of
from api.waiting import LONGEST_S
from shared.errors import (
    DependencyError,
    InvalidRequest,
    MalformedRequest,
    Overloaded,
    ServiceError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    UnsupportedMedia,
)

VERSION = "1.0.0"
DESCRIPTION = """\
Upload an electrocardiogram, poll for measurements.

1. An administrator registers a user: `POST /users`.
2. The user uploads a recording: `POST /ecgs` answers 201 with an id once it is stored durably.
3. The user polls `GET /ecgs/{id}/insights`: 202 while pending, 200 when finished or failed.

Thousands at once: `POST /batches` takes them as the lines of one body, `GET /batches/{id}` counts
them, `GET /batches/{id}/insights` gives the results, as JSON lines or as a table.

Insights are measurements, never diagnoses: Isoline is not a medical device.
"""

# What any request with a body may be refused for.
BODY_PROBLEMS = (MalformedRequest, TooSlow, TooLarge, UnsupportedMedia, InvalidRequest, Overloaded)

View = TypeVar("View", bound=Callable[..., Any])

PARAMETERS: dict[str, dict[str, Any]] = {
    "limit": {
        "in": "query",
        "description": "How many entries a page has at most.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST,
            "default": DEFAULT_LIMIT,
        },
    },
    "cursor": {
        "in": "query",
        "description": "The `next_cursor` of the page before.",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_CURSOR},
    },
    "status": {
        "in": "query",
        "description": "Only ECGs in this state.",
        "schema": {"enum": list(STATUSES)},
    },
    "Idempotency-Key": {
        "in": "header",
        "description": "Makes a retry safe: nothing is stored twice. The same key and ECG get the "
        "first answer again; a batch goes on where it stopped.",
        "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
    },
    "Prefer": {
        "in": "header",
        "description": f"`wait=N` holds the answer until the job has ended, at most {LONGEST_S} s. "
        "Where too many wait already it comes at once, without `Preference-Applied`.",
        "schema": {"type": "string"},
        "example": "wait=5",
    },
    "If-None-Match": {
        "in": "header",
        "description": "The ETag of an earlier answer: 304 when nothing has changed.",
        "schema": {"type": "string"},
    },
    "Content-Encoding": {
        "in": "header",
        "description": "`gzip` for a compressed body.",
        "schema": {"enum": list(ENCODINGS)},
    },
    "format": {
        "in": "query",
        "description": "Goes before what `Accept` says.",
        "schema": {"enum": ["ndjson", "csv"]},
    },
    "after": {
        "in": "query",
        "description": "Only what comes after this line.",
        "schema": {"type": "integer", "minimum": 0, "default": 0},
    },
    "columns": {
        "in": "query",
        "description": "CSV goes on without a header below one that you have: the first sixteen "
        "hexadecimal digits of its SHA-256, without its line end. 409 when it would be another one "
        "by now.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "insight": {
        "in": "query",
        "description": "Only what is out of date in this one.",
        "schema": {"type": "string", "minLength": 1},
    },
    "batch_id": {"in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
    "ecg_id": {"in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
    "username": {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
}


@dataclass(frozen=True)
class Answer:
    """One way in which an operation can go well; some headers come only when they apply."""

    description: str
    content: Any = None
    media_type: str = "application/json"
    # The same in another form, as text.
    also: Sequence[str] = ()
    headers: Sequence[str] = ()
    at_times: Sequence[str] = ()


@dataclass(frozen=True)
class Operation:
    """What a view promises."""

    summary: str
    answers: dict[int, Answer]
    who: Literal["all", "user", "admin"] = "all"
    request: type | None = None
    request_type: str = "application/json"
    example: Any = None
    parameters: Sequence[str] = ()
    problems: Sequence[type[ServiceError]] = field(default=())

    def refusals(self) -> list[type[ServiceError]]:
        """Every error that the operation may answer with."""
        refusals = list(self.problems)
        if self.who != "all":
            refusals += [Unauthenticated, DependencyError]
        if self.request is not None:
            refusals += BODY_PROBLEMS
        return refusals


@dataclass(frozen=True)
class Route:
    """Where an operation is: the path in the words of OpenAPI, and whose act it is."""

    path: str
    method: str
    resource: str
    act: str
    in_path: Sequence[str]
    operation: Operation


def promises(operation: Operation) -> Callable[[View], View]:
    """Attach to a view what the contract says of it; a test finds views without."""

    def attach(view: View) -> View:
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return attach


def build(routes: Iterable[Route]) -> dict[str, Any]:
    """Describe these routes."""
    routes = list(routes)
    types: set[Any] = {Problem}
    for route in routes:
        types |= {answer.content for answer in route.operation.answers.values() if answer.content}
        types |= {route.operation.request} if route.operation.request else set()
    ordered = sorted(types, key=str)
    schemas, components = msgspec.json.schema_components(
        ordered, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(ordered, schemas, strict=True))
    for component in components.values():
        give_examples(component.get("properties", {}))

    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = _describe(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Isoline", "version": VERSION, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "user": {"type": "apiKey", "in": "header", "name": "x-user-token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "admin": {"type": "apiKey", "in": "header", "name": "x-admin-token"},
            },
        },
    }


def _describe(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation = route.operation
    responses: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        response: dict[str, Any] = {"description": answer.description}
        if answer.content is not None:
            response["content"] = {
                answer.media_type: _content(
                    answer.media_type, schema_of[answer.content], schema_of[Problem]
                ),
                **{also: {"schema": {"type": "string"}} for also in answer.also},
            }
        always = ("X-Request-ID", *answer.headers)
        response["headers"] = {
            name: {"required": name in always, "schema": {"type": "string"}}
            for name in (*always, *answer.at_times)
        }
        responses[str(status)] = response
    for kind in (*map(kind_of, operation.refusals()), INTERNAL):
        known = responses.get(str(kind.status))
        title = f"{known['description']}; or: {kind.title}" if known else kind.title
        responses[str(kind.status)] = {
            "description": title,
            "content": {MEDIA_TYPE: {"schema": schema_of[Problem]}},
        }
    described: dict[str, Any] = {
        "operationId": f"{route.resource}_{route.act}",
        "tags": [route.resource],
        "summary": operation.summary,
        "parameters": [
            {"name": name, **PARAMETERS[name]} for name in (*route.in_path, *operation.parameters)
        ],
        "responses": responses,
        "security": {"all": [], "user": [{"user": []}, {"bearer": []}], "admin": [{"admin": []}]}[
            operation.who
        ],
    }
    if operation.request is not None:
        media_type = operation.request_type
        content = _content(media_type, schema_of[operation.request])
        content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {media_type: content}}
    return described


def _content(media_type: str, schema: Any, schema_of_problem: Any = None) -> dict[str, Any]:
    """What is in a body; of a sequence, what is in each line."""
    if media_type == "application/json":
        return {"schema": schema}
    if schema_of_problem is not None:
        # How it ends when there is more that could not be read.
        schema = {"anyOf": [schema, schema_of_problem]}
    # OpenAPI 3.2 calls it `itemSchema`; until then, a sequence is bytes to whoever knows no better.
    return {"schema": {"type": "string", "format": "binary"}, "x-itemSchema": schema}
