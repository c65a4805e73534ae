"""The real server under callers who are slow, many, cut off or far too large."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import multiprocessing
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self

import httpx
import psutil
import pytest
from sqlalchemy import insert, update

from api.app import CHAIRS, EXPORTS_OF_ONE, READERS, REFUSED
from shared.database import connect, transaction
from shared.models import Batch, RejectedLine
from standalone.doctor import examine_api
from tests.parts import ADMIN, HOUSE, wait_until
from tests.stack import Stack

MEBIBYTE = 2**20
# The default of ISOLINE_MAX_UPLOAD_BYTES.
MOST_UPLOAD = 64 * MEBIBYTE
GIBIBYTE = 2**30


class Server(Stack):
    """The API alone, as `python -m api` starts it."""

    MODULES: ClassVar = {"api": ["api"]}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def token(self, username: str) -> dict[str, str]:
        """Register somebody; return the header that lets them in."""
        answer = self.ask("POST", "/users", json={"username": username}, headers=ADMIN)
        return {"x-user-token": answer.json()["token"]}

    def connect(self, sent: bytes) -> socket.socket:
        """Open a connection and send this much."""
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        connection.sendall(sent)
        return connection

    def ping_s(self) -> float:
        """How long a new caller waits for /health/ping."""
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", "/health/ping")
            assert connection.getresponse().status == 200
        return time.perf_counter() - began_s

    def memory_mib(self, kind: str) -> int:
        """VmRSS or VmHWM of the process that serves."""
        (worker,) = psutil.Process(self._processes["api"].pid).children()
        status = Path(f"/proc/{worker.pid}/status").read_text()
        found = re.search(rf"{kind}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) // 1024


class HastyServer(Server):
    """The same with less patience."""

    def start(self, name: str, as_name: str = "") -> None:
        """Start the API with half a second for bodies and, as in earnest, twice that for pauses."""
        program = (
            "import runpy, api.bodies, api.pace as pace; api.bodies.GRACE_S = 0.5; "
            "pace.PATIENCE_S = 1.0; pace.LOOK_EVERY_S = 0.1; "
            f"runpy.run_module('{self.MODULES[name][0]}', run_name='__main__', alter_sys=True)"
        )
        self._processes[name] = subprocess.Popen(
            [sys.executable, "-c", program], env=self.environ, cwd=HOUSE
        )


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with Server(folder, database_url=url, redis_url=redis_url) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HastyServer]:
    folder = tmp_path_factory.mktemp("hasty server")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with HastyServer(folder, database_url=url, redis_url=redis_url) as server:
        yield server


@pytest.fixture(scope="module")
def ada(server: Server) -> dict[str, str]:
    return server.token("ada")


def head(*lines: str, **headers: str) -> bytes:
    """The beginning of an upload, up to the body."""
    written = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /ecgs HTTP/1.1", "Host: x", *written, *lines, "", ""]).encode()


def status(connection: socket.socket) -> int:
    """The status of the answer that comes."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status


def test_two_hundred_slow_callers_keep_nobody_waiting(server: Server, ada: dict[str, str]) -> None:
    long_body = {"Content_Type": "application/json", "Content_Length": str(MEBIBYTE)}
    with contextlib.ExitStack() as stack:
        trickling = []
        for _ in range(50):
            for sent in (b"", b"POST /ecgs HTTP/1.1\r\nHos", head(**long_body)):
                stack.enter_context(server.connect(sent))
            slow = server.connect(head(**long_body, **ada))
            trickling.append(stack.enter_context(slow))
        over = threading.Event()

        def trickle() -> None:
            while not over.wait(0.05):
                for slow in trickling:
                    slow.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)
        waited_s = sorted(server.ping_s() for _ in range(100))
    assert waited_s[98] < 1.0


