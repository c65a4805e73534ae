"""Ugly texts in every place that takes one: names, paths, queries, headers, tokens."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.api.sender import Sender, pointers, slug, with_signal
from tests.door import Door
from tests.parts import ADMIN

GOOD = with_signal("[1, 0, -1]")

CONTROL = ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x80", "\x9f"]


@pytest.mark.parametrize("character", CONTROL, ids=ascii)
def test_control_characters_are_refused_in_every_text(door: Door, character: str) -> None:
    ada = door.user()
    for text in (character, f"I{character}", f"{character}I"):
        fields = {"leads": [{"name": text, "signal": []}], "unit": text}
        refused = door.post("/ecgs", json=fields, headers=ada)
        assert sorted(pointers(refused)) == ["/leads/0/name", "/unit"]
        user = door.post("/users", json={"username": text}, headers=ADMIN)
        assert pointers(user) == ["/username"]
        for path in ("/ecgs", "/users"):
            listed = door.get(f"{path}?cursor={quote(text)}", headers={**ada, **ADMIN})
            assert pointers(listed) == ["/query/cursor"]
        assert pointers(door.get(f"/ecgs?status={quote(text)}", headers=ada)) == ["/query/status"]
        assert pointers(door.get(f"/ecgs?limit={quote(text)}", headers=ada)) == ["/query/limit"]


def ask_for_user(door: Door, username: str) -> set[int]:
    path = f"/users/{quote(username)}"
    answers = door.delete(path, headers=ADMIN), door.post(f"{path}/token", headers=ADMIN)
    return {answer.status_code for answer in answers}


@pytest.mark.parametrize("character", [*CONTROL[1:], "\ufffd"], ids=ascii)
def test_nobody_is_called_by_a_control_character(door: Door, character: str) -> None:
    assert ask_for_user(door, f"ada{character}") == {404}


def test_nobody_is_called_by_nul(door: Door) -> None:
    assert ask_for_user(door, "ada\0") == {404}


NAMES = ["", " ", "é", "心電図", "\U0001d11e", "x" * 128, '"', "\\", "' OR 1=1 --", "<b>", "\u2028"]


def test_any_other_text_comes_back_as_it_was_sent(door: Door) -> None:
    ada = door.user()
    leads = [{"name": name, "signal": []} for name in NAMES]
    ecg_id = door.post("/ecgs", json={"leads": leads}, headers=ada).json["id"]
    described = door.get(f"/ecgs/{ecg_id}", headers=ada).json
    assert [lead["name"] for lead in described["leads"]] == NAMES
    door.work()
    finished = door.get(f"/ecgs/{ecg_id}/insights", headers=ada).json
    assert [lead["name"] for lead in finished["leads"]] == NAMES


@pytest.mark.parametrize(
    "date", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9Z", "1969-12-31T23:59:59Z"]
)
def test_any_date_of_the_calendar_comes_back(door: Door, date: str) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1], date=date)
    assert door.get(f"/ecgs/{ecg_id}", headers=ada).json["date"][:19] == date[:19]


KEYS = ["", " ", "a b", "\u00e9", "\x7f", "x" * 256, "\x80"]


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_an_idempotency_key_of_other_characters_is_400(sender: Sender, key: str) -> None:
    response = sender.send(GOOD, Idempotency_Key=key)
    assert (response.status_code, slug(response)) == (400, "malformed-request")


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=-1", "wait=1e9", "\u00ff", "x" * 10_000])
def test_a_preference_that_makes_no_sense_is_ignored(sender: Sender, prefer: str) -> None:
    response = sender.send(GOOD, Prefer=prefer)
    assert response.status_code == 201
    assert "Preference-Applied" not in response.headers


USERNAMES = {
    "x": True,
    "x" * 64: True,
    "心電図" * 21: True,
    "a%2Fb": True,
    "..x": True,
    "x" * 65: False,
    "": False,
    " ": False,
    "a b": False,
    "a\u00a0b": False,
    "a\u200bb": False,
    "a\u202eb": False,
    "\ufeff": False,
    "\ue000": False,
    "a/b": False,
    ".": False,
    "..": False,
}


@pytest.mark.parametrize(("username", "fits"), USERNAMES.items(), ids=ascii)
def test_a_username(door: Door, username: str, fits: bool) -> None:
    response = door.post("/users", json={"username": username}, headers=ADMIN)
    if not fits:
        assert pointers(response) == ["/username"]
        return
    assert response.json["username"] == username
    path = f"/users/{quote(username, safe='')}"
    assert door.post(f"{path}/token", headers=ADMIN).status_code == 200
    assert door.delete(path, headers=ADMIN).status_code == 204


@pytest.mark.parametrize("body", [rb'{"username": "\ud800"}', b'{"username": "\xff"}', b"", b"["])
def test_a_username_that_is_no_text_is_400(sender: Sender, body: bytes) -> None:
    response = sender.door.post("/users", data=body, headers=ADMIN)
    assert (response.status_code, slug(response)) == (400, "malformed-request")


IDS = ["0", "%00", "%ff", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "x" * 5000, "{}", "'--", "心"]


@pytest.mark.parametrize("ecg_id", IDS, ids=lambda ecg_id: ecg_id[:20])
def test_an_id_of_any_characters_is_404(door: Door, ecg_id: str) -> None:
    for path in (f"/ecgs/{ecg_id}", f"/ecgs/{ecg_id}/insights"):
        response = door.get(path, headers=door.user(f"u{len(path)}"))
        assert (response.status_code, slug(response)) == (404, "not-found")


PATHS = ["/nowhere", "/ecgs/", "/users/", "/static/../app.py", "/static/..%2fapp.py", "/docs/%00"]
PATHS += ["/problems/..%2f..%2fapp.py", "/docs/..%2fstatic%2fdocs.js", "/%ff", "/.git/config"]


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_path_is_404(sender: Sender, path: str) -> None:
    response = sender.door.get(path)
    assert (response.status_code, slug(response)) == (404, "not-found")


def test_an_empty_part_of_a_path_is_no_detour(sender: Sender) -> None:
    for path in ("/ecgs//insights", "/users//token", "/problems//not-found"):
        response = sender.door.get(path)
        assert (response.status_code, slug(response)) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/ecgs", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", "/ecgs/0", {"GET", "HEAD", "OPTIONS", "DELETE"}),
        ("POST", "/health/ping", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/users/ada", {"DELETE", "OPTIONS"}),
        ("TRACE", "/users", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("NONSENSE", "/insights", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_405_and_says_which_there_are(
    sender: Sender, method: str, path: str, allowed: set[str]
) -> None:
    response = sender.door.ask(method, path)
    assert (response.status_code, slug(response)) == (405, "method-not-allowed")
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("asked", ["a", "A-z.0:9_+/=@", "x" * 128])
def test_a_sane_request_id_is_kept(sender: Sender, asked: str) -> None:
    response = sender.door.get("/health/ping", headers={"X-Request-ID": asked})
    assert response.headers["X-Request-ID"] == asked


@pytest.mark.parametrize(
    "asked",
    ["", " ", "a b", "a;b", "a\tb", '"', "<script>", "%0d%0aSet-Cookie:x", "\u00e9", "x" * 10_000],
)
def test_any_other_request_id_is_replaced(sender: Sender, asked: str) -> None:
    response = sender.door.get("/nowhere", headers={"X-Request-ID": asked})
    own = response.headers["X-Request-ID"]
    assert own == response.json["request_id"]
    assert len(own) == 36
