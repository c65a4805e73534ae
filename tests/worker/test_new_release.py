"""A new release, and its insights come to what is finished: whoever dies, nobody misses any."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import another_database
from tests.parts import ADMIN, wait_until
from tests.poison.insights.poison import KINDS, MAGIC
from tests.stack import Stack

SINGLES, LINES = 40, 160


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    if request.param == "postgresql":
        url = another_database(request.getfixturevalue("postgresql_url"), "recompute")
    with Stack(tmp_path, database_url=url, redis_url=redis_url, poisoned=True) as stack:
        yield stack


def state(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/recompute", headers=ADMIN).json()
    return found


def documents(client: httpx.Client, ecg_ids: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is answered of each ECG: each has an answer at every moment."""
    found = {}
    for ecg_id in ecg_ids:
        answer = client.get(f"/ecgs/{ecg_id}/insights")
        assert (answer.status_code, answer.json()["status"]) == (200, "finished"), answer.text
        found[ecg_id] = answer.headers["ETag"], answer.json()
    return found


def version(document: dict[str, Any]) -> int:
    return int(document["leads"][0]["insights"]["poison"]["version"])


@pytest.mark.timeout(300)
def test_a_raised_version_reaches_every_ecg_while_everything_is_killed(stack: Stack) -> None:
    with stack.client() as client:
        client.headers["x-user-token"] = stack.register(client, "ada")
        signals: list[list[int]] = [[1, -1] * n for n in range(1, SINGLES)]
        signals.append([MAGIC, KINDS.index("later")])
        ecg_ids = [
            client.post("/ecgs", json={"leads": [{"name": "I", "signal": signal}]}).json()["id"]
            for signal in signals
        ]
        poisonous = ecg_ids[-1]
        line = b'{"leads": [{"name": "I", "signal": [3, -3, 3]}]}\n'
        batch = client.post(
            "/batches", content=line * LINES, headers={"Content-Type": "application/x-ndjson"}
        ).json()
        wait_until(
            lambda: client.get(f"/batches/{batch['id']}").json()["finished_at"], 60, "for lines"
        )
        lines = client.get(f"/batches/{batch['id']}/insights").text.splitlines()
        assert len(lines) == LINES
        wait_until(
            lambda: not client.get("/ecgs?status=pending").json()["data"], 60, "for single ECGs"
        )
        before = documents(client, ecg_ids)
        assert {version(document) for _, document in before.values()} == {1}
        counts = client.get(f"/batches/{batch['id']}").json()
        assert state(client) == {"stale": 0, "waiting": 0, "failed": 0}

        stack.environ["POISON_VERSION"] = "2"
        for name in ("worker", "bulk", "quarantine", "relay"):
            stack.stop(name)
            stack.start(name)
        wait_until(lambda: state(client)["stale"] == SINGLES + LINES, 30, "for the new catalogue")

        asked = client.post("/recompute", headers=ADMIN).json()
        assert (asked["queued"], asked["stale"]) == (SINGLES + LINES, 0)
        end_s = time.monotonic() + 200
        for blow in itertools.count():
            # Everything dies now and then, and everybody finds an answer all the time.
            if blow < 12:
                victim = ("bulk", "relay", "broker", "bulk", "quarantine")[blow % 5]
                if victim == "broker":
                    stack.redis.flushall()
                else:
                    stack.kill(victim)
                    stack.start(victim)
            documents(client, ecg_ids[blow % SINGLES :][:5])
            # What is held at the moment does not wait: not even then all need have ended.
            if state(client) == {"stale": 0, "waiting": 0, "failed": 1}:
                break
            assert time.monotonic() < end_s, (state(client), stack.log("bulk")[-2000:])
            time.sleep(0.3)

        after = documents(client, ecg_ids)
        # Whoever kills its workers keeps what it had.
        assert after.pop(poisonous) == before[poisonous]
        for ecg_id, (etag, document) in after.items():
            assert version(document) == 2
            assert etag != before[ecg_id][0]
        lines = client.get(f"/batches/{batch['id']}/insights").text.splitlines()
        assert len(lines) == LINES
        assert all('"poison":{"version":2}' in line for line in lines)
        assert client.get(f"/batches/{batch['id']}").json() == counts
        assert client.get("/ecgs?status=failed").json()["data"] == []
        # And nobody tries for ever.
        assert client.post("/recompute", headers=ADMIN).json()["queued"] == 0