def test_with_every_place_taken_and_more_who_fall_silent_a_ping_is_answered(
    server: Server, ada: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(server.url)
    silent = {"Content_Type": "application/json", "Content_Length": str(MEBIBYTE)}
    with contextlib.ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(server.connect(head(**silent, **ada)))

        def is_refused() -> bool:
            # One more each time: this upload may have had the place of one that came meanwhile.
            stack.enter_context(server.connect(head(**silent, **ada)))
            answer = server.ask("POST", "/ecgs", json={"leads": []}, headers=ada)
            return answer.status_code == 503 and "Retry-After" in answer.headers

        wait_until(is_refused, what="for all of them")
        # Without a token: where there is no place nobody is asked whose it would be.
        for _ in range(2 * REFUSED):
            stack.enter_context(server.connect(head(**silent)))
        assert is_refused()
        assert server.ask("GET", "/health/ready").json()["turned_away_s_ago"] < 20
        answers, turned_away = examine_api(tmp_path / "url")
        assert answers.is_well
        assert not turned_away.is_well
        assert "turned away" in turned_away.says
        assert max(server.ping_s() for _ in range(50)) < 1.0


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many as there may be."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("descriptors")
def test_those_who_keep_a_connection_for_later_keep_nobody_waiting(server: Server) -> None:
    ping = b"GET /health/ping HTTP/1.1\r\nHost: x\r\n\r\n"
    waited_s = []
    with contextlib.ExitStack() as stack:
        # More than granian accepts by itself.
        for _ in range(1500):
            began_s = time.perf_counter()
            assert status(stack.enter_context(server.connect(ping))) == 200
            waited_s.append(time.perf_counter() - began_s)
    # Not until granian shows out those who ask for nothing more.
    assert max(waited_s) < 5.0


def test_with_every_chair_taken_nobody_else_waits(server: Server, ada: dict[str, str]) -> None:
    uploaded = server.ask("POST", "/ecgs", json={"leads": []}, headers=ada)
    where = f"{server.url}{uploaded.headers['Location']}/insights"

    def wait() -> bool:
        answer = server.ask("GET", where, headers={**ada, "Prefer": "wait=3"}, timeout=20)
        assert answer.status_code == 202
        return "Preference-Applied" in answer.headers

    with ThreadPoolExecutor(CHAIRS + 8) as pool:
        waiters = [pool.submit(wait) for _ in range(CHAIRS + 8)]
        # Those who find no chair are answered at once.
        wait_until(lambda: any(waiter.done() for waiter in waiters))
        waited_s = [server.ping_s() for _ in range(50)]
        assert not all(waiter.done() for waiter in waiters)
    assert CHAIRS <= sum(waiter.result() for waiter in waiters) < len(waiters)
    assert max(waited_s) < 1.0


def test_with_every_export_of_one_user_on_its_way_others_get_theirs(
    server: Server, ada: dict[str, str]
) -> None:
    def submit(user: dict[str, str]) -> str:
        answer = server.ask("POST", "/batches", content=b"no JSON\n", headers=user)
        return f"{answer.headers['Location']}/errors"

    def begin(user: dict[str, str], path: str) -> http.client.HTTPResponse:
        token = user["x-user-token"]
        asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nx-user-token: {token}\r\n\r\n"
        connection = opened.enter_context(server.connect(asked.encode()))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer

    bob = server.token("bob")
    long, short = submit(ada), submit(bob)
    more_than_any_buffer(server, long.split("/")[-2])
    with contextlib.ExitStack() as opened:
        assert [begin(ada, long).status for _ in range(EXPORTS_OF_ONE)] == [200] * EXPORTS_OF_ONE
        refused = begin(ada, long)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert server.ask("GET", short, headers=bob).status_code == 200
    # Who does not want the rest has left.
    wait_until(lambda: server.ask("GET", f"{long}?after=400", headers=ada).status_code == 200)


def more_than_any_buffer(server: Server, batch_id: str) -> None:
    """Lines of 64 KiB that a batch was told to be no ECGs."""
    problem = {"type": "/", "title": "", "status": 400, "detail": "x" * 2**16, "request_id": ""}
    row = {"batch_id": batch_id, "problem": json.dumps(problem)}
    engine = connect(server.environ["ISOLINE_DATABASE_URL"])
    with transaction(engine) as connection:
        connection.execute(insert(RejectedLine), [{**row, "line": n} for n in range(2, 401)])
        connection.execute(update(Batch).where(Batch.id == batch_id).values(last_line=400))
    engine.dispose()


needs_a_hasty_server = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork" or not hasattr(socket, "TCP_INFO"),
    reason="needs a server that inherits what this test changes, and a kernel that counts",
)


