"""The contract describes every view, is valid, and every error has a page."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from openapi_spec_validator import validate

from api.problems import ALL_KINDS, INTERNAL, kind_of
from shared import errors
from tests.door import Door
from tests.parts import ADMIN

PAGES = {
    "docs.front",
    "docs.page",
    "docs.part",
    "docs.problem",
    "docs.problems",
    "docs.favicon",
    "static",
}


def test_the_contract_is_valid_openapi(sqlite_door: Door) -> None:
    contract = sqlite_door.get("/openapi.json").json
    assert contract["openapi"].startswith("3.1")
    validate(contract)  # type: ignore[arg-type]


def test_the_contract_knows_every_view(sqlite_door: Door) -> None:
    for rule in sqlite_door.app.url_map.iter_rules():
        view = sqlite_door.app.view_functions[rule.endpoint]
        assert hasattr(view, "operation") or rule.endpoint in PAGES, rule


def test_the_examples_look_like_answers(sqlite_door: Door) -> None:
    schemas = sqlite_door.get("/openapi.json").json["components"]["schemas"]

    def example(schema: str, name: str) -> Any:
        return schemas[schema]["properties"][name].get("examples")

    assert example("Ecg", "status") == ["pending"]
    assert example("Batch", "status") == ["running"]
    assert example("Readiness", "status") == ["ok"]
    assert example("Problem", "status") is None
    [ecg_id] = example("Ecg", "id")
    assert UUID(ecg_id)
    for schema in schemas.values():
        for described in schema.get("properties", {}).values():
            for one in described.get("examples", ()):
                jsonschema.validate(one, described)


def test_a_signal_is_described_as_numbers(sqlite_door: Door) -> None:
    schemas = sqlite_door.get("/openapi.json").json["components"]["schemas"]
    assert schemas["Lead"]["properties"]["signal"]["items"] == {"type": "number"}
    assert schemas["Upload"]["required"] == ["leads"]


def test_what_the_contract_says_of_a_parameter_is_what_the_door_does(sqlite_door: Door) -> None:
    def schema_of(name: str, method: str = "get") -> Any:
        parameters = contract["paths"]["/ecgs"][method]["parameters"]
        return next(entry for entry in parameters if entry["name"] == name)["schema"]

    def listed(query: str) -> int:
        return sqlite_door.get(f"/ecgs?{query}", headers=ada).status_code

    def stored(key: str) -> int:
        headers = {**ada, "Idempotency-Key": key}
        return sqlite_door.post("/ecgs", json={"leads": []}, headers=headers).status_code

    contract, ada = sqlite_door.get("/openapi.json").json, sqlite_door.user()
    limit, cursor = schema_of("limit"), schema_of("cursor")
    assert [listed(f"limit={limit[end]}") for end in ("minimum", "maximum")] == [200, 200]
    assert [listed(f"limit={n}") for n in (limit["minimum"] - 1, limit["maximum"] + 1)] == [422] * 2
    for _ in range(limit["default"] + 1):
        sqlite_door.upload(ada)
    assert len(sqlite_door.get("/ecgs", headers=ada).json["data"]) == limit["default"]
    assert {listed(f"status={status}") for status in schema_of("status")["enum"]} == {200}
    longest = "x" * cursor["maxLength"]
    for name, expected in ((longest, 200), (longest + "x", 422)):
        assert sqlite_door.get(f"/users?cursor={name}", headers=ADMIN).status_code == expected
    pattern = schema_of("Idempotency-Key", "post")["pattern"]
    for key in ("", "!", "~", "x" * 255, "x" * 256, "a b", "é"):
        assert stored(key) == (201 if re.search(pattern, key) else 400), key


def leaves(kind: type[errors.ServiceError]) -> list[type[errors.ServiceError]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


@pytest.mark.parametrize("error", leaves(errors.RequestError) + leaves(errors.DependencyError))
def test_every_error_of_a_request_has_a_status(error: type[errors.ServiceError]) -> None:
    assert kind_of(error) is not INTERNAL


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.slug)
def test_every_problem_has_a_page(sqlite_door: Door, kind: object) -> None:
    page = sqlite_door.get(f"/problems/{kind.slug}")  # type: ignore[attr-defined]
    assert page.status_code == 200
    assert kind.title in page.text  # type: ignore[attr-defined]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]


def test_the_problems_have_a_page_that_lists_them(sqlite_door: Door) -> None:
    page = sqlite_door.get("/problems")
    assert page.status_code == 200
    assert all(f'href="/problems/{kind.slug}"' in page.text for kind in ALL_KINDS)


def test_an_unexpected_error_says_its_request_id_and_nothing_else(
    sqlite_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("the inner life of the server")

    monkeypatch.setattr("api.ecgs.find_all", explode)
    response = sqlite_door.get("/ecgs", headers={**sqlite_door.user(), "X-Request-ID": "find-me"})
    assert response.status_code == 500
    assert response.json["request_id"] == "find-me"
    assert "inner life" not in response.text


def test_a_browser_is_led_to_the_docs_which_need_no_internet(sqlite_door: Door) -> None:
    front = sqlite_door.get("/")
    assert front.status_code == 302
    assert front.headers["Location"] == "/docs"
    page = sqlite_door.get("/docs")
    assert "http" not in page.text.replace("http-equiv", "")
    for part in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/static/docs.js"):
        assert part in page.text
        assert sqlite_door.get(part).status_code == 200
    assert sqlite_door.get("/docs/../app.py").status_code == 404
