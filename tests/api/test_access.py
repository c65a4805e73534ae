"""Who may do what: every route, for everybody who may come to the door."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.sender import Sender
from tests.door import Door
from tests.parts import ADMIN, ADMIN_TOKEN

SAME_ID = {"X-Request-ID": "the-same"}
OPEN = (200, 200, 200, 200, 200, 200)
CALLERS = ("owner", "other user", "admin", "nobody", "revoked", "malformed")
EXPECTED = {
    ("GET", "/"): (302, 302, 302, 302, 302, 302),
    ("GET", "/docs"): OPEN,
    ("GET", "/docs/<name>"): OPEN,
    ("GET", "/health/ping"): OPEN,
    ("GET", "/health/ready"): OPEN,
    # No relay has published yet what is measured; nobody is asked who they are.
    ("GET", "/insights"): (503, 503, 503, 503, 503, 503),
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/problems"): OPEN,
    ("GET", "/favicon.ico"): OPEN,
    ("GET", "/problems/<slug>"): OPEN,
    ("GET", "/static/<path:filename>"): OPEN,
    ("GET", "/ecgs"): (200, 200, 401, 401, 401, 401),
    ("POST", "/ecgs"): (201, 201, 401, 401, 401, 401),
    ("GET", "/ecgs/<ecg_id>"): (200, 404, 401, 401, 401, 401),
    ("DELETE", "/ecgs/<ecg_id>"): (204, 404, 401, 401, 401, 401),
    ("GET", "/ecgs/<ecg_id>/insights"): (202, 404, 401, 401, 401, 401),
    ("GET", "/batches"): (200, 200, 401, 401, 401, 401),
    ("POST", "/batches"): (202, 202, 401, 401, 401, 401),
    ("GET", "/batches/<batch_id>"): (200, 404, 401, 401, 401, 401),
    ("DELETE", "/batches/<batch_id>"): (204, 404, 401, 401, 401, 401),
    ("GET", "/batches/<batch_id>/insights"): (200, 404, 401, 401, 401, 401),
    ("GET", "/batches/<batch_id>/errors"): (200, 404, 401, 401, 401, 401),
    ("POST", "/batches/<batch_id>/cancel"): (200, 404, 401, 401, 401, 401),
    ("GET", "/recompute"): (401, 401, 503, 401, 401, 401),
    ("POST", "/recompute"): (401, 401, 503, 401, 401, 401),
    ("GET", "/users"): (401, 401, 200, 401, 401, 401),
    ("POST", "/users"): (401, 401, 201, 401, 401, 401),
    ("POST", "/users/<username>/token"): (401, 401, 200, 401, 401, 401),
    ("DELETE", "/users/<username>"): (401, 401, 204, 401, 401, 401),
}
BODIES = {"/ecgs": {"leads": []}, "/users": {"username": "somebody-new"}}
PARTS = {
    "<name>": "swagger-ui.css",
    "<slug>": "not-found",
    "<path:filename>": "docs.js",
    "<username>": "owner",
}


class House:
    """A fresh house: an owner with an ECG, somebody else, and somebody whose token was rotated."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.owner = door.user("owner")
        self.other = door.user("other")
        self.revoked = door.user("revoked")
        door.post("/users/revoked/token", headers=ADMIN)
        self.ecg_id = door.upload(self.owner, [1, -1])

    def who(self, caller: str) -> dict[str, str]:
        headers: dict[str, dict[str, str]] = {
            "owner": self.owner,
            "other user": self.other,
            "admin": ADMIN,
            "nobody": {},
            "revoked": self.revoked,
            "malformed": {"x-user-token": "no token", "x-admin-token": "nor this"},
        }
        return headers[caller]

    def ask(self, method: str, rule: str, headers: dict[str, str]) -> TestResponse:
        path = rule.replace("<ecg_id>", self.ecg_id)
        if "<batch_id>" in path:
            path = path.replace("<batch_id>", self.door.submit(self.owner).json["id"])
        for name, part in PARTS.items():
            path = path.replace(name, part)
        if (method, rule) == ("POST", "/batches"):
            return self.door.submit(headers, '{"leads": []}')
        body: dict[str, Any] = {"json": BODIES[rule]} if (method, rule) in POSTED else {}
        return self.door.ask(method, path, headers=headers, **body)


POSTED = {("POST", "/ecgs"), ("POST", "/users")}


@pytest.fixture
def house(sender: Sender) -> House:
    for user in sender.door.get("/users", headers=ADMIN).json["data"]:
        sender.door.delete(f"/users/{user['username']}", headers=ADMIN)
    return House(sender.door)


