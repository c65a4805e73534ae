"""Nothing of a recording shows where it has no business, and nothing of it is left once erased."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select

from shared import database
from shared.database import reading
from shared.models import Base, Batch, Ecg, Insights, RejectedLine, Signal
from tests.parts import HOUSE, free_port, wait_until
from tests.poison.insights.poison import KINDS, MAGIC
from tests.stack import Stack
from worker.tasks import TOO_LATE

CANARY = "canary"
RECORDING = {
    "unit": "canary-unit",
    "leads": [{"name": "canary-lead", "signal": [271828182, -314159265]}],
}


@pytest.fixture(scope="module")
def stack(empty_database: str, stack_folder: Path, redis_url: str) -> Iterator[Stack]:
    # Poisoned, so that a job takes as long as its samples say.
    with Stack(
        stack_folder, database_url=empty_database, redis_url=redis_url, poisoned=True
    ) as stack:
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
    uploaded: list[str] = []

    def noticed() -> dict[str, object]:
        # It only knows of what happens while it listens, and begins to when it likes.
        done = isoline.post("/ecgs", json=RECORDING, headers={"Prefer": "wait=20"}).json()
        assert done["status"] == "finished"
        uploaded.append(done["id"])
        pages: dict[str, object] = flower.get("/api/tasks").json()
        return pages if any(ecg_id in str(pages) for ecg_id in uploaded) else {}

    pages = wait_until(noticed, 30, "for Flower to notice")
    said = [str(pages)]
    for page in ("/tasks", "/workers", "/broker", *(f"/task/{task}" for task in pages)):
        answer = flower.get(page)
        assert answer.status_code == 200
        said.append(answer.text)
    everything = "".join(said)
    for secret in (CANARY, "271828182", "314159265", isoline.headers["x-user-token"]):
        assert secret not in everything
    assert httpx.get(flower.base_url.join("/tasks")).status_code == 401
    for ecg_id in uploaded:
        assert isoline.delete(f"/ecgs/{ecg_id}").status_code == 204


@dataclass
class Traces:
    """Of one recording, all that could be found again, by name."""

    of: dict[str, bytes] = field(default_factory=dict)

    def found_in(self, place: bytes) -> set[str]:
        """The names of those that are there."""
        return {name for name, trace in self.of.items() if trace in place}


def everything_kept(stack: Stack, engine: Engine) -> bytes:
    """What the files of the stack hold, its logs among them, what Redis does, and every row."""
    files = [path.read_bytes() for path in stack.folder.iterdir() if path.is_file()]
    kept = [stack.redis.dump(key) or b"" for key in stack.redis.scan_iter()]
    rows: list[bytes] = []
    with reading(engine) as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                rows += [
                    value if isinstance(value, bytes) else str(value).encode() for value in row
                ]
    return b"\0".join([*files, *kept, *rows])


def number_of_rows(engine: Engine) -> int:
    """How many rows there are in all tables that hold anything of a recording."""
    with reading(engine) as connection:
        tables = (Ecg, Signal, Insights, Batch, RejectedLine)
        counts = [connection.scalar(select(func.count()).select_from(table)) for table in tables]
    return sum(count or 0 for count in counts)


@pytest.fixture
def engine(stack: Stack) -> Iterator[Engine]:
    engine = database.connect(stack.environ["ISOLINE_DATABASE_URL"], pool_size=1)
    yield engine
    engine.dispose()


def recording(name: str, *, naps: bool = False) -> dict[str, Any]:
    """An ECG with leads whose bytes nobody else's have; analysing it takes a while, if it naps."""
    chance = random.Random(name)
    first = [MAGIC, KINDS.index("naps")] if naps else [1, -1]
    samples = first + [chance.randrange(2**31) for _ in range(60)]
    lead = {"name": f"canary-lead-{name}", "signal": samples}
    return {"unit": f"canary-unit-{name}", "leads": [lead]}


