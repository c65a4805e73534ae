"""What may be kept of an answer, and how it is asked whether it still holds."""

from __future__ import annotations

import pytest

from tests.door import Door
from tests.parts import ADMIN

KEPT = ["/ecgs", "/ecgs/{}", "/ecgs/{}/insights"]


@pytest.mark.parametrize("path", KEPT)
def test_an_unchanged_answer_is_304(door: Door, path: str) -> None:
    ada = door.user()
    path = path.format(door.upload(ada, [1, -1]))
    door.work()
    first = door.get(path, headers=ada)
    assert first.headers["Cache-Control"] == "private, no-cache"
    tag = first.headers["ETag"]
    for asked in (tag, f"W/{tag}", f'"another", {tag}', "*"):
        again = door.get(path, headers={**ada, "If-None-Match": asked})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "private, no-cache"
        assert "Content-Type" not in again.headers
    other = door.get(path, headers={**ada, "If-None-Match": '"another"'})
    assert (other.status_code, other.data) == (200, first.data)


@pytest.mark.parametrize("path", KEPT)
def test_who_asks_for_the_head_alone_gets_that_of_the_whole_answer(
    sqlite_door: Door, path: str
) -> None:
    ada = sqlite_door.user()
    path = path.format(sqlite_door.upload(ada, [1, -1]))
    sqlite_door.work()
    whole = sqlite_door.get(path, headers=ada)
    assert whole.data.endswith(b"}\n")
    assert whole.headers["Content-Length"] == str(len(whole.data))
    head = sqlite_door.ask("HEAD", path, headers=ada)
    assert head.data == b""
    for name in ("ETag", "Content-Length", "Content-Type"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("path", KEPT)
def test_a_changed_answer_has_another_tag(door: Door, path: str) -> None:
    ada = door.user()
    path = path.format(door.upload(ada, [1, -1]))
    before = door.get(path, headers=ada).headers.get("ETag", "none yet")
    door.work()
    after = door.get(path, headers={**ada, "If-None-Match": before})
    assert after.status_code == 200
    assert after.headers["ETag"] != before


@pytest.mark.parametrize("path", KEPT)
def test_a_condition_for_writing_means_nothing_to_who_reads(sqlite_door: Door, path: str) -> None:
    ada = sqlite_door.user()
    path = path.format(sqlite_door.upload(ada, [1, -1]))
    sqlite_door.work()
    assert sqlite_door.get(path, headers={**ada, "If-Match": '"another"'}).status_code == 200


def test_everything_else_is_not_to_be_kept(sqlite_door: Door) -> None:
    ada = sqlite_door.user()
    ecg_id = sqlite_door.upload(ada, [1, -1])
    answers = [
        sqlite_door.get(f"/ecgs/{ecg_id}/insights", headers=ada),
        sqlite_door.get(f"/ecgs/{ecg_id[:-1]}", headers=ada),
        sqlite_door.get("/ecgs"),
        sqlite_door.post("/ecgs", json={"leads": []}, headers=ada),
        sqlite_door.get("/users", headers=ADMIN),
        sqlite_door.post("/users/ada/token", headers=ADMIN),
        sqlite_door.get("/health/ping"),
        sqlite_door.get("/openapi.json"),
    ]
    assert [answer.status_code for answer in answers] == [202, 404, 401, 201, 200, 200, 200, 200]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert not any("ETag" in answer.headers for answer in answers)
