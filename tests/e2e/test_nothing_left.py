"""Nothing of a recording shows where it has no business, and nothing of it is left once erased."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.parts import HOUSE, Stack, free_port, wait_until

CANARY = "canary"
RECORDING = {
    "unit": "canary-unit",
    "leads": [{"name": "canary-lead", "signal": [271828182, -314159265]}],
}


@pytest.fixture(scope="module")
def stack(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("nothing-left")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with Stack(folder, database_url=url, redis_url=redis_url) as stack:
        yield stack


@pytest.fixture(scope="module")
def isoline(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        client.headers["x-user-token"] = stack.register(client, "canary-username")
        yield client


@pytest.fixture
def flower(stack: Stack) -> Iterator[httpx.Client]:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "flower"),
            *("--address=127.0.0.1", f"--port={port}", "--logging=error"),
        ],
        env={**stack.environ, "FLOWER_BASIC_AUTH": "somebody:a-password"},
        cwd=HOUSE,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    with closing(httpx.Client(base_url=url, auth=("somebody", "a-password"))) as client:

        def answers() -> bool:
            try:
                return client.get("/api/tasks").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, 30, "for Flower")
        yield client
    process.terminate()
    process.wait(20)


def test_flower_shows_ids_and_nothing_else(
    stack: Stack, isoline: httpx.Client, flower: httpx.Client
) -> None:
    done = isoline.post("/ecgs", json=RECORDING, headers={"Prefer": "wait=20"}).json()
    assert done["status"] == "finished"
    pages = wait_until(lambda: flower.get("/api/tasks").json(), 20, "for Flower to notice")
    said = [str(pages)]
    for page in ("/tasks", "/workers", "/broker", *(f"/task/{task}" for task in pages)):
        answer = flower.get(page)
        assert answer.status_code == 200
        said.append(answer.text)
    everything = "".join(said)
    assert done["id"] in everything
    for secret in (CANARY, "271828182", "314159265", isoline.headers["x-user-token"]):
        assert secret not in everything
    assert httpx.get(flower.base_url.join("/tasks")).status_code == 401


def test_what_was_erased_is_in_no_file_queue_or_log_also_with_a_job_in_flight(
    stack: Stack, isoline: httpx.Client
) -> None:
    stack.stop("worker")
    where = [isoline.post("/ecgs", json=RECORDING).headers["Location"] for _ in range(20)]
    stack.start("worker")
    for number, ecg in enumerate(where):
        # Some before they are begun, some while, some after.
        time.sleep(0.1 * (number % 3))
        assert isoline.delete(ecg).status_code == 204
    isoline.post("/ecgs", json={"leads": []}, headers={"Prefer": "wait=20"})

    def everything() -> bytes:
        files = [path.read_bytes() for path in stack.folder.iterdir() if path.is_file()]
        kept = [stack.redis.dump(key) or b"" for key in stack.redis.scan_iter()]
        return b"".join(files + kept)

    # The first test's recording is erased as well, as are all of this user's.
    for ecg in isoline.get("/ecgs?limit=500").json()["data"]:
        isoline.delete(f"/ecgs/{ecg['id']}")
    wait_until(lambda: b"canary-lead" not in everything(), 30, "for what was erased to be gone")
    assert b"canary-unit" not in everything()
    assert os.stat(stack.folder / "isoline.db").st_size