def submit(isoline: httpx.Client, way: str, name: str, *, naps: bool = False) -> tuple[str, Traces]:
    """Send a recording by itself or as a line of a batch; return where it is, and its traces."""
    body = recording(name, naps=naps)
    headers = {"Idempotency-Key": f"canary-key-{name}"}
    traces = {
        "lead": body["leads"][0]["name"].encode(),
        "unit": body["unit"].encode(),
        "Idempotency-Key": headers["Idempotency-Key"].encode(),
    }
    if way == "single":
        answer = isoline.post("/ecgs", json=body, headers=headers)
    else:
        custom_id, rejected_id = f"canary-custom-{name}", f"canary-rejected-{name}"
        traces |= {"custom_id": custom_id.encode(), "rejected custom_id": rejected_id.encode()}
        lines = [{**body, "custom_id": custom_id}, {"custom_id": rejected_id}]
        content = "\n".join(json.dumps(line) for line in lines)
        headers["Content-Type"] = "application/x-ndjson"
        answer = isoline.post("/batches", content=content, headers=headers)
    assert answer.status_code in {201, 202}, answer.text
    return answer.headers["Location"], Traces(traces)


def status_of(engine: Engine, traces: Traces) -> str | None:
    with reading(engine) as connection:
        is_this = Ecg.leads.contains(traces.of["lead"].decode())
        return connection.scalar(select(Ecg.status).where(is_this))


def note_what_is_stored(engine: Engine, traces: Traces) -> None:
    """Add to the traces what the database alone knows: the samples as they are kept, the insights.

    Not the id: logs may hold that.
    """
    with reading(engine) as connection:
        is_this = Ecg.leads.contains(traces.of["lead"].decode())
        ecg_id = connection.scalar(select(Ecg.id).where(is_this))
        samples = select(Signal.encoded).where(Signal.ecg_id == ecg_id)
        document = select(Insights.document).where(Insights.ecg_id == ecg_id)
        for name, statement in (("samples", samples), ("document", document)):
            if (stored := connection.scalar(statement)) is not None:
                traces.of[name] = stored


@pytest.mark.parametrize("way", ["single", "batch"])
def test_what_was_erased_is_in_no_table_file_queue_or_log_also_with_a_job_in_flight(
    stack: Stack, isoline: httpx.Client, engine: Engine, way: str
) -> None:
    is_sqlite = engine.dialect.name == "sqlite"
    done, traces_of_done = submit(isoline, way, f"done-{way}")
    wait_until(lambda: status_of(engine, traces_of_done) == "finished", 20, "for one that is done")
    flying, traces_of_flying = submit(isoline, way, f"flying-{way}", naps=True)
    wait_until(lambda: status_of(engine, traces_of_flying) == "running", 20, "for one in flight")
    for traces in (traces_of_done, traces_of_flying):
        note_what_is_stored(engine, traces)
    assert "document" in traces_of_done.of
    assert {"samples"} <= traces_of_done.of.keys() & traces_of_flying.of.keys()
    # What looks for them finds them.
    all_traces = Traces(
        {
            f"{name} of {whose}": trace
            for whose, traces in (("done", traces_of_done), ("flying", traces_of_flying))
            for name, trace in traces.of.items()
        }
    )
    assert all_traces.found_in(everything_kept(stack, engine)) == all_traces.of.keys()
    assert status_of(engine, traces_of_flying) == "running"
    for location in (flying, done):
        assert isoline.delete(location).status_code == 204
    # Before the one in flight comes to its end, and after.
    assert number_of_rows(engine) == 0
    name = "bulk" if way == "batch" else "worker"
    wait_until(lambda: TOO_LATE in stack.log(name), 20, "for the one in flight to land")
    assert number_of_rows(engine) == 0
    # SQLite's log is cleared within some seconds.
    wait_until(
        lambda: not all_traces.found_in(everything_kept(stack, engine)),
        20 if is_sqlite else 0.1,
        f"for what is left: {all_traces.found_in(everything_kept(stack, engine))}",
    )
    assert number_of_rows(engine) == 0
    for location in (flying, done):
        assert isoline.get(location).status_code == 404