def test_every_route_is_in_the_table(sender: Sender) -> None:
    routes = {
        (method, rule.rule)
        for rule in sender.door.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(EXPECTED)


@pytest.mark.parametrize(("method", "rule"), EXPECTED)
def test_a_route_opens_to_whom_it_should(sender: Sender, method: str, rule: str) -> None:
    for caller, expected in zip(CALLERS, EXPECTED[method, rule], strict=True):
        for name in ("owner", "other", "revoked", "somebody-new"):
            sender.door.delete(f"/users/{name}", headers=ADMIN)
        house = House(sender.door)
        response = house.ask(method, rule, house.who(caller))
        assert response.status_code == expected, caller
        if expected == 401:
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="isoline"'


PROTECTED = [route for route, expected in EXPECTED.items() if 401 in expected]
OF_USERS = [route for route in PROTECTED if route[1].startswith(("/ecgs", "/batches"))]
OF_ADMIN = [route for route in PROTECTED if route[1].startswith(("/users", "/recompute"))]


@pytest.mark.parametrize(("method", "rule"), OF_USERS)
def test_bearer_opens_what_the_header_opens(house: House, method: str, rule: str) -> None:
    token = house.owner["x-user-token"]
    response = house.ask(method, rule, {"Authorization": f"Bearer {token}"})
    assert response.status_code == EXPECTED[method, rule][0]


def test_the_name_of_the_scheme_is_written_as_one_likes(house: House) -> None:
    token = house.owner["x-user-token"]
    for written in (f"bearer {token}", f"BEARER   {token} "):
        assert house.ask("GET", "/ecgs", {"Authorization": written}).status_code == 200


def test_an_empty_header_is_no_header(house: House) -> None:
    bearer = {"Authorization": f"Bearer {house.owner['x-user-token']}"}
    assert house.ask("GET", "/ecgs", {"x-user-token": "", **bearer}).status_code == 200


def wrong_tokens(house: House) -> list[dict[str, str]]:
    """What comes close to a token of the owner, and what does not."""
    token = house.owner["x-user-token"]
    wrong = [
        *("", " ", "x", "x" * 10_000, "\u00ff", "owner", "None", "null", "' OR ''='", "%"),
        *(token[:-1], token + "x", token.swapcase(), token[::-1], f"Bearer {token}"),
        *(hashlib.sha256(token.encode()).hexdigest(), ADMIN_TOKEN),
    ]
    return [
        {},
        house.revoked,
        *({"x-user-token": text} for text in wrong),
        *({"Authorization": f"Bearer {text}"} for text in wrong),
        *(
            {"Authorization": text}
            for text in (token, f"Basic {token}", f"Token {token}", "Bearer")
        ),
        {"x-user-token": "x", "Authorization": f"Bearer {token}"},
        {"x-admin-token": token},
        {"Cookie": f"x-user-token={token}"},
        ADMIN,
    ]


@pytest.mark.parametrize(("method", "rule"), OF_USERS)
def test_everything_that_is_no_token_gets_the_same_401(
    house: House, method: str, rule: str
) -> None:
    answers = [house.ask(method, rule, {**wrong, **SAME_ID}) for wrong in wrong_tokens(house)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert len({str(answer.headers) for answer in answers}) == 1


@pytest.mark.parametrize(("method", "rule"), OF_ADMIN)
def test_everything_that_is_not_the_admin_token_gets_the_same_401(
    house: House, method: str, rule: str
) -> None:
    wrong = ["", "x", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), "\u00ff"]
    headers = [
        {},
        house.owner,
        {"x-user-token": ADMIN_TOKEN},
        {"Authorization": f"Bearer {ADMIN_TOKEN}"},
        {"x-admin-token": house.owner["x-user-token"]},
        *({"x-admin-token": text} for text in wrong),
    ]
    answers = [house.ask(method, rule, {**some, **SAME_ID}) for some in headers]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1


def test_a_token_dies_with_its_user(house: House) -> None:
    house.door.delete("/users/owner", headers=ADMIN)
    assert house.ask("GET", "/ecgs", house.owner).status_code == 401
    reborn = house.door.user("owner")
    assert house.ask("GET", "/ecgs", house.owner).status_code == 401
    assert house.ask("GET", "/ecgs", reborn).json["data"] == []


@pytest.mark.parametrize(
    ("method", "rule"), [route for route in OF_USERS if "<ecg_id>" in route[1]]
)
def test_a_strangers_ecg_looks_like_none(house: House, method: str, rule: str) -> None:
    stranger = {**house.other, **SAME_ID}
    ids = (house.ecg_id, house.ecg_id[:-4] + "0000", house.ecg_id.upper(), "nonsense")
    paths = [rule.replace("<ecg_id>", ecg_id) for ecg_id in ids]
    answers = [house.door.ask(method, path, headers=stranger) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    assert len({str(answer.headers) for answer in answers}) == 1
    assert house.ask("GET", "/ecgs/<ecg_id>", house.owner).status_code == 200


def test_a_list_shows_only_ones_own(house: House) -> None:
    cursor = "f" * 8 + house.ecg_id[8:]
    for query in ("", "?status=pending", "?limit=500", f"?cursor={cursor}"):
        listed = house.door.get(f"/ecgs{query}", headers=house.other)
        assert listed.json == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(("method", "rule"), PROTECTED)
def test_who_may_not_come_in_learns_nothing_of_what_is_inside(
    sender: Sender, method: str, rule: str
) -> None:
    path = rule.replace("<ecg_id>", "nonsense").replace("<username>", "nobody")
    for more in ({"data": b"no JSON"}, {"data": b"\0", "headers": {"Content-Type": "text/plain"}}):
        assert sender.door.ask(method, path, **more).status_code == 401
        assert sender.door.ask(method, f"{path}?limit=x", **more).status_code == 401
