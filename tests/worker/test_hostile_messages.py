"""Messages that no client of ours sends: none of them ends a worker, or comes back to try again."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from shared.database import reading
from shared.jobs import INTERACTIVE, LINES_PER_MESSAGE, TAKEN
from shared.models import Ecg
from tests.door import Door
from tests.parts import wait_until
from tests.stack import Stack
from worker.claims import claim
from worker.tasks import mourn


@pytest.fixture(scope="module")
def stack(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with Stack(folder, database_url=url, redis_url=redis_url) as stack:
        yield stack


@pytest.fixture(scope="module")
def ada(stack: Stack) -> dict[str, str]:
    with stack.client() as client:
        return {"x-user-token": stack.register(client, "ada")}


@pytest.fixture(scope="module")
def message(stack: Stack, ada: dict[str, str]) -> dict[str, Any]:
    """A message as it should be, caught in the queue while no worker is there."""
    stack.stop("worker")
    stack.ask("POST", "/ecgs", json={"leads": []}, headers=ada)
    wait_until(lambda: stack.redis.llen(INTERACTIVE), what="for the bell")
    # Taken out: whoever puts it away puts away what bears its tag, as every change of it does.
    caught: dict[str, Any] = json.loads(cast(bytes, stack.redis.lpop(INTERACTIVE)))
    stack.start("worker")
    return caught


GONE = object()


def changed(message: dict[str, Any], *where_and_what: object) -> bytes:
    """The message with one thing in it replaced, or left out."""
    message = copy.deepcopy(message)
    *path, last, value = where_and_what
    part: Any = message
    for step in path:
        part = part[step]
    if value is GONE:
        part.pop(last, None)
    else:
        part[last] = value
    return json.dumps(message).encode()


def body(arguments: object) -> str:
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return base64.b64encode(json.dumps([arguments, {}, embedded]).encode()).decode()


def hostile(message: dict[str, Any]) -> dict[str, bytes]:
    return {
        "not JSON": b"\x80\x00 garbage",
        "JSON of another shape": b"[]",
        "a number": b"7",
        "nothing in it": b"{}",
        "no properties": changed(message, "properties", {}),
        "no delivery tag": changed(message, "properties", "delivery_tag", None),
        "no id": changed(message, "headers", "id", GONE),
        "no headers": changed(message, "headers", {}),
        "headers of another shape": changed(message, "headers", [1]),
        "headers missing": changed(message, "headers", None),
        "limits that are no limits": changed(message, "headers", "timelimit", "soon"),
        "limits of another length": changed(message, "headers", "timelimit", [1, 2, 3]),
        "an unreadable expiry": changed(message, "headers", "expires", "never"),
        "an unreadable date": changed(message, "headers", "eta", "\x00"),
        "an unknown task": changed(message, "headers", "task", "os.system"),
        "a task without a name": changed(message, "headers", "task", ["x"]),
        "another language": changed(message, "content-type", "application/x-python-serialize"),
        "an unknown language": changed(message, "content-type", "application/klingon"),
        "an unknown alphabet": changed(message, "content-encoding", "klingon"),
        "an unknown compression": changed(message, "headers", "compression", "klingon"),
        "a body that is not base64": changed(message, "body", "%%%"),
        "a body of another shape": changed(message, "body", base64.b64encode(b"7").decode()),
        "no arguments": changed(message, "body", body([])),
        "arguments of another kind": changed(message, "body", body([7])),
        "more ids than the database takes": changed(message, "body", body([["an id"] * 300_000])),
        "ids of another kind": changed(message, "body", body([[None, 7, {"a": 1}, "\x00"]])),
    }


def lives(stack: Stack, ada: dict[str, str]) -> None:
    """Fail unless an upload is finished, by the worker that was started first."""
    answer = stack.ask("POST", "/ecgs", json={"leads": []}, headers={**ada, "Prefer": "wait=20"})
    assert answer.json()["status"] == "finished"
    assert stack.is_running("worker")


@pytest.mark.parametrize("kind", sorted(hostile({"headers": {}, "properties": {}})))
def test_a_hostile_message_ends_nothing(
    stack: Stack, ada: dict[str, str], message: dict[str, Any], kind: str
) -> None:
    stack.redis.lpush(INTERACTIVE, hostile(message)[kind])
    lives(stack, ada)
    # It was put away, not kept for another time.
    wait_until(lambda: stack.redis.hlen(TAKEN[INTERACTIVE]) == 0, 5, f"for {kind} to be put away")
    assert stack.redis.llen(INTERACTIVE) == 0


def test_what_was_taken_and_is_unreadable_now_ends_nothing(
    stack: Stack, ada: dict[str, str], message: dict[str, Any]
) -> None:
    # As after damage to the broker's file: long overdue, so a worker that starts has it restored.
    stack.redis.zadd(
        TAKEN[INTERACTIVE] + ":index", {"damaged": 1.0, "empty": 1.0, "elsewhere": 1.0}
    )
    stack.redis.hset(TAKEN[INTERACTIVE], "damaged", b"\x80 garbage")
    stack.redis.hset(TAKEN[INTERACTIVE], "empty", b"{}")
    stack.redis.hset(TAKEN[INTERACTIVE], "elsewhere", json.dumps([7, None, "nowhere"]))
    stack.stop("worker")
    stack.start("worker")
    wait_until(
        lambda: stack.redis.hlen(TAKEN[INTERACTIVE]) == 0,
        20,
        "for the damage to be put away",
    )
    lives(stack, ada)


def test_what_is_wrong_with_a_message_is_logged_without_quoting_it(
    stack: Stack, ada: dict[str, str], message: dict[str, Any]
) -> None:
    stack.redis.lpush(INTERACTIVE, changed(message, "headers", "timelimit", "canary-in-a-message"))
    stack.redis.lpush(INTERACTIVE, b"canary-in-a-message")
    too_many = body([["canary-in-a-message"] * (LINES_PER_MESSAGE + 1)])
    stack.redis.lpush(INTERACTIVE, changed(message, "body", too_many))
    lives(stack, ada)
    assert "canary-in-a-message" not in stack.log("worker")
    assert stack.log("worker").count("message thrown away") >= 3


@pytest.mark.parametrize("message", ["", "0", "x" * 64, "y" * 300])
def test_whoever_is_lost_with_a_hostile_message_loses_nothing_of_others(
    door: Door, message: str
) -> None:
    ada = door.user()
    theirs, its = door.upload(ada, [1.0]), door.upload(ada, [2.0])
    claim(door.engine, [theirs], "01a21830-6035-7601-bdc5-061d89e32cec:a delivery")
    # It names both, and came too late for the one.
    claim(door.engine, [theirs, its], f"{message}:a delivery")
    rung: list[str] = []
    named: list[Any] = [theirs, its, 7, None, "a\0b", "\ud800"]
    mourn(door.engine, message, named, "lost", rung.extend)
    with reading(door.engine) as connection:
        held = connection.scalars(select(Ecg.id).where(Ecg.held_by.is_not(None))).all()
    assert held == [theirs]
    assert rung == [theirs]


@pytest.fixture(scope="module", autouse=True)
def nothing_unrecoverable(stack: Stack) -> Iterator[None]:
    yield
    assert "Unrecoverable" not in stack.log("worker")