@needs_a_hasty_server
def test_a_caller_who_falls_silent_or_trickles_is_shown_out(hasty_server: HastyServer) -> None:
    ada = hasty_server.token("silent")
    with_length = head(**ada, Content_Type="application/json", Content_Length="1000")
    chunked = head(**ada, Content_Type="application/json", Transfer_Encoding="chunked")
    with (
        hasty_server.connect(with_length) as silent,
        hasty_server.connect(with_length + b'{"leads"') as begun,
        hasty_server.connect(chunked + b'8\r\n{"leads"\r\n') as in_chunks,
        hasty_server.connect(with_length) as trickling,
    ):
        trickling.settimeout(0.05)

        def is_answered() -> bool:
            # Who has been shown out finds the door shut, and mostly the answer before it: what
            # is sent to a shut door may take it away.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                trickling.sendall(b" ")
            try:
                return trickling.recv(12) in {b"HTTP/1.1 408", b""}
            except TimeoutError:
                return False
            except ConnectionResetError:
                return True

        wait_until(is_answered)
        assert [status(caller) for caller in (silent, begun, in_chunks)] == [408] * 3
    assert hasty_server.ask("POST", "/ecgs", json={"leads": []}, headers=ada).is_success


@needs_a_hasty_server
def test_who_waits_for_us_for_longer_than_we_would_is_answered(hasty_server: HastyServer) -> None:
    ada = {**hasty_server.token("patient"), "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", hasty_server._port, timeout=20)
    with contextlib.closing(connection):
        answered = []
        # The second one on the connection of the first.
        for _ in range(2):
            connection.request(
                "POST", "/ecgs", body='{"leads": []}', headers={**ada, "Prefer": "wait=3"}
            )
            used = connection.sock
            answer = connection.getresponse()
            answered.append((answer.status, answer.headers["Preference-Applied"], used))
            answer.read()
    assert answered == [(201, "wait=3", answered[0][2])] * 2


def test_a_body_that_ends_before_its_length_is_400(server: Server, ada: dict[str, str]) -> None:
    body = b'{"leads": []}'
    length = str(len(body) + 1)
    with server.connect(head(**ada, Content_Length=length) + body) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) == 400


def test_a_chunked_body_that_breaks_off_is_400(server: Server, ada: dict[str, str]) -> None:
    with server.connect(head(**ada, Transfer_Encoding="chunked") + b'5\r\n{"lea\r\n') as connection:
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) == 400


def test_a_chunked_body_is_read(server: Server, ada: dict[str, str]) -> None:
    pieces = iter([b'{"leads": [{"name": "I", ', b'"signal": [1, ', b"-1]}]}"])
    answer = server.ask("POST", "/ecgs", content=pieces, headers=ada)
    assert (answer.status_code, answer.json()["leads"][0]["number_of_samples"]) == (201, 2)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 13\r\nContent-Length: 14",
        "Transfer-Encoding: nonsense",
        "X-Request-ID: a\rSet-Cookie: b",
        "X-Request-ID: a\r\n Set-Cookie: b",
        "X-Request-ID: a\0b",
        "no colon",
    ],
)
def test_headers_that_are_none_are_400(server: Server, ada: dict[str, str], headers: str) -> None:
    with server.connect(head(headers, **ada) + b'{"leads": []}') as connection:
        assert status(connection) == 400


def spaces(size: int) -> Iterator[bytes]:
    piece = b" " * MEBIBYTE
    for _ in range(size // MEBIBYTE):
        yield piece


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/ecgs", {"x-user-token": "nobody's"}, 401),
        ("/ecgs", {"Content-Type": "text/plain"}, 415),
        ("/ecgs", {"Idempotency-Key": "a b"}, 400),
        ("/ecgs", {}, 413),
        ("/nowhere", {}, 404),
    ],
)
def test_who_is_refused_early_hears_why(
    server: Server, ada: dict[str, str], path: str, headers: dict[str, str], expected: int
) -> None:
    size = MOST_UPLOAD + 8 * MEBIBYTE
    length = {"Content-Length": str(size)}
    for more in (length, {}):
        answer = server.ask("POST", path, content=spaces(size), headers={**ada, **more, **headers})
        assert answer.status_code == expected
        assert answer.headers["Content-Type"] == "application/problem+json"


