"""The stages of an upload's way, one by one and as a whole, in this process.

SQLite file and Valkey are real. Of the processes of production only the server, the threads and
Celery are missing: what is between the stages shows in the whole.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from celery import Celery
from flask import Flask
from sqlalchemy import Engine
from werkzeug.test import EnvironBuilder

from api.app import create_app
from api.ledger import Ledger
from api.rows import row_of
from api.uploads import parse
from api.users import Registration, authenticate, register
from bench.cases import Case
from bench.limits import Cost
from shared import database, sqlite_log
from shared.broker import Broker
from shared.jobs import INTERACTIVE, celery_app, enqueue
from shared.migrations.schema import upgrade
from shared.settings import Settings
from shared.signals import decode, encode
from tests.brokers import open_valkey
from tests.door import bring_to_their_end
from tests.parts import ADMIN_TOKEN, free_port
from worker import tasks
from worker.claims import claim
from worker.endings import finish
from worker.sample_store import SampleStore

UPLOADS = 200
# About as many as a second has.
UPLOADS_A_LOG = 32
# Nobody takes messages from it.
UNHEARD = "unheard"


@dataclass
class Watch:
    """How long stages take, by name: seconds on the clock and of this process's processor time."""

    took_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        clock_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        took_s = time.perf_counter() - clock_s, time.process_time() - cpu_s
        self.took_s.setdefault(name, []).append(took_s)

    def cost(self, name: str) -> Cost:
        """The medians."""
        clock_s, cpu_s = zip(*self.took_s[name], strict=True)
        return Cost(1e3 * statistics.median(clock_s), 1e3 * statistics.median(cpu_s))


@dataclass(frozen=True)
class Bench:
    """The parts in this process that an upload goes through, and what processes of others need."""

    file: Path
    environ: dict[str, str]
    redis_url: str
    engine: Engine
    app: Flask
    celery: Celery
    broker: Broker
    token: str


@contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    """Make them, with an empty database and a Valkey of their own."""
    with ExitStack() as stack:
        valkey, url = open_valkey(folder, free_port())
        stack.callback(valkey.wait)
        stack.callback(valkey.kill)
        environ = {
            "ISOLINE_DATA_DIR": str(folder),
            "ISOLINE_REDIS_URL": url,
            "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "ISOLINE_WORKERS": "1",
        }
        settings = Settings.from_environ(environ)
        engine = database.connect(settings.database_url)
        stack.callback(engine.dispose)
        upgrade(engine)
        app = create_app(settings, engine=engine, ring=lambda ecg_ids, queue: None)
        token = register(engine, Registration("bench"), request_id="bench").token
        yield Bench(
            folder / "isoline.db", environ, url, engine, app, celery_app(url), Broker(url), token
        )


def _ask(app: Flask, environ: dict[str, Any], status: int) -> bytes:
    said: list[str] = []
    answer = app.wsgi_app(environ, lambda line, _: said.append(line))  # type: ignore[arg-type]
    body = b"".join(answer)
    assert said[0].startswith(str(status)), said
    return body


def walk(bench: Bench, case: Case, watch: Watch, uploads: int = UPLOADS) -> None:
    """Take so many uploads through the stages one by one, and once more as a whole."""
    engine, headers = bench.engine, [("x-user-token", bench.token)]
    with database.reading(engine) as connection:
        caller = authenticate(connection, bench.token)
    ledger = Ledger(engine)
    for number in range(uploads):
        if number % UPLOADS_A_LOG == 0:
            # As the relay does, which is not here: to lengthen a log takes longer.
            sqlite_log.begin_again(engine)
        body = case.body(number)
        with watch.stage("parse, check"):
            recording = parse(body)
        with watch.stage("encode"):
            encoded = encode(recording.leads)
        row = row_of(recording, caller, "bench")
        row |= {"idempotency_key": None, "body_sha256": None}
        with watch.stage("commit"):
            ledger.write(row, encoded)
        with watch.stage("ring"):
            bench.broker.on_its_way(INTERACTIVE)
            enqueue(bench.celery, [row["id"]], UNHEARD)
        with watch.stage("nothing claimed"):
            claim(engine, [], "bench")
        with watch.stage("claim"):
            [claimed] = claim(engine, [row["id"]], "bench").claims
        with watch.stage("load"):
            blob = SampleStore(engine, [claimed]).take(claimed)
        with watch.stage("decode"):
            decode(blob)
        with watch.stage("compute"):
            document = tasks.compute(claimed, blob)
        with watch.stage("finish"):
            finish(engine, [(claimed, document)])

        post = EnvironBuilder(
            "/ecgs",
            method="POST",
            headers=headers,
            content_type="application/json",
            input_stream=io.BytesIO(body),
            content_length=len(body),
        ).get_environ()
        with watch.stage("upload"):
            ecg_id = msgspec.json.decode(_ask(bench.app, post, 201))["id"]
        with watch.stage("analyse"):
            bring_to_their_end(engine, [ecg_id], [])
        poll = EnvironBuilder(f"/ecgs/{ecg_id}/insights", headers=headers).get_environ()
        with watch.stage("poll"):
            _ask(bench.app, poll, 200)
