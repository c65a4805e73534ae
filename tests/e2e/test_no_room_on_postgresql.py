"""A disk without room under PostgreSQL: uploads and batches are refused, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from shared import doctor
from shared.settings import Settings
from standalone.data_folder import API_URL
from standalone.doctor import parts_of
from tests.databases import PostgreSql, open_postgresql_server
from tests.e2e.test_no_room import SMALL, large
from tests.parts import wait_until
from tests.stack import Stack

# Of its log, whose files have this size from the start: as on a full disk, that goes on.
MOST_BYTES = 16 * 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with open_postgresql_server() as server:
        yield server


@pytest.fixture(scope="module")
def stack(
    server: PostgreSql, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("full")
    with Stack(folder, database_url=server.url, redis_url=redis_url) as stack:
        yield stack


@contextmanager
def no_room(server: PostgreSql) -> Iterator[None]:
    """Let no file of this server grow beyond `MOST_BYTES`; whatever it starts inherits that.

    To PostgreSQL that is a write that fails, as on a disk without room.
    """

    limit(server, str(MOST_BYTES))
    try:
        yield
    finally:
        limit(server, "unlimited")


def limit(server: PostgreSql, size: str) -> None:
    """Set how large a file of this server may be."""
    postmaster = server.postmaster()
    for process in (postmaster, *postmaster.children(recursive=True)):
        command = ["prlimit", f"--pid={process.pid}", f"--fsize={size}:unlimited"]
        # As whom it runs: not even root may limit others everywhere.
        if subprocess.run(command, user=process.uids().real).returncode:
            assert not process.is_running()


def bytes_of_samples(server: PostgreSql) -> int:
    """How large the file is in which the samples are."""
    toast = "SELECT reltoastrelid FROM pg_class WHERE oid = 'signals'::regclass"
    engine = create_engine(server.url)
    with engine.connect() as connection:
        size = connection.scalar(text(f"SELECT pg_relation_size(({toast}))"))
    engine.dispose()
    return int(size or 0)


def test_uploads_and_batches_are_refused_until_there_is_room_and_nothing_is_lost(
    server: PostgreSql, stack: Stack, isoline: httpx.Client
) -> None:
    (stack.folder / API_URL).write_text(stack.url)
    settings = Settings.from_environ(stack.environ)
    ndjson = {"Content-Type": "application/x-ndjson"}
    body = large()
    accepted = []
    while bytes_of_samples(server) < MOST_BYTES - 2 * 2**20:
        answer = isoline.post("/ecgs", json=body)
        assert answer.status_code == 201
        accepted.append(answer.json()["id"])
    processes = {name: stack.process(name).pid for name in stack.MODULES}
    too_large, key = large(1_000_000), {"Idempotency-Key": "no-room"}
    line = json.dumps(too_large)
    with no_room(server):
        for _ in range(3):
            refused = isoline.post("/ecgs", json=too_large, headers=key)
            assert refused.status_code == 503, refused.text
            assert refused.headers["Retry-After"]
        assert isoline.get("/health/ready").json()["database"] == "unavailable"
        refused = isoline.post("/batches", content=line, headers={**ndjson, **key})
        assert refused.status_code == 503, refused.text
        assert refused.headers["Retry-After"]
        page = "\n".join(map(str, doctor.examine(settings, parts_of(settings))))
        assert "!!  API address    uploads are refused" in page
        # What is there can be read.
        assert len(isoline.get("/ecgs?limit=500").json()["data"]) == len(accepted)
    # There is room again: the same requests, without a restart.
    stored = isoline.post("/ecgs", json=too_large, headers=key)
    assert stored.status_code == 201, stored.text
    accepted.append(stored.json()["id"])
    batch = isoline.post("/batches", content=line, headers={**ndjson, **key})
    assert batch.status_code in {200, 202}, batch.text

    def all_finished() -> bool:
        polls = (isoline.get(f"/ecgs/{ecg_id}/insights") for ecg_id in accepted)
        return all(poll.json()["status"] == "finished" for poll in polls)

    wait_until(all_finished, 60, "for all that was accepted")
    where = batch.headers["Location"]
    wait_until(lambda: isoline.get(where).json()["counts"]["finished"] == 1, 60, "for the batch")
    assert isoline.get("/health/ready").json()["database"] == "ok"
    # And the line of the batch.
    assert len(isoline.get("/ecgs?limit=500").json()["data"]) == len(accepted) + 1
    assert {name: stack.process(name).pid for name in stack.MODULES} == processes
    assert all(stack.is_running(name) for name in stack.MODULES)
    assert isoline.post("/ecgs", json=SMALL).status_code == 201