def gzip_bomb(size: int) -> bytes:
    member = gzip.compress(b" " * (16 * MEBIBYTE))
    return member * (size // (16 * MEBIBYTE))


MONSTERS: dict[str, Callable[[], tuple[bytes | Iterator[bytes], dict[str, str]]]] = {
    "with its length": lambda: (spaces(GIBIBYTE), {"Content-Length": str(GIBIBYTE)}),
    "in chunks": lambda: (spaces(GIBIBYTE), {}),
    "folded into a bomb": lambda: (gzip_bomb(GIBIBYTE), {"Content-Encoding": "gzip"}),
}
# In MiB: a text of two bytes a sample, and its samples at eight bytes each, which is four times as
# much; once more while they are encoded; and what does not fit together.
STATED_BOUND = 10 * 2 * MOST_UPLOAD // MEBIBYTE


def test_memory_stays_within_its_stated_bound(redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    with Server(tmp_path, database_url=url, redis_url=redis_url) as server:
        ada = server.token("ada")
        idle = server.memory_mib("VmRSS")

        def post(content: bytes | Iterator[bytes], headers: dict[str, str]) -> int:
            return server.ask(
                "POST", "/ecgs", content=content, headers={**ada, **headers}, timeout=60
            ).status_code

        for monster in MONSTERS.values():
            assert post(*monster()) == 413
        assert server.memory_mib("VmHWM") - idle < 2 * MOST_UPLOAD // MEBIBYTE

        samples = 12_000_000
        long_lead = b'{"leads": [{"name": "I", "signal": [' + b"-812," * samples + b"0]}]}"
        assert post(long_lead, {}) == 201
        assert server.memory_mib("VmHWM") - idle < 4 * MOST_UPLOAD // MEBIBYTE

        mixed = b"1," * (MOST_UPLOAD // 2 - 40)
        worst = b'{"leads": [{"name": "I", "signal": [0.5,' + mixed + b"1]}]}"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(post, [worst] * 4, [{}] * 4))
        assert set(answers) <= {201, 503}
        assert 201 in answers
        assert server.memory_mib("VmHWM") - idle < STATED_BOUND
        # And it is given back.
        assert server.memory_mib("VmRSS") - idle < 4 * MOST_UPLOAD // MEBIBYTE
        assert server.ping_s() < 1.0


def test_an_upload_that_comes_again_leaves_nothing_behind(redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    with Server(tmp_path, database_url=url, redis_url=redis_url) as server:
        again = {**server.token("ada"), "Idempotency-Key": "one"}
        idle = server.memory_mib("VmRSS")
        samples = b"1," * (MOST_UPLOAD // 4)
        body = b'{"leads": [{"name": "I", "signal": [0.5,' + samples + b"1]}]}"
        for _ in range(6):
            # Alone: what other requests leave behind would have somebody look for garbage.
            answer = httpx.post(f"{server.url}/ecgs", content=body, headers=again, timeout=60)
            assert answer.status_code == 201
        # Its row is refused, which is an error until it is found: that must not keep the upload.
        assert server.memory_mib("VmRSS") - idle < 2 * MOST_UPLOAD // MEBIBYTE


def test_who_waits_for_insights_holds_no_body(redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isoline.db'}"
    with Server(tmp_path, database_url=url, redis_url=redis_url) as server:
        waiting = {**server.token("ada"), "Prefer": "wait=2"}
        body = b'{"leads": []}' + b" " * (MOST_UPLOAD - 13)

        def post(_: int) -> bool:
            # No more than two such bodies may arrive at the same moment: the others ask again.
            def is_stored() -> bool:
                return server.ask("POST", "/ecgs", content=body, headers=waiting).is_success

            return bool(wait_until(is_stored, what="for a place"))

        before = server.memory_mib("VmRSS")
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(post, range(6)))
        assert server.memory_mib("VmHWM") - before < 3 * MOST_UPLOAD // MEBIBYTE
