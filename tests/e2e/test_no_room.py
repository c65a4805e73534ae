"""A disk without room under the processes of production: refused or put off, and nothing lost."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import connect

import httpx
import psutil
import pytest

from shared import doctor
from shared.jobs import INTERACTIVE
from shared.settings import Settings
from standalone.data_folder import API_URL
from standalone.doctor import parts_of
from tests.brokers import messages
from tests.parts import wait_until
from tests.stack import Stack

SMALL = {"leads": [{"name": "I", "signal": [1, -1, 1]}]}


@pytest.fixture(scope="module")
def stack(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("full")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with Stack(folder, database_url=url, redis_url=redis_url) as stack:
        # It would make room in the write-ahead log meanwhile; what waits here has been rung for.
        stack.stop("relay")
        yield stack


@contextmanager
def no_room(stack: Stack, name: str, most_bytes: int | None = None) -> Iterator[None]:
    """Let no file of this process, nor of those it started, grow beyond the database's, or this.

    To SQLite that is a write that fails, as on a disk without room.
    """
    database = stack.folder / "isoline.db"
    log = database.with_name(database.name + "-wal")
    most = most_bytes or max(os.stat(file).st_size for file in (database, log))
    parent = psutil.Process(stack.process(name).pid)
    family = [process.pid for process in (parent, *parent.children(recursive=True))]
    unlimited = resource.RLIM_INFINITY
    for pid in family:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, unlimited))
    try:
        yield
    finally:
        for pid in family:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


def large(samples: int = 300_000) -> dict[str, object]:
    """An upload that is stored in more bytes than the database has so far."""
    chance = random.Random(1)
    return {"leads": [{"name": "I", "signal": [chance.randrange(2**31) for _ in range(samples)]}]}


def numbers(stack: Stack) -> list[int]:
    """How many rows an upload would leave something in."""
    with closing(connect(stack.folder / "isoline.db")) as connection:
        tables = ("ecgs", "signals", "insights", "batches", "rejected_lines")
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
        ]


def test_uploads_are_refused_until_there_is_room_and_nothing_is_half_written(
    stack: Stack, isoline: httpx.Client
) -> None:
    done = isoline.post("/ecgs", json=SMALL, headers={"Prefer": "wait=20"}).json()
    assert done["status"] == "finished"
    before, pid = numbers(stack), stack.process("api").pid
    body, key = large(), {"Idempotency-Key": "no-room"}
    with no_room(stack, "api"):
        for _ in range(3):
            refused = isoline.post("/ecgs", json=body, headers=key)
            assert refused.status_code == 503, refused.text
            assert refused.headers["Retry-After"]
            poll = isoline.get(f"/ecgs/{done['id']}/insights")
            assert (poll.status_code, poll.json()["status"]) == (200, "finished")
        assert numbers(stack) == before
    # There is room again: the same request, without a restart.
    stored = isoline.post("/ecgs", json=body, headers=key)
    assert stored.status_code == 201, stored.text
    ecg = stored.headers["Location"]
    poll = isoline.get(f"{ecg}/insights", headers={"Prefer": "wait=20"})
    assert poll.json()["status"] == "finished"
    assert isoline.delete(ecg).status_code == 204
    assert stack.process("api").pid == pid
    assert numbers(stack) == before


def test_a_worker_that_finds_no_room_waits_and_goes_on(stack: Stack, isoline: httpx.Client) -> None:
    pid = stack.process("worker").pid
    children = psutil.Process(pid).children()
    with no_room(stack, "worker"):
        ecgs = [isoline.post("/ecgs", json=SMALL).headers["Location"] for _ in range(5)]
        wait_until(lambda: "the database is away" in stack.log("worker"), 30, "for it to notice")
        for ecg in ecgs:
            poll = isoline.get(f"{ecg}/insights")
            assert (poll.status_code, poll.json()["status"]) == (202, "pending")
    for ecg in ecgs:
        poll = isoline.get(f"{ecg}/insights", headers={"Prefer": "wait=20"})
        assert poll.json()["status"] == "finished"
    assert stack.process("worker").pid == pid
    assert psutil.Process(pid).children() == children


def test_a_relay_that_finds_no_room_waits_and_rings_again_once_there_is(
    stack: Stack, isoline: httpx.Client
) -> None:
    for name in ("worker", "quarantine", "bulk"):
        stack.stop(name)
    stack.start("relay")

    def is_heard() -> bool:
        return bool(isoline.get("/health/ready").json()["relay"] == "ok")

    wait_until(is_heard, 30, "for the relay")
    pid = stack.process("relay").pid
    # It can say so, and no more: not a page can it bring into the database.
    with no_room(stack, "relay", len(stack.log("relay")) + 2048):
        ecgs = [isoline.post("/ecgs", json=SMALL).headers["Location"] for _ in range(5)]
        wait_until(lambda: sum(map(len, messages(stack.redis))) == len(ecgs), 10, "for the bell")
        stack.redis.flushall()
        # Once when it begins, and again ten seconds later: it has gone round all the while.
        wait_until(lambda: stack.log("relay").count("relay waits") == 2, 30, "for it to tell twice")
        assert stack.redis.llen(INTERACTIVE) == 0
        assert is_heard()
    wait_until(lambda: "relay waits no more" in stack.log("relay"), 30, "for it to go on")
    assert stack.process("relay").pid == pid
    for name in ("worker", "quarantine", "bulk"):
        stack.start(name)
    for ecg in ecgs:
        poll = isoline.get(f"{ecg}/insights", headers={"Prefer": "wait=20"})
        assert poll.json()["status"] == "finished"
    stack.stop("relay")


def test_the_doctor_tells_of_uploads_that_the_api_alone_has_no_room_for(
    stack: Stack, isoline: httpx.Client
) -> None:
    (stack.folder / API_URL).write_text(stack.url)
    settings = Settings.from_environ(stack.environ)

    def page() -> str:
        return "\n".join(map(str, doctor.examine(settings, parts_of(settings))))

    assert "uploads are refused" not in page()
    with no_room(stack, "api"):
        assert isoline.post("/ecgs", json=large(1_500_000)).status_code == 503
    # Whoever asks has room enough.
    said = page()
    assert "!!  API address    uploads are refused" in said
    assert "!!  writing" not in said
